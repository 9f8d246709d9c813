"""What ``bus inspect`` tells of a CSV file whose layout nobody declared: guessed leniently, with findings."""

from __future__ import annotations

import csv
import re
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from bus import Finding, InspectedDocument, InspectedTotal, Inspection, Rejected
from transforms._inspection import AMOUNT_NAMES, CURRENCY_NAMES
from transforms._lines import Opened, blocks
from transforms._totals import ControlTotals, plain_decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Severity = Literal["error", "warning", "info"]
_DELIMITERS = ";,\t|"
_MAX_LINE = 1_000_000
_SAMPLE = 200
_MOST_FINDINGS = 100
_CENTS = re.compile(r"[.,][0-9]{2}$")
_CURRENCY = re.compile(r"[A-Z]{3}")


def detect(head: bytes, name: str) -> float:
    """How sure a file is CSV: by its name, and by lines that agree in their number of delimiters."""
    named = name.lower().endswith((".csv", ".tsv"))
    text = head.decode("utf-8-sig", "replace")
    if not text.strip() or "\0" in text or text.lstrip()[:1] in "<{[:":
        return 0.0
    lines = [line for line in text.splitlines()[:20] if line][: -1 if len(head) >= 4096 else None]
    counts = Counter(line.count(_delimiter(lines)) for line in lines)
    regular = len(lines) > 1 and counts.most_common(1)[0][0] > 0 and counts.most_common(1)[0][1] >= len(lines) * 0.8
    if named:
        return 0.95 if regular else 0.8
    return 0.4 if regular else 0.0


def inspect(source: BinaryIO) -> Inspection:
    """Read a whole file in flat memory."""
    look = _Look()
    try:
        look.run(source)
    except Rejected as error:
        look.tell(error.code, error.place, error.message)
    document = InspectedDocument("", None, None, None, look.totals())
    if not look.columns:
        return Inspection("csv", None, (), tuple(look.findings))
    return Inspection("csv", "table", (document,), tuple(look.findings))


def guessed(source: BinaryIO) -> dict[str, Any]:
    """Options of the format with which the records of such a file can be read."""
    look = _Look()
    with suppress(Rejected):  # reading with the options tells it
        look.run(source)
    return look.options()


def _delimiter(lines: list[str]) -> str:
    """The candidate that gives most lines the same, largest number of fields."""

    def score(candidate: str) -> tuple[int, int]:
        counts = Counter(line.count(candidate) for line in lines)
        times, agreeing = max(((n, c) for n, c in counts.items() if n), key=lambda x: (x[1], x[0]), default=(0, 0))
        return agreeing, times

    return max(_DELIMITERS, key=score)


