"""Bank-published files of older formats: counts and sums equal to those of a plain search through their text."""

from __future__ import annotations

import io
import os
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from bus import FormatSpec, Rejected
from transforms.bai2 import Bai2Spec
from transforms.canonical.models import Statement, StatementEntry
from transforms.cfonb120 import Cfonb120Spec
from transforms.mt940 import Mt940Spec

SAMPLES = Path(os.environ.get("GIROBUS_SAMPLES", "/nonexistent"))
MT940 = sorted(path for path in SAMPLES.glob("mt940-*/*") if "LICENSE" not in path.name)
CFONB = sorted(SAMPLES.glob("cfonb-*/*.txt"))
BAI2 = sorted(path for path in SAMPLES.glob("bai2-*/*") if "LICENSE" not in path.name)

pytestmark = pytest.mark.skipif(not MT940, reason="GIROBUS_SAMPLES is not set: sample files are not part of a checkout")

Rows = dict[str, tuple[int, Decimal]]
"""Currency -> number and signed sum."""


def found(rows: list[tuple[str, Decimal]]) -> Rows:
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for currency, value in rows:
        sums[currency].append(value)
    return {currency: (len(values), sum(values, Decimal(0))) for currency, values in sums.items()}


def told(spec: type[FormatSpec], content: bytes) -> Rows:
    rows: dict[str, tuple[int, Decimal]] = {}
    for document in spec.inspect(io.BytesIO(content)).documents:
        for total in document.totals:
            assert total.credit is not None
            assert total.debit is not None
            assert total.amount == total.credit + total.debit
            count, signed = rows.get(total.currency, (0, Decimal(0)))
            rows[total.currency] = count + total.count, signed + total.credit - total.debit
    return rows


def read(spec: FormatSpec, content: bytes) -> Rows | Rejected:
    """What a route would get: all entries, or the refusal."""
    rows = []
    try:
        for part in spec.build().read(io.BytesIO(content)).parts("entries"):
            if part.error is not None:
                return part.error
            StatementEntry.model_validate(part.body)
            rows.append((part.body["signed"]["currency"], part.body["signed"]["value"]))
        for part in spec.build().read(io.BytesIO(content)).parts("statements"):
            Statement.model_validate(part.body)
    except Rejected as error:
        return error
    return found(rows)


def check(spec: FormatSpec, content: bytes, counted: Rows) -> None:
    """Exact, or refused with a finding that names the place; ``bus inspect`` counts the same either way."""
    assert told(type(spec), content) == counted
    findings = type(spec).inspect(io.BytesIO(content)).findings
    errors = [finding for finding in findings if finding.severity == "error"]
    rows = read(spec, content)
    if isinstance(rows, Rejected):
        assert all(error.place for error in errors)
        assert rows.code in {error.code for error in errors}
    else:
        assert rows == counted
        assert errors == []


# ---------------------------------------------------------------- MT940


def counted_mt940(content: bytes) -> Rows:
    rows, currency = [], ""
    for line in content.decode("latin-1").splitlines():
        if line.startswith(":20:") or line == "-":
            currency = ""
        if start := re.match(r":(?:60[FM]:[CD]\d{6}|34F:)([A-Z]{3})", line):
            currency = start[1]
        if line.startswith(":61:"):
            entry = re.match(r":61:[\d ]{6,10}(R?)([CD])[A-Z]?(\d+),(\d*)[A-Z]", line)
            value = Decimal(f"{entry[3]}.{entry[4]}") if entry else Decimal(0)
            negative = entry is not None and (entry[2] == "D") != (entry[1] == "R")
            rows.append((currency, -value if negative else value))
    return found(rows)


def test_there_are_entries_to_look_at() -> None:
    rows = [row for path in MT940 for row in counted_mt940(path.read_bytes()).values()]
    assert len(MT940) > 40
    assert sum(count for count, _ in rows) > 100
    assert sum(abs(value) for _, value in rows) > 1_000_000


@pytest.mark.parametrize("path", MT940, ids=lambda p: p.name)
def test_mt940_counts_and_sums_are_exact(path: Path) -> None:
    content = path.read_bytes()
    encoding = Mt940Spec.guessed(io.BytesIO(content))["encoding"]
    check(Mt940Spec(message="any", encoding=encoding), content, counted_mt940(content))


@pytest.mark.parametrize("path", MT940, ids=lambda p: p.name)
def test_mt940_is_recognised(path: Path) -> None:
    content = path.read_bytes()
    assert (Mt940Spec.detect(content[:4096], path.name) > 0.8) == (b":" in content)


# ---------------------------------------------------------------- CFONB 120


def counted_cfonb(content: bytes) -> Rows:
    rows = []
    for found_entry in re.finditer(rb"^04.{14}(...)2.{70}(\d{13})([^ ])", content, re.MULTILINE):
        last = found_entry[3].decode()
        digit = "{ABCDEFGHI}JKLMNOPQR".index(last)
        value = Decimal(f"{found_entry[2].decode()}{digit % 10}") / 100
        rows.append((found_entry[1].decode(), value if digit < 10 else -value))
    return found(rows)


@pytest.mark.parametrize("path", CFONB, ids=lambda p: p.name)
def test_cfonb_counts_and_sums_are_exact(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"\n04") + content.startswith(b"04") == sum(n for n, _ in counted_cfonb(content).values())
    check(Cfonb120Spec(), content, counted_cfonb(content))
    assert isinstance(read(Cfonb120Spec(), content), Rejected) == (path.name != "example.txt")
    assert Cfonb120Spec.detect(content[:4096], path.name) > 0.9


# ---------------------------------------------------------------- BAI2


def counted_bai2(content: bytes) -> Rows:
    rows, of_group, of_account = [], "USD", ""
    records = r"(?:^|/\s+)(02|03|16),([^,/\n]*),([^,/\n]*)(?:,[^,/\n]*){0,3},([A-Z]{3})?"
    for record in re.finditer(records, content.decode(), re.MULTILINE):
        code, first, second, currency = record.groups()
        if code == "02":
            of_group = currency or "USD"
        elif code == "03":
            of_account = second or of_group
        else:
            value = Decimal(second) / 100
            rows.append((of_account, value if first < "400" else -value))
    return found(rows)


@pytest.mark.parametrize("path", BAI2, ids=lambda p: p.name)
def test_bai2_counts_and_sums_are_exact(path: Path) -> None:
    content = path.read_bytes()
    assert len(re.findall(rb"(?:^|/\s+)16,", content, re.MULTILINE)) == sum(
        n for n, _ in counted_bai2(content).values()
    )
    check(Bai2Spec(), content, counted_bai2(content))
    contradictory = ("citi_example.bai2", "errors__sample-parseError.txt")
    refused = path.name in contradictory or path.name.startswith(("sample4", "sample5"))
    assert isinstance(read(Bai2Spec(), content), Rejected) == refused
    assert Bai2Spec.detect(content[:4096], path.name) > 0.6
