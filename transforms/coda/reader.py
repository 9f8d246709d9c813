"""Reads CODA: statements between a header and a trailer, with balances, number of records and sums proved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, BinaryIO

from bus import Finding, Part, Rejected
from transforms._records import Record, records
from transforms._statements import Begun, Booked, Ended, Event, Fault, Names, Note, Statement, account_of, placed
from transforms._totals import EXACT
from transforms.coda.movements import Movement, amount_of, date_of, entry, notes

LENGTH = 128
_MOST_DETAILS = 100_000
_ZERO = Decimal(0)


class CodaReader:
    """A CODA file; see :class:`transforms._statements.Reader`."""

    format, kind = "coda", "statement"

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self.head: dict[str, Any] = {}
        self._records = records(source, encoding, LENGTH)
        self._names = Names()
        self._header: Record | None = None
        self._version = ""
        self._statement: Statement | None = None
        self._movement: Movement | None = None
        self._open: Movement | None = None
        self._information: list[Record] = []
        self._details = 0
        self._count = 0
        self._sums = {"0": _ZERO, "1": _ZERO}
        self._more_follow: Record | None = None
        self._take: dict[str, Callable[[Record], Iterator[Event]]] = {
            "0": self._begin_file, "1": self._old_balance, "8": self._new_balance, "9": self._trailer,
            "21": self._begin_movement, "22": self._further, "23": self._further,
            "31": self._begin_information, "32": self._more_information, "33": self._more_information,
            "4": self._free_text,
        }  # fmt: skip

    def events(self) -> Iterator[Event]:
        """Read on.

        Raises:
            Rejected: ``VAL760`` (the file is no CODA), what :func:`transforms._records.records` raises.
        """
        last = None
        for record in self._records:
            if last is None and record.text[0] != "0":
                raise _fault("VAL760", record.place, "the file does not begin with a header (record 0)")
            last = record
            key = record.text[:2] if record.text[0] in "23" else record.text[0]
            if key not in self._take:
                yield Fault(_fault("VAL761", record.place, "no record of CODA; the first one or two digits say which"))
                continue
            if key in ("0", "1", "8", "9", "21", "4") and not (key == "21" and record.text[6:10] != "0000"):
                yield from self._flush()
            if record.error is not None and key[0] not in "23":
                yield Fault(record.error)
            self._count += key not in ("0", "4", "9")
            yield from self._take[key](record)
        yield from self._flush()
        if last is None:
            raise _fault("VAL760", "line 1", "the file has no records")
        if self._header is not None:
            yield Fault(_fault("VAL766", last.place, "the file ends before the trailer (record 9)"))
            if self._statement is not None:
                yield Ended(self._statement, ())
        if self._more_follow is not None:
            text = "the trailer says that another statement follows in the file, but none does"
            yield Note(Finding("VAL766", "warning", self._more_follow.where(128), text))

    # ------------------------------------------------------------ statements

    def _begin_file(self, record: Record) -> Iterator[Event]:
        if self._header is not None:
            yield Fault(_fault("VAL760", record.place, "a second header (record 0) before the trailer (record 9)"))
            if self._statement is not None:
                yield Ended(self._statement, ())
        self._header, self._statement, self._more_follow = record, None, None
        self._version = record.text[127]
        self._count, self._sums = 0, {"0": _ZERO, "1": _ZERO}
        if self._version not in "12":
            text = "the version (column 128 of the header) is neither 1 nor 2"
            yield Fault(_fault("VAL769", record.where(128), text))
        if not self.head:
            self.head["version"] = self._version

    def _old_balance(self, record: Record) -> Iterator[Event]:
        if self._header is None or self._statement is not None:
            yield Fault(_fault("VAL760", record.place, "an old balance (record 1) stands where none may be"))
            return
        number, currency = self._account(record)
        sequence = record.at(126, 128)
        sequence = sequence if sequence.strip("0") else record.at(3, 5)
        account = account_of(number, currency)
        if record.at(65, 90):
            account["owner"] = record.at(65, 90)
        try:
            when = date_of(record, 59)
        except Rejected as error:
            yield Fault(error)
            when = ""
        name = self._names.unique("-".join(filter(None, (number, when[:4], sequence))))
        valid = sequence.isascii() and sequence.isdigit()
        self._statement = Statement(record.place, name, account, (int(sequence) or None) if valid else None)
        if self._header.text[16] == "D":
            self._statement.body["copy_kind"] = "DUPL"
        yield Begun(self._statement)
        yield from self._balance(record, 43, "opening", "OPBD", when)

    def _account(self, record: Record) -> tuple[str, str]:
        """Number and currency of the account; where they stand depends on the structure in column 2."""
        if self._version == "1" or record.text[1] == "0":
            return record.at(6, 17), record.at(19, 21)
        return record.at(6, 39 if record.text[1] in "13" else 36), record.at(40, 42)

    def _balance(self, record: Record, sign: int, role: str, kind: str, when: str) -> Iterator[Event]:
        assert self._statement is not None  # noqa: S101 - looked at by the callers
        try:
            value = amount_of(record, sign, self._statement.currency)
        except Rejected as error:
            yield Fault(placed(error, error.place or record.where(sign)))
        else:
            self._statement.balance(role, kind, value, when)

    def _new_balance(self, record: Record) -> Iterator[Event]:
        if self._statement is None:
            yield Fault(_fault("VAL760", record.place, "a new balance (record 8) without an old balance (record 1)"))
            return
        try:
            when = date_of(record, 58)
        except Rejected as error:
            yield Fault(error)
            when = ""
        yield from self._balance(record, 42, "closing", "CLBD", when)

    def _free_text(self, record: Record) -> Iterator[Event]:
        if self._statement is not None:
            body = self._statement.body
            body["additional"] = "\n".join(filter(None, (body.get("additional", ""), record.at(33, 112))))
        yield from ()

    def _trailer(self, record: Record) -> Iterator[Event]:
        statement, header = self._statement, self._header
        if statement is None or header is None:
            yield Fault(_fault("VAL760", record.place, "a trailer (record 9) without header and old balance"))
            self._header = None
            return
        if statement.body["closing"] is None:
            # Without movements the new balance may be left out; it is the old one then.
            opening = statement.body["opening"]
            statement.body["closing"] = {**opening, "type": "CLBD"} if opening else None
        wrong = [*statement.unproved(), *self._wrong_trailer(record, statement.currency)]
        self._header = self._statement = None
        self._more_follow = record if record.text[127] == "1" else None
        yield Ended(statement, tuple(wrong))

    def _wrong_trailer(self, record: Record, currency: str) -> Iterator[Rejected]:
        count = record.at(17, 22)
        if not (count.isascii() and count.isdigit()) or int(count) != self._count:
            text = f"the trailer tells {count} records, there are {self._count}"
            yield _fault("VAL765", record.where(17), text, "AM18")
        for column, sign, name in ((23, "1", "debit"), (38, "0", "credit")):
            digits = record.text[column - 1 : column + 14]
            told = Decimal(digits).scaleb(-3) if digits.isascii() and digits.isdigit() else None
            if told != self._sums[sign]:
                shown = f"{told:f}" if told is not None else "no number"
                text = f"the trailer tells {name} movements of {shown} {currency}, there are {self._sums[sign]:f}"
                yield _fault("VAL764", record.where(column), text, "AM10")

    # ------------------------------------------------------------ movements

    def _begin_movement(self, record: Record) -> Iterator[Event]:
        movement = Movement(record)
        parent = self._movement
        self._end_information()
        self._open = movement
        if not movement.is_detail:
            self._movement, self._details = movement, 0
            if self._statement is None:
                yield Fault(_fault("VAL760", record.place, "a movement (record 21) without an old balance (record 1)"))
        elif parent is None or parent.record.text[2:6] != record.text[2:6]:
            yield Fault(_fault("VAL763", record.place, "a detail that does not follow the movement of its number"))
            self._open = None
        else:
            self._details += 1
            if self._details > _MOST_DETAILS:
                raise _fault("VAL763", record.place, f"over {_MOST_DETAILS} details of one movement")
            parent.details.append(movement)

    def _further(self, record: Record) -> Iterator[Event]:
        movement, kind = self._open, record.text[1]
        if movement is None or movement.record.text[2:10] != record.text[2:10] or kind in movement.further:
            text = f"a record 2{kind} that does not follow the record 21 of its number"
            yield Fault(_fault("VAL763", record.place, text))
        else:
            movement.further[kind] = record

    def _begin_information(self, record: Record) -> Iterator[Event]:
        self._end_information()
        if self._open is None:
            yield Fault(_fault("VAL763", record.place, "an information (record 31) that follows no movement"))
        else:
            self._information = [record]

    def _more_information(self, record: Record) -> Iterator[Event]:
        if not self._information or self._information[-1].text[2:10] != record.text[2:10]:
            text = f"a record 3{record.text[1]} that does not follow the record 31 of its number"
            yield Fault(_fault("VAL763", record.place, text))
        elif len(self._information) < 3:
            self._information.append(record)

    def _end_information(self) -> None:
        if self._information and self._open is not None:
            self._open.information.append(self._information)
        self._information = []

    def _flush(self) -> Iterator[Event]:
        """The movement is complete when another one or another kind of record follows."""
        self._end_information()
        movement, self._movement, self._open = self._movement, None, None
        statement = self._statement
        if movement is None or statement is None:
            return
        record = movement.record
        raw = b"".join(piece.raw for piece in movement.records())
        signed = None
        try:
            signed = amount_of(record, 32, statement.currency)
            self._sums[record.text[31]] = EXACT.add(self._sums[record.text[31]], abs(signed))
            body = entry(statement, movement, self._version)
        except Rejected as error:
            statement.unread(signed)
            place = error.place or record.place
            yield Booked(Part(None, place, raw, placed(error, place)), statement.currency, signed)
        else:
            for note in notes(movement, statement.currency, self._version):
                yield Note(note)
            yield Booked(Part(body, record.place, raw), statement.currency, signed)


def _fault(code: str, place: str, text: str, reason: str = "FF01") -> Rejected:
    return Rejected(code, f"{place}: {text}", reason=reason, place=place, hint="ask the bank for a correct file")
