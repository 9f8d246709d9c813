"""Reads BAI2: one statement an account, control totals and counts of account, group and file proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, BinaryIO

from bus import Finding, Part, Rejected
from transforms._statements import (
    Begun,
    Booked,
    Ended,
    Event,
    Fault,
    Names,
    Note,
    Statement,
    account_of,
    money,
    placed,
)
from transforms._totals import EXACT
from transforms.bai2.fields import (
    BadFieldError,
    Detail,
    count,
    date_of,
    detail,
    direction,
    entry,
    number,
    summaries,
    worth,
)
from transforms.bai2.records import Record, records

_ZERO = Decimal(0)
_LEVELS = {"49": "account", "98": "group", "99": "file"}
_INTERIM = ("1", "3")
_NOT_BOOKED = {"2": "a deletion", "4": "a test"}
_BALANCES = {"030": "ITBD", "040": "OPAV", "045": "CLAV", "060": "ITAV"}


@dataclass(slots=True)
class _Level:
    """What an account, group or file holds so far: sum of amounts, number of records and of parts."""

    total: Decimal = _ZERO
    records: int = 0
    parts: int = 0


@dataclass(slots=True)
class _Group:
    """What a group header tells."""

    as_of: str = ""
    currency: str = "USD"
    interim: bool = False
    level: _Level = field(default_factory=_Level)


class Bai2Reader:
    """A BAI2 file; see :class:`transforms._statements.Reader`."""

    format, kind = "bai2", "statement"

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self.head: dict[str, Any] = {}
        self._codec = "utf-8" if encoding == "utf-8-sig" else encoding
        self._records = records(source, encoding)
        self._names = Names()
        self._file: _Level | None = None
        self._group: _Group | None = None
        self._account: _Level | None = None
        self._statement: Statement | None = None
        self._head: Record | None = None
        self._further: list[Record] = []
        self._ended = False

    def events(self) -> Iterator[Event]:
        """Read on.

        Raises:
            Rejected: ``VAL740`` (no BAI2 in the file), what :func:`transforms.bai2.records.records` raises.
        """
        last, known = "line 1", False
        for record in self._records:
            if isinstance(record, Rejected):
                yield Fault(record)
                continue
            last, known = record.place, True
            if record.code == "88":
                yield from self._continue(record)
                continue
            yield from self._flush()
            self._head = record
        yield from self._flush()
        if not known:
            raise _fault("VAL740", last, "there is no record of BAI2 in the file")
        if not self._ended:
            yield Fault(_fault("VAL745", last, "the file ends before its trailer (99)"))
            if self._statement is not None:
                yield Ended(self._statement, ())

    def _continue(self, record: Record) -> Iterator[Event]:
        if self._head is None:
            yield Fault(_fault("VAL740", record.place, "a continuation (88) that follows no record"))
        else:
            self._further.append(record)

    def _flush(self) -> Iterator[Event]:
        """A record is complete when anything but a continuation follows."""
        record, further = self._head, self._further
        self._head, self._further = None, []
        if record is None:
            return
        if record.code == "16":
            yield from self._entry(record, further)
            return
        whole = ",".join([record.text, *(piece.text for piece in further)])
        fields = whole.split(",")
        try:
            if record.code == "01":
                yield from self._begin_file(record, fields)
            elif record.code == "02":
                yield from self._begin_group(record, fields)
            elif record.code == "03":
                yield from self._begin_account(record, whole)
        except BadFieldError as error:
            yield Fault(_fault("VAL741", record.place, str(error)))
        if record.code in _LEVELS:
            yield from self._trailer(record, [*fields, "", "", ""], 1 + len(further))
        else:
            self._count(1 + len(further))

    def _count(self, number_of_records: int) -> None:
        for level in (self._file, self._group.level if self._group else None, self._account):
            if level is not None:
                level.records += number_of_records

    # ------------------------------------------------------------ headers

    def _begin_file(self, record: Record, fields: list[str]) -> Iterator[Event]:
        if self._file is not None and not self._ended:
            yield Fault(_fault("VAL740", record.place, "a second file header (01) before the trailer (99)"))
        self._file, self._ended, self._group, self._account = _Level(), False, None, None
        if not self.head:
            names = ("sender", "receiver", "created_on", "created_at", "id")
            self.head.update(zip(names, fields, strict=False))

    def _begin_group(self, record: Record, fields: list[str]) -> Iterator[Event]:
        if self._file is None:
            yield Fault(_fault("VAL740", record.place, "a group header (02) without a file header (01)"))
            self._file = _Level()
        if self._group is not None:
            yield from self._unclosed("VAL745", record.place, "a group header (02) before the group trailer (98)")
        _, _, status, date, _, currency, modifier, *_ = [*(f.strip() for f in fields), *([""] * 7)]
        self._group = _Group(currency=currency or "USD", interim=modifier in _INTERIM)
        self._file.parts += 1
        self.kind = "report" if self._group.interim else "statement"
        if status in _NOT_BOOKED:
            text = f"the group is {_NOT_BOOKED[status]} (status {status}), so its entries must not be booked"
            yield Fault(_fault("VAL746", record.place, text))
        elif status == "3":
            yield Note(Finding("VAL746", "warning", record.place, "the group corrects one that was sent before"))
        self._group.as_of = date_of(date)

    def _unclosed(self, code: str, place: str, text: str) -> Iterator[Event]:
        yield Fault(_fault(code, place, text))
        if self._statement is not None:
            yield Ended(self._statement, ())
        self._statement = self._account = None

    def _begin_account(self, record: Record, text: str) -> Iterator[Event]:
        if self._group is None:
            yield Fault(_fault("VAL740", record.place, "an account (03) without a group header (02)"))
            self._group = _Group()
        if self._account is not None:
            yield from self._unclosed("VAL745", record.place, "an account (03) before the trailer (49) of the last one")
        group = self._group
        number_text, _, rest = text.partition(",")
        currency, _, rest = rest.partition(",")
        account = account_of(number_text, currency.strip() or group.currency)
        name = self._names.unique("-".join(filter(None, (number_text.strip(), group.as_of))))
        self._account, self._statement = _Level(), Statement(record.place, name, account)
        self._statement.body["kind"] = self.kind
        group.level.parts += 1
        yield Begun(self._statement)
        for summary in summaries(rest):
            if summary.amount is not None:
                self._account.total = EXACT.add(self._account.total, summary.amount)
                yield from self._balance(record.place, summary.code, summary.amount)

    def _balance(self, place: str, code: str, amount: Decimal) -> Iterator[Event]:
        statement, group = self._statement, self._group
        if statement is None or group is None or code not in ("010", "015", *_BALANCES):
            return
        try:
            signed = money(worth(amount, statement.currency), statement.currency)
        except Rejected as error:
            yield Fault(placed(error, place))
            return
        if code == "010":
            statement.balance("opening", "OPBD", signed, group.as_of)
        elif code == "015":
            statement.balance("closing", "CLBD", signed, group.as_of)
        else:
            value = {"value": signed, "currency": statement.currency}
            statement.further_balance(_BALANCES[code], value, group.as_of)

    # ------------------------------------------------------------ entries

    def _entry(self, record: Record, further: list[Record]) -> Iterator[Event]:
        if self._account is None:
            yield Fault(_fault("VAL740", record.place, "a transaction (16) without an account (03)"))
            yield from self._begin_account(record._replace(code="03"), "")
        self._count(1 + len(further))
        statement, account, group = self._statement, self._account, self._group
        if statement is None or account is None or group is None:
            return
        raw = "".join(piece.raw for piece in (record, *further)).encode(self._codec, "replace")
        signed = None
        try:
            found = detail(record, further)
            account.total = EXACT.add(account.total, found.amount)
            if found.code == "890":
                text = "a record without money (type 890) that is not carried"
                yield Note(Finding("VAL747", "info", record.place, text))
                return
            signed = _signed(found, statement.currency)
            body = entry(statement, found, group.as_of)
        except (Rejected, BadFieldError) as error:
            statement.unread(signed)
            refusal = (
                placed(error, record.place)
                if isinstance(error, Rejected)
                else _fault("VAL741", record.place, str(error))
            )
            yield Booked(Part(None, record.place, raw, refusal), statement.currency, signed)
        else:
            yield Booked(Part(body, record.place, raw), statement.currency, signed)

    # ------------------------------------------------------------ trailers

    def _trailer(self, record: Record, fields: list[str], number_of_records: int) -> Iterator[Event]:
        group = self._group
        level = {"49": self._account, "98": group.level if group else None, "99": self._file}[record.code]
        name = _LEVELS[record.code]
        if level is None or (record.code == "98" and self._account) or (record.code == "99" and group):
            inner = {"49": "account", "98": "account", "99": "group"}[record.code]
            yield Fault(_fault("VAL740", record.place, f"a {name} trailer ({record.code}) while no {name} is open "
                                                       f"or an {inner} still is"))  # fmt: skip
            return
        self._count(number_of_records)
        wrong = list(_wrong_trailer(record, fields, level))
        if record.code == "49":
            yield from self._end_account(level, wrong)
            return
        for error in wrong:
            yield Fault(error, sums=True)
        if record.code == "98" and self._file is not None:
            self._file.total = EXACT.add(self._file.total, level.total)
            self._group = None
        else:
            self._ended, self._file = True, None

    def _end_account(self, level: _Level, wrong: list[Rejected]) -> Iterator[Event]:
        statement, group = self._statement, self._group
        self._statement = self._account = None
        if statement is None or group is None:
            return
        group.level.total = EXACT.add(group.level.total, level.total)
        unproved = tuple(statement.unproved())
        if unproved and (group.interim or not statement.body["entries"]):
            # Interim balances are ahead of their entries, and some accounts are reported without any.
            told = f"{unproved[0].message.removeprefix(f'{statement.place}: ')}, but entries may be left out here"
            yield Note(Finding(unproved[0].code, "warning", statement.place, told))
            unproved = ()
        yield Ended(statement, (*wrong, *unproved))


def _signed(found: Detail, currency: str) -> Decimal:
    value = money(worth(found.amount, currency), currency)
    return value if direction(found.code) == "credit" else -value


def _wrong_trailer(record: Record, fields: list[str], level: _Level) -> Iterator[Rejected]:
    """What a trailer tells and what was found: control total, number of parts, number of records."""
    name = _LEVELS[record.code]
    records_at = 1 if record.code == "49" else 2
    try:
        total, parts, number_of_records = number(fields[0]), count(fields[1]), count(fields[records_at])
    except BadFieldError as error:
        yield _fault("VAL741", record.place, str(error))
        return
    if (total if total is not None else level.total) != level.total:
        text = f"the control total of the {name} is told as {total:f}, its amounts make {level.total:f}"
        yield _fault("VAL742", record.place, text, "AM10")
    if number_of_records is not None and number_of_records != level.records:
        text = f"the {name} has {level.records} records, its trailer tells {number_of_records}"
        yield _fault("VAL743", record.place, text, "AM18")
    if record.code != "49" and parts is not None and parts != level.parts:
        inner = "accounts" if record.code == "98" else "groups"
        text = f"the {name} has {level.parts} {inner}, its trailer tells {parts}"
        yield _fault("VAL744", record.place, text, "AM18")


def _fault(code: str, place: str, text: str, reason: str = "FF01") -> Rejected:
    return Rejected(code, f"{place}: {text}", reason=reason, place=place, hint="ask the bank for a correct file")
