"""Reads a NACHA file record by record: order, counts, hashes and sums proved on both levels, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any, BinaryIO

from bus import Rejected
from transforms._lines import Opened, blocks
from transforms.nacha import records as r

_MOST_OF_A_LINE = 10_000_000
_MOST_ADDENDA = 9_999
CREDIT_CODES = frozenset(f"{kind}{digit}" for kind in "2345" for digit in "1234")
DEBIT_CODES = frozenset(f"{kind}{digit}" for kind in "234" for digit in "6789") | {"55", "56"}
"""Transaction codes of Appendix Three; 1 and 6 are returns and notifications of change, 3 and 8 prenotes."""
IAT_ADDENDA = ("10", "11", "12", "13", "14", "15", "16")
"""Addenda that every IAT entry has, in this order."""

Problem = Callable[[Rejected], None]
"""Is told what is wrong with the file as a whole: raises it, or remembers it and reading goes on."""


@dataclass(slots=True)
class Entry:
    """An entry detail record with its addenda; ``error`` is the first thing that is wrong with it."""

    place: str
    lines: list[bytes]
    batch: dict[str, Any]
    fields: dict[str, Any]
    addenda: list[dict[str, Any]] = field(default_factory=list)
    error: Rejected | None = None

    def blame(self, code: str, place: str, message: str, hint: str = "", reason: str = "FF01") -> None:
        """Remember the first error."""
        if self.error is None:
            self.error = Rejected(code, f"{place}: {message}", hint=hint, reason=reason, place=place)

    @property
    def raw(self) -> bytes:
        """The records as they stood in the file."""
        return b"".join(self.lines)

    @property
    def is_debit(self) -> bool:
        """Whether it takes from the receiver."""
        code = self.fields["transaction_code"]
        return code in DEBIT_CODES

    def text_addenda(self) -> list[str]:
        """Texts of the addenda that carry remittance."""
        return [a["text"] for a in self.addenda if a["type"] in ("05", "17") and a["text"]]

    def addendum(self, kind: str) -> dict[str, Any]:
        """The first addendum of a type; empty for none."""
        return next((a for a in self.addenda if a["type"] == kind), {})


@dataclass(slots=True)
class Tally:
    """What control records tell."""

    count: int = 0
    hash: int = 0
    debit: Decimal = Decimal("0.00")
    credit: Decimal = Decimal("0.00")

    def add(self, other: Tally) -> None:
        """Add all of another."""
        self.count += other.count
        self.hash = (self.hash + other.hash) % r.HASH
        self.debit += other.debit
        self.credit += other.credit

    def differences(self, told: dict[str, Any]) -> list[tuple[str, str]]:
        """(ISO reason, words) for what a control record tells otherwise."""
        said = (("AM18", "count"), ("AM10", "hash"), ("AM10", "debit"), ("AM10", "credit"))
        return [
            (reason, f"the control record says a {name} of {told[name]}, the entries make {getattr(self, name)}")
            for reason, name in said
            if told[name] != getattr(self, name)
        ]


class Reading:
    """One pass through a file. ``head`` holds the file header, ``batches`` what was in each batch that is over."""

    def __init__(self, source: BinaryIO, encoding: str, problem: Problem) -> None:
        """Read the file header.

        Raises:
            Rejected: ``VAL780`` when the file does not begin with one; ``VAL302`` … as all line formats.
        """
        self._problem = problem
        self._encoding = encoding
        self._lines = _records(Opened(source, bom_allowed=False))
        self._records = 0
        self._all = Tally()
        self._batches = 0
        self._batch: dict[str, Any] | None = None
        self._tally = Tally()
        self._entry: Entry | None = None
        self._tail = ""
        self.head = self._header()

    def _header(self) -> dict[str, Any]:
        place, raw = next(self._lines, ("line 1", b""))
        text = self._text(raw, place)
        if text[:1] != "1" or text[34:40] != "094101":
            raise Rejected(
                "VAL780",
                f"{place}: no NACHA file header (record type 1, record size 094, blocking factor 10, format 1)",
                hint="the file is of another format, or begins with lines that do not belong to it",
                reason="FF01",
                place=place,
            )
        self._records += 1
        return self._fields(text, r.FILE_HEADER, place)

    def entries(self) -> Iterator[Entry]:
        """All entries, each with its addenda; the problem callback hears what is wrong with batches and the file."""
        for place, raw in self._lines:
            if raw.isspace():
                continue
            text = self._text(raw, place)
            kind = text[:1]
            if self._tail:
                if text.strip("9 \x1a"):
                    self._tell("VAL781", place, "records after the file control record")
                continue
            self._records += 1
            if kind in "56" or kind in "89":
                yield from self._finished()
            self._take(kind, text, raw, place)
        yield from self._finished()
        if not self._tail:
            self._tell("VAL793", "end of file", "the file control record (9) is missing", "AM10")

    def _take(self, kind: str, text: str, raw: bytes, place: str) -> None:
        if kind == "5":
            self._begin(text, place)
        elif kind == "6" and self._batch is not None:
            self._begin_entry(text, raw, place)
        elif kind == "7" and self._entry is not None:
            self._addendum(text, raw, place)
        elif kind == "8" and self._batch is not None:
            self._end(text, place)
        elif kind == "9" and self._batch is None:
            self._close(text, place)
        else:
            self._tell("VAL781", place, "a record stands where none of its type can stand")

    # ------------------------------------------------------------ batches

    def _begin(self, text: str, place: str) -> None:
        if self._batch is not None:
            self._tell("VAL781", place, "a batch begins before the control record (8) of the batch before it")
        iat = text[50:53] == "IAT" or text[4:20].strip() == "IATCOR"
        if text[50:53] == "ADV":
            self._tell("VAL781", place, "batches of accounting advices (ADV) have other records and are not read")
        self._batch = self._fields(text, r.IAT_BATCH_HEADER if iat else r.BATCH_HEADER, place)
        self._batch["place"] = place
        self._tally = Tally()

    def _end(self, text: str, place: str) -> None:
        batch, told = self._batch, self._fields(text, r.BATCH_CONTROL, place)
        assert batch is not None  # noqa: S101 - the caller looked
        wrong = {"220": self._tally.debit, "225": self._tally.credit}.get(batch["service_class"])
        if wrong or batch["service_class"] not in ("200", "220", "225", "280"):
            text = "the service class is not one of 200 (mixed), 220 (credits) and 225 (debits) that fits the entries"
            self._tell("VAL788", batch["place"], text)
        self._differ("VAL785", place, self._tally.differences(told))
        for name in ("service_class", "company_id", "odfi", "batch_number"):
            if told[name] != batch[name]:
                self._tell("VAL785", place, f"`{name}` is not that of the batch header at {batch['place']}")
        self._all.add(self._tally)
        self._batches += 1
        self._batch = None

    def _close(self, text: str, place: str) -> None:
        self._tail = place
        told = self._fields(text, r.FILE_CONTROL, place)
        found = self._all.differences(told)
        if told["batches"] != self._batches:
            found.insert(0, ("AM18", f"the control record says {told['batches']} batches, there are {self._batches}"))
        blocks_ = -(-self._records // r.BLOCKING)
        if told["blocks"] != blocks_:
            text = f"the control record says {told['blocks']} blocks of ten records, there are {blocks_}"
            found.append(("FF01", text))
        self._differ("VAL786", place, found)

    # ------------------------------------------------------------ entries

    def _begin_entry(self, text: str, raw: bytes, place: str) -> None:
        batch = self._batch
        assert batch is not None  # noqa: S101 - the caller looked
        layout = r.ENTRY
        if "iat_indicator" in batch:
            layout = r.IAT_ENTRY
        elif batch["entry_class"] in ("CTX", "ENR", "TRX", "ATX"):
            layout = r.CTX_ENTRY
        fields, where, said = r.decode(text, layout, place)
        entry = self._entry = Entry(place, [raw], batch, fields)
        if said:
            entry.error = Rejected("VAL782", said, reason="FF01", place=where)
        code = fields["transaction_code"]
        if code not in CREDIT_CODES | DEBIT_CODES:
            entry.blame("VAL789", f"{place}, column 2", "a transaction code that Nacha does not define")
        if not r.is_routing_number(fields["rdfi"] + fields["check_digit"]):
            hint = "nine digits whose last is the check digit (ABA)"
            entry.blame("VAL784", f"{place}, column 4", "the routing number is wrong by its check digit", hint, "RC04")
        self._count(fields, place)

    def _count(self, fields: dict[str, Any], place: str) -> None:
        amount, rdfi, tally = fields["amount"], fields["rdfi"], self._tally
        code = fields["transaction_code"]
        if not isinstance(amount, Decimal) or not rdfi.isdigit() or not code.isdigit() or len(code) != 2:
            text = "amount, routing number or transaction code cannot be read, so the control totals cannot be proved"
            self._tell("VAL785", place, text, "AM10")
            return
        debit = r.is_debit(code)
        one = Tally(1, int(rdfi), Decimal(0) if not debit else amount, Decimal(0) if debit else amount)
        tally.add(one)

    def _addendum(self, text: str, raw: bytes, place: str) -> None:
        entry = self._entry
        assert entry is not None  # noqa: S101 - the caller looked
        kind = text[1:3]
        # Some senders put a return's addendum under 98 and a notification of change under 99; the reason tells them.
        layout = r.ADDENDA.get({"R": "99", "C": "98"}.get(text[3:4], kind) if kind in ("98", "99") else kind)
        fields, where, said = r.decode(text, layout or r.OTHER_ADDENDA, place)
        if said and entry.error is None:
            entry.error = Rejected("VAL782", said, reason="FF01", place=where)
        if kind == "99" and "iat_indicator" in entry.batch and layout is r.ADDENDA["99"]:
            told = fields["information"]
            fields["original_amount"], fields["information"] = told[:10], told[10:].strip()
        self._tally.count += 1
        if len(entry.addenda) < _MOST_ADDENDA:
            entry.lines.append(raw)
            entry.addenda.append({"type": kind, **fields})
        else:
            entry.blame("VAL787", place, f"over {_MOST_ADDENDA} addenda")

    def _finished(self) -> Iterator[Entry]:
        entry, self._entry = self._entry, None
        if entry is not None:
            _check_addenda(entry)
            yield entry

    # ------------------------------------------------------------ words

    def _text(self, raw: bytes, place: str) -> str:
        """A record of 94 characters: blanks that were cut at its end are put back."""
        line = raw.rstrip(b"\r\n")
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            self._tell("VAL306", place, f"bytes that are no {self._encoding}")
            text = line.decode(self._encoding, "replace")
        if len(text) > r.LENGTH:
            if text[r.LENGTH :].strip(" \x1a"):
                self._tell("VAL783", place, f"{len(text)} characters instead of {r.LENGTH}")
            text = text[: r.LENGTH]
        return text.ljust(r.LENGTH)

    def _fields(self, text: str, layout: tuple[r.Field, ...], place: str) -> dict[str, Any]:
        """Fields of a record of which the whole file depends."""
        found, where, said = r.decode(text, layout, place)
        if said:
            self._problem(Rejected("VAL782", said, reason="FF01", place=where))
        return found

    def _differ(self, code: str, place: str, found: list[tuple[str, str]]) -> None:
        if found:
            reason, _ = found[0]
            self._tell(code, place, "; ".join(text for _, text in found), reason)

    def _tell(self, code: str, place: str, message: str, reason: str = "FF01") -> None:
        hint = "the file is refused as a whole; nothing of it was taken"
        self._problem(Rejected(code, f"{place}: {message}", hint=hint, reason=reason, place=place))


def _records(opened: Opened) -> Iterator[tuple[str, bytes]]:
    """Records as (place, bytes): lines, or stretches of 94 bytes where the file has no line ends."""
    for number, raw in enumerate(chain.from_iterable(blocks(opened, _MOST_OF_A_LINE)), 1):
        line = raw.rstrip(b"\r\n")
        if number == 1 and len(line.rstrip(b" \x1a")) >= 2 * r.LENGTH:
            for at in range(0, len(line), r.LENGTH):
                yield f"record {at // r.LENGTH + 1}", line[at : at + r.LENGTH]
        else:
            yield f"line {number}", raw


def _check_addenda(entry: Entry) -> None:
    """Number and order of the addenda of an entry."""
    fields, place = entry.fields, entry.place
    kinds = [addendum["type"] for addendum in entry.addenda]
    if fields["addenda_indicator"] not in ("0", "1") or (fields["addenda_indicator"] == "1") != bool(kinds):
        entry.blame("VAL787", f"{place}, column 79", "the addenda indicator does not tell whether addenda follow")
    told = fields.get("addenda_count")
    if isinstance(told, int) and told != len(kinds) and not {"98", "99"} & set(kinds):
        entry.blame("VAL787", place, f"the entry says {told} addenda, {len(kinds)} follow")
    if "iat_indicator" in entry.batch and entry.batch["entry_class"] == "IAT":
        if tuple(kinds[:7]) != IAT_ADDENDA:
            entry.blame("VAL787", place, "an IAT entry has the addenda 10 to 16 in this order")
        elif kinds.count("17") > 2 or kinds.count("18") > 5:
            entry.blame("VAL787", place, "an IAT entry has at most two addenda 17 and five addenda 18")
