"""Real and bank-published files: counts and sums equal to a plain count of their XML, verdicts equal to ISO's."""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bus import Rejected, WriteContext
from transforms.canonical.models import MODEL_TYPES
from transforms.iso20022 import Iso20022Spec, schemas
from transforms.iso20022.names import message_of

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "iso20022"))
from schema_documents import canonical  # the tests' own canonical form; tests are no package

SAMPLES = Path(os.environ.get("GIROBUS_SAMPLES", "/nonexistent"))
ISO = Path(os.environ.get("GIROBUS_XSD", "/nonexistent"))
FILES = sorted(SAMPLES.glob("camt-*/*.xml"))
CONTAINERS = ("Stmt", "Rpt", "Ntfctn", "PmtInf")
RECORDS = {"Ntry": "Amt", "CdtTrfTxInf": "Amt/InstdAmt", "DrctDbtTxInf": "InstdAmt"}

pytestmark = pytest.mark.skipif(not FILES, reason="GIROBUS_SAMPLES is not set: sample files are not part of a checkout")
files = pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")

Row = tuple[str, int, Decimal, Decimal, Decimal]


def counted(path: Path) -> list[tuple[str, list[Row]]]:
    """(id, rows per currency of count, sum, credit, debit) of each container, with nothing but lxml."""
    root = etree.parse(path).getroot()
    found = []
    for container in (e for name in CONTAINERS for e in root.iter(f"{{*}}{name}")):
        rows: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(0), Decimal(0), Decimal(0)])
        for name, at in RECORDS.items():
            for record in container.iterchildren(f"{{*}}{name}"):
                amount = record.find("/".join(f"{{*}}{step}" for step in at.split("/")))
                currency, value = ("", Decimal(0))
                if amount is not None:
                    currency = amount.get("Ccy", "")
                    try:
                        value = Decimal((amount.text or "").strip())
                    except InvalidOperation:
                        value = Decimal(0)
                row = rows[currency]
                row[0] += 1
                row[1] += value
                sign = (record.findtext("{*}CdtDbtInd") or "").strip()
                row[2 if sign == "CRDT" else 3] += value
        identification = container.findtext("{*}PmtInfId") or container.findtext("{*}Id") or ""
        found.append((identification.strip(), [(currency, *row) for currency, row in sorted(rows.items())]))
    return found


def test_there_is_something_to_look_at() -> None:
    assert len(FILES) > 50
    assert sum(row[1] for path in FILES for _, rows in counted(path) for row in rows) > 80


@files
def test_counts_and_sums_are_exact(path: Path) -> None:
    with path.open("rb") as source:
        found = Iso20022Spec.inspect(source)
    signed = found.kind in ("statement", "report", "notification")
    told = [
        (
            d.id,
            [
                (t.currency, t.count, t.amount, t.credit if signed else None, t.debit if signed else None)
                for t in d.totals
            ],
        )
        for d in found.documents
    ]
    wanted = [(name, [row if signed else (*row[:3], None, None) for row in rows]) for name, rows in counted(path)]
    assert told == wanted


@files
def test_a_file_is_recognised_by_its_first_kilobytes(path: Path) -> None:
    namespace = etree.QName(etree.parse(path).getroot()).namespace or ""
    sure = Iso20022Spec.detect(path.read_bytes()[:4096], path.name)
    assert (sure >= 0.9) == bool(message_of(namespace)[0])


def bodies(path: Path, each: str = "records") -> list[dict[str, Any]]:
    """What is read of a file, but for records that are an error of their own."""
    document = Iso20022Spec(balances="ignore").build().read(io.BytesIO(path.read_bytes()))
    return [part.body for part in document.parts(each) if part.error is None]