class _Look:
    """One inspection under way."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.columns: list[str] = []
        self.number = 0
        self._encoding = "utf-8"
        self._amount = self._currency = -1
        self._totals = ControlTotals()
        self._trailers = 0
        self._trailer_options: dict[str, Any] = {}
        self._delimiter = ","
        self._records_seen = 0
        self._headed = True

    def tell(self, code: str, place: str, message: str, severity: Severity = "error") -> None:
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(code, severity, place, message))

    def run(self, source: BinaryIO) -> None:
        lines = self._lines(Opened(source, bom_allowed=True))
        sample = list(islice(lines, _SAMPLE))
        self._delimiter = _delimiter(sample)
        records = self._records(chain(sample, lines))
        first = list(islice(records, _SAMPLE // 2))
        if not first:
            return
        width = Counter(len(row) for _, row in first).most_common(1)[0][0]
        at = next(i for i, (_, row) in enumerate(first) if len(row) == width)
        for number, _ in first[:at]:
            self.tell("VAL316", f"line {number}", "has another form than the lines below; a header record?", "info")
        data = [row for _, row in first[at + 1 :] if len(row) == width]
        header = first[at][1]
        if any(_amount(cell) is not None for cell in header):
            data, header, at = [header, *data], [f"column {i + 1}" for i in range(width)], at - 1
            self._headed = False
            self.tell("VAL311", f"line {first[0][0]}", "no header line; the columns are numbered", "info")
        self.columns = header
        self._find_columns(data)
        for number, row in chain(first[at + 1 :], records):
            self._take(number, row)
        for _, finding in self._totals.differences() if self._trailers else ():
            self.tell(finding.code, finding.place, finding.message)

    def options(self) -> dict[str, Any]:
        """What was found, as options of the format."""
        encoding = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        found: dict[str, Any] = {"delimiter": self._delimiter, "encoding": encoding, **self._trailer_options}
        return found if self._headed else found | {"header": False, "columns": self.columns}

    def totals(self) -> tuple[InspectedTotal, ...]:
        """Count and sum per currency, where columns for both were recognised."""
        found = tuple(InspectedTotal(currency, count, total) for currency, count, total in self._totals.rows() if count)
        return found or ((InspectedTotal("", self._records_seen, Decimal(0)),) if self._records_seen else ())

    def _records(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Records that are not blank with their last line, up to a quote that makes no sense."""
        try:
            for row in csv.reader(self._numbered(lines), delimiter=self._delimiter, strict=True):
                if row:
                    yield self.number, row
        except csv.Error:
            self.tell("VAL312", f"line {self.number}", "quotes do not end where fields end; the rest is not read")

    def _numbered(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1
            yield line

    def _lines(self, opened: Opened) -> Iterator[str]:
        number = 0
        for block in blocks(opened, _MAX_LINE):
            for raw in block:
                number += 1
                try:
                    yield raw.decode(self._encoding)
                except UnicodeDecodeError:
                    self.tell("VAL306", f"line {number}", "not UTF-8; read on as ISO 8859-1", "warning")
                    self._encoding = "iso8859-1"
                    yield raw.decode(self._encoding)

    def _find_columns(self, data: list[list[str]]) -> None:
        """Which columns hold amount and currency: what they look like decides, a telling name comes first."""
        if not data:
            return
        cells = list(zip(*data, strict=True))
        money = [i for i, column in enumerate(cells) if _most(_amount(cell) is not None for cell in column)]
        named = [i for i in money if AMOUNT_NAMES.search(self.columns[i])]
        cents = [i for i in money if _most(_CENTS.search(cell) is not None for cell in cells[i])]
        self._amount = next(iter(named or cents), -1)
        codes = [i for i, column in enumerate(cells) if _most(_CURRENCY.fullmatch(cell) is not None for cell in column)]
        named = [i for i in codes if CURRENCY_NAMES.search(self.columns[i])]
        self._currency = next(iter(named or codes), -1)

    def _take(self, number: int, row: list[str]) -> None:
        place, width = f"line {number}", len(self.columns)
        if len(row) != width or not any(row[width // 2 + 1 :]):
            if self._trailer(row, place):
                return
            if len(row) != width:
                self.tell("VAL314", place, f"has {len(row)} fields instead of {width}")
        self._records_seen += 1
        if self._amount < 0 or self._currency < 0 or len(row) <= max(self._amount, self._currency):
            return
        value, currency = _amount(row[self._amount]), row[self._currency]
        if value is None or not _CURRENCY.fullmatch(currency):
            self.tell("VAL324", place, "no readable amount and currency; not in the totals", "warning")
        else:
            self._totals.add(currency, value, place)

    def _trailer(self, row: list[str], place: str) -> bool:
        """Take a short record of mark, count, currency and sum for a trailer; False when it is none."""
        cells = [cell for cell in row if cell]
        if not 2 <= len(cells) <= 5 or _amount(cells[0]) is not None:
            return False
        numbers = [cell for cell in cells[1:] if _amount(cell) is not None]
        codes = [cell for cell in cells[1:] if _CURRENCY.fullmatch(cell)]
        if not 1 <= len(numbers) <= 2 or len(numbers) + len(codes) != len(cells) - 1 or not numbers[0].isdigit():
            return False
        self._trailers += 1
        if codes and self._amount >= 0 and self._currency >= 0:
            total = _amount(numbers[1]) if len(numbers) == 2 else None
            self._totals.declare(codes[0], int(numbers[0]), total, place)
            self._trailer_options = self._trailer_options or self._declared(row, numbers, codes)
        return True

    def _declared(self, row: list[str], numbers: list[str], codes: list[str]) -> dict[str, Any]:
        """A trailer record as options of the format."""
        if len(numbers) != 2 or not all(row[: len(numbers) + 2]):
            return {}
        names = iter(("count", "sum"))
        columns = ["mark", *("currency" if cell in codes else next(names) for cell in row[1:4])]
        of, currency = self.columns[self._amount], self.columns[self._currency]
        trailer = {"mark": row[0], "columns": columns, "of": of, "in": currency}
        return {"trailer": trailer, "decimal": "," if plain_decimal(numbers[1]) is None else "."}


def _most(answers: Iterable[bool]) -> bool:
    """More than half: a column keeps its meaning when some cells are wrong."""
    votes = list(answers)
    return sum(votes) * 2 > len(votes)


def _amount(cell: str) -> Decimal | None:
    """A cell as a number with point or comma, None when it is none."""
    value = plain_decimal(cell)
    return plain_decimal(cell, ",") if value is None else value
