"""Files at the partners, read by the judge with nothing of the bus's own readers."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from bus.testing.bank_checks import PaymentFile, UnreadableError
from bus.testing.erp import RejectedLine, delivered
from bus.testing.payrun import Line

if TYPE_CHECKING:
    from lxml.etree import _Element

Booked = tuple[str, str, str, Decimal]
"""(statement, what the entry is found by, currency, signed amount)."""
Notice = tuple[str, str, str, str, Decimal, str]
"""(bank, payment, file, currency, amount, reason) of a payment that a bank refused."""
_ISO_REASON = 4
_NOTICE = re.compile(
    r"The bank (?P<bank>\S+) refused a payment\.\n.*^Payment  (?P<payment>\S+)\n"
    r"Amount +(?P<amount>[\d,.]+) (?P<currency>[A-Z]{3})\nReason   (?P<reason>\w+): .*^File     (?P<file>\S+)\n",
    re.MULTILINE | re.DOTALL,
)


def outputs_fault(path: Path, schemas: Path) -> str:
    """What is wrong with a pain.001: the schema, or a count or sum that does not recompute; empty when nothing is."""
    try:
        return " ".join(PaymentFile(path.read_bytes(), schemas).fault()).strip()
    except UnreadableError as error:
        return error.text


def reject_faults(reject: RejectedLine, line: Line) -> str:
    """What is wrong with a line of a reject file; empty when it is as it was sent, with a reason for it."""
    if (reject.field("payment_id"), reject.field("invoice")) != (line.payment_id, line.invoice):
        return "other references than were sent"
    if (reject.amount, reject.field("currency")) != (line.amount, line.currency):
        return "another amount than was sent"
    if not reject.reason_code or not reject.reason_text:
        return "no reason"
    if len(reject.reason_code) == _ISO_REASON and reject.reason_code != line.reason:
        return f"reason {reject.reason_code} instead of {line.reason}"
    return ""


def left_over(partners: Path, home: Path, local: Path | None) -> list[str]:
    """Claim, stage and temporary files, files that nobody took, and blobs in the making."""
    found = [f"blobs/tmp/{path.name}" for path in (home / "blobs" / "tmp").glob("*")]
    roots = {partner.name: partner.resolve() for partner in partners.iterdir() if partner.name != "local"}
    for folder in local.iterdir() if local is not None else ():
        if folder.is_dir() and folder.name != "blobs":
            roots[f"local {folder.name}"] = folder
    for name, root in sorted(roots.items()):
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root).parts
            waiting = len(inside) > 1 and inside[:-1] == ("outbox",)
            hidden = any(part.startswith(".") for part in inside)
            if path.is_file() and (hidden or waiting or path.suffix == ".tmp"):
                found.append(f"{name}/{path.relative_to(root)}")
    return found


def notices(folder: Path) -> tuple[Counter[Notice], list[str]]:
    """The treasury's notices of refused payments, and what is wrong with those that cannot be read."""
    found: Counter[Notice] = Counter()
    faults: list[str] = []
    for text in _texts(folder, ".txt", "utf-8"):
        one = _NOTICE.search(text)
        if one is None:
            faults.append(f"a notice that says nothing: {text[:80]!r}")
        else:
            amount = Decimal(one["amount"].replace(",", ""))
            found[one["bank"], one["payment"], one["file"], one["currency"], amount, one["reason"]] += 1
    return found, faults


class Statements:
    """All entries of the statements that banks published, by the bank's reference and by the payment's.

    Args:
        folders: where the published camt.053 files lie after they were taken.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.by_reference: Counter[Booked] = Counter()
        self.by_payment: Counter[Booked] = Counter()
        for folder in folders:
            for path in folder.glob("CAMT053_*.xml"):
                self._add(etree.parse(path).getroot())

    def _add(self, root: _Element) -> None:
        for statement in root.iter("{*}Stmt"):
            number = statement.findtext("{*}Id") or ""
            for entry in statement.iter("{*}Ntry"):
                amount = entry.find("{*}Amt")
                if amount is None:
                    continue
                sign = 1 if entry.findtext("{*}CdtDbtInd") == "CRDT" else -1
                money = amount.get("Ccy", ""), sign * Decimal(amount.text or "")
                self.by_reference[number, entry.findtext("{*}NtryRef") or "", *money] += 1
                self.by_payment[number, next(entry.iter("{*}EndToEndId")).text or "", *money] += 1

    @staticmethod
    def in_jsonl(contents: Iterable[bytes]) -> Counter[Booked]:
        """The entries of the ERP's JSON lines."""
        found: Counter[Booked] = Counter()
        for content in contents:
            for line in content.decode("utf-8").splitlines():
                body = json.loads(line)
                signed = body["signed"]
                money = signed["currency"], Decimal(signed["value"])
                found[body["statement_id"], body["reference"], *money] += 1
        return found

    @staticmethod
    def in_csv(folder: Path) -> Counter[Booked]:
        """The entries of the treasury's CSV files."""
        found: Counter[Booked] = Counter()
        for text in _texts(folder, ".csv", "utf-8"):
            for row in csv.DictReader(text.splitlines(), delimiter=";"):
                sign = 1 if row["direction"] == "credit" else -1
                found[row["statement"], row["reference"], row["currency"], sign * Decimal(row["amount"])] += 1
        return found

    @staticmethod
    def in_records(folder: Path) -> tuple[Counter[Booked], list[str]]:
        """The entries of the legacy ledger's fixed-width files, and the files whose trailer does not recompute."""
        found: Counter[Booked] = Counter()
        faults: list[str] = []
        for text in _texts(folder, ".txt", "iso8859-1"):
            *entries, trailer = text.splitlines()
            for entry in entries:
                sign = 1 if entry[79] == "C" else -1
                amount = sign * Decimal(entry[80:98]).scaleb(-3)
                found[entry[36:71].rstrip(), entry[101:136].rstrip(), entry[98:101], amount] += 1
            if trailer[:2] != "T1" or int(trailer[2:10]) != len(entries):
                faults.append("a ledger file whose trailer does not recompute")
        return found, faults


def _texts(folder: Path, suffix: str, encoding: str) -> Iterator[str]:
    for path in delivered(folder):
        if path.suffix == suffix:
            yield path.read_bytes().decode(encoding)