@files
def test_reading_gives_every_entry_with_the_money_of_the_file(path: Path) -> None:
    rows = [row for _, rows in counted(path) for row in rows]
    try:
        document = Iso20022Spec(balances="ignore").build().read(io.BytesIO(path.read_bytes()))
        parts = list(document.parts("records"))
    except Rejected as error:
        assert (error.code, rows) == ("VAL403", []), "only a file without a message"  # noqa: PT017
        return
    assert [part.error for part in parts] == [None] * len(parts)
    found: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    wanted: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for part in parts:
        MODEL_TYPES[part.body["type"]].model_validate(part.body)
        found[part.body["amount"]["currency"]][0] += 1
        found[part.body["amount"]["currency"]][1] += part.body["amount"]["value"]
    for currency, count, total, *_ in rows:
        wanted[currency][0] += count
        wanted[currency][1] += total
    assert found == wanted
    if parts and parts[0].body["type"] == "entry":
        statements = bodies(path, "statements")
        assert sum(body["entries"] for body in statements) == len(parts)
        for body in statements:
            MODEL_TYPES["statement"].model_validate(body)


WRITTEN = {"statement": "camt.053", "report": "camt.052", "notification": "camt.054"}


@files
def test_what_a_bank_told_is_the_same_when_it_is_written_again(path: Path) -> None:
    """Read, written in the usual version and read again: equal, or refused for what a file of ours must not have."""
    try:
        statements = bodies(path, "statements")
    except Rejected as error:
        assert error.code in ("VAL403", "VAL409"), "no message, or no statements"  # noqa: PT017
        return
    if not statements:
        assert counted(path) == []
        return
    entries = bodies(path)
    rest = iter(entries)
    again = [b for one in statements for b in ({**one, "summary": None}, *itertools.islice(rest, one["entries"]))]
    spec = Iso20022Spec(message=WRITTEN[statements[0]["kind"]], losses="accept", charset="any")
    file = io.BytesIO()
    try:
        spec.build().write(again, file, WriteContext("0" * 32, 0))
    except Rejected as error:
        # Wrong account numbers, balances that do not agree, values that the schema does not allow.
        assert error.code in ("VAL431", "VAL420", "VAL452")  # noqa: PT017
        return
    document = Iso20022Spec(balances="ignore").build().read(io.BytesIO(file.getvalue()))
    assert [part.body for part in document.parts("entries")] == entries


@files
def test_the_generated_schema_gives_the_verdict_of_isos_own(path: Path) -> None:
    root = etree.parse(path).getroot()
    message, is_iso = message_of(etree.QName(root).namespace or "")
    if not is_iso or not schemas.available(message):
        pytest.skip("no schema of this version is generated")
    if not (ISO / f"{message}.xsd").is_file():
        pytest.skip("GIROBUS_XSD is not set, or has no schema of this version")
    theirs = etree.XMLSchema(etree.parse(ISO / f"{message}.xsd"))
    assert schemas.schema(message).validate(root) == theirs.validate(root)
    with path.open("rb") as source:
        found = Iso20022Spec.inspect(source)
    assert any(f.code == "VAL405" for f in found.findings) == (not theirs.validate(root))


@files
def test_plain_data_of_a_valid_file_gives_the_file_again(path: Path) -> None:
    """Equal under C14N: whole, and put together from records."""
    content = path.read_bytes()
    root = etree.fromstring(content)
    message, is_iso = message_of(etree.QName(root).namespace or "")
    if not is_iso or not schemas.available(message) or not schemas.schema(message).validate(root):
        pytest.skip("not valid, or a bank's own variant: no promise is made")
    form = Iso20022Spec.model_validate({"as": "json"}).build()
    record = "CdtTrfTxInf" if message.startswith("pain.001") else "Ntry"
    whole: Any = form.read(io.BytesIO(content))
    again: Any = form.read(io.BytesIO(content))
    for bodies in ([whole.whole()], list(again.pieces((record,)))):
        target = io.BytesIO()
        form.write(bodies, target, WriteContext("0" * 32, 0))
        assert canonical(target.getvalue()) == canonical(content)
