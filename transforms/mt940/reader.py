"""Reads MT940 and MT942: messages of a file kept apart, pages of one statement joined, entries, balances, totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from transforms._swift import END, HEADER, STRAY, Field, Tokens, message_type
from transforms._totals import EXACT
from transforms.mt940.entries import Line, read_entry, read_line
from transforms.mt940.fields import (
    Balance,
    account_and_currency,
    floor_currency,
    moment,
    read_balance,
    sum_problem,
    wrong_total,
)

TAGS = frozenset(
    "20 21 25 25P 28 28C 13 13D 34F 60F 60M 61 86 62F 62M 64 65 90D 90C NS".split()  # noqa: SIM905 - a table
)
_ZERO = Decimal(0)


class _Message:
    """The fields of one message before its statement begins, and which of them there were."""

    def __init__(self, line: int) -> None:
        self.place = f"line {line}"
        self.reference = ""
        self.account = ""
        self.currency = ""
        self.number: int | None = None
        self.created = ""
        self.intraday = False
        self.seen: set[str] = set()


class MtReader:
    """A file of MT940 and MT942 messages; see :class:`transforms._statements.Reader`."""

    def __init__(self, source: BinaryIO, encoding: str, message: str) -> None:
        """Looks at the first bytes; ``message`` is ``mt940``, ``mt942`` or empty for both."""
        self.format, self.kind = message or "mt940", "statement"
        self.head: dict[str, Any] = {}
        self._tokens = Tokens(source, TAGS, encoding)
        self._wanted = message
        self._names = Names()
        self._type = ""
        self._message: _Message | None = None
        self._statement: Statement | None = None
        self._awaiting: Statement | None = None
        self._page_closed = False
        self._line: tuple[Field, Line | Rejected] | None = None
        self._tally: dict[str, tuple[int, Decimal]] = {}
        self._totals: list[tuple[Field, str]] = []
        self._faults: list[Rejected] = []
        self._take: dict[str, Callable[[Field, _Message], Iterator[Event]]] = {
            "25": self._account, "25P": self._account, "28": self._number, "28C": self._number,
            "13": self._created, "13D": self._created, "34F": self._floor,
            "60F": self._opening, "60M": self._opening, "62F": self._closing, "62M": self._closing,
            "64": self._available, "65": self._available, "90D": self._sum, "90C": self._sum,
        }  # fmt: skip

    def events(self) -> Iterator[Event]:
        """Read on.

        Raises:
            Rejected: ``VAL720`` (no such message in the file), what :class:`transforms._swift.Tokens` raises.
        """
        found, last = False, 1
        for field in self._tokens:
            tag, last = field.tag, field.line
            if self._line is not None:
                of_entry = tag in ("86", "NS")
                yield self._book(field if of_entry else None)
                if of_entry:
                    continue
            if tag == "61":
                found = True
                if self._statement is None:
                    yield from self._before_entries(field)
                self._line = field, read_line(field)
            elif tag == "86":
                found = True
                yield from self._information(field)
            elif tag in (HEADER, END, STRAY, "20", "NS"):
                found = found or tag == "20"
                yield from self._between(field)
            else:
                found = True
                yield from self._field(field)
        if self._line is not None:
            yield self._book(None)
        yield from self._end_message(last)
        yield from self._end_awaiting()
        if not found:
            text = "there is no MT940 or MT942 message in the file"
            raise Rejected("VAL720", text, reason="FF01", place="line 1", hint="messages begin with `:20:`")

    # ------------------------------------------------------------ messages

    def _between(self, field: Field) -> Iterator[Event]:
        """What stands between messages, begins or ends one."""
        if field.tag == STRAY:
            text = f"{field.place}: text that belongs to no field"
            yield Fault(Rejected("VAL724", text, reason="FF01", place=field.place, hint="fields begin with `:tag:`"))
        elif field.tag == "NS":
            yield Note(Finding("VAL730", "info", field.place, "a field of the bank's own that is not read"))
        else:
            yield from self._end_message(field.line)
            if field.tag == HEADER:
                self._type = message_type(field)
                yield from self._check_type(field.place)
            elif field.tag == "20":
                self._message = _Message(field.line)
                self._message.reference = field.lines[0].strip()
                self._message.seen.add("20")
                if not self.head:
                    self.head["reference"] = self._message.reference

    def _check_type(self, place: str) -> Iterator[Event]:
        known = ("940", "942") if not self._wanted else (self._wanted[2:],)
        if self._type and self._type not in known:
            wanted = self._wanted or "mt940 or mt942"
            text = f"{place}: a message MT{self._type}, not {wanted.upper()}"
            yield Fault(Rejected("VAL729", text, reason="FF01", place=place, hint="read it with another format"))

    def _field(self, field: Field) -> Iterator[Event]:
        if field.line in self._tokens.undecodable:
            text = f"{field.place}: bytes that are not of the declared encoding"
            hint = "declare the encoding that the bank uses, for instance `iso-8859-15` or `cp1252`"
            yield Fault(Rejected("VAL306", text, reason="FF01", place=field.place, hint=hint))
        message = self._message or self._headless(field)
        if field.tag in message.seen and field.tag not in ("34F", "65"):
            text = f"{field.place}: a second :{field.tag}: in one message"
            hint = "ask the bank for a correct file; it has perhaps lost the begin of a message"
            yield Fault(Rejected("VAL728", text, reason="FF01", place=field.place, hint=hint))
            return
        message.seen.add(field.tag)
        if field.tag in self._take:
            yield from self._take[field.tag](field, message)

    def _headless(self, field: Field) -> _Message:
        self._message = _Message(field.line)
        return self._message

    def _begin(self, message: _Message, currency: str) -> Iterator[Event]:
        """The statement of the message begins: all that comes before its first entry is known."""
        currency = currency or message.currency
        account = account_of(message.account, currency)
        self._statement = Statement(message.place, self._names.unique(message.reference), account, message.number)
        self._statement.body["created"] = message.created
        self._tally, self._totals, self._faults = {}, [], []
        yield Begun(self._statement)

    def _end_message(self, line: int) -> Iterator[Event]:
        message = self._message
        if message is None:
            return
        if self._statement is None:
            yield from self._end_awaiting()
            yield from self._begin(message, message.currency)
        yield from self._missing(message, line)
        statement, self._message, self._statement = self._statement, None, None
        assert statement is not None  # noqa: S101 - begun right above
        if self._page_closed:
            self._awaiting, self._page_closed = statement, False
        else:
            yield Ended(statement, self._wrong(statement))

    def _end_awaiting(self) -> Iterator[Event]:
        """A statement whose next page did not come."""
        statement, self._awaiting = self._awaiting, None
        if statement is not None:
            text = "a page that says that more follow, but the next one is not in this file"
            yield Note(Finding("VAL727", "warning", statement.place, text))
            yield Ended(statement, self._wrong(statement))

    def _wrong(self, statement: Statement) -> tuple[Rejected, ...]:
        wrong = [*self._faults, *statement.unproved()]
        for field, direction in self._totals:
            wrong += wrong_total(field, direction, self._tally.get(direction, (0, _ZERO)), statement.currency)
        return tuple(wrong)

    def _missing(self, message: _Message, line: int) -> Iterator[Event]:
        """Fields without which a message tells too little."""
        seen = message.seen
        self._told_kind(message)
        if self._statement is not None:
            self._statement.body["kind"] = self.kind
        needed = [":25:"] if not seen & {"25", "25P"} else []
        if self.kind == "statement":
            needed += [] if seen & {"60F", "60M"} else [":60F:"]
            needed += [] if seen & {"62F", "62M"} else [":62F:"]
        elif "34F" not in seen:
            needed.append(":34F:")
        if needed:
            text = f"{message.place}: the message that ends before line {line + 1} has no {', '.join(needed)}"
            hint = "perhaps the file is cut off; ask for it again"
            yield Fault(Rejected("VAL721", text, reason="FF01", place=message.place, hint=hint))
        if "20" not in seen:
            yield Note(Finding("VAL721", "warning", message.place, "the message has no :20:"))
        if not seen & {"28", "28C"}:
            yield Note(Finding("VAL721", "warning", message.place, "the message has no :28C:, so no number"))

        if self._wanted and self._wanted != self.format:
            text = f"{message.place}: the message is an {self.format.upper()}, not an {self._wanted.upper()}"
            hint = f"write `parse: {self.format}`; what was booked and what is announced must not be mixed"
            yield Fault(Rejected("VAL729", text, reason="FF01", place=message.place, hint=hint))

    def _told_kind(self, message: _Message) -> None:
        intraday = self._type == "942" or (not self._type and message.intraday and not message.seen & {"60F", "60M"})
        if not self._type and not message.intraday and not message.seen & {"60F", "60M", "62F", "62M"}:
            intraday = self._wanted == "mt942"
        self.format, self.kind = ("mt942", "report") if intraday else ("mt940", "statement")

    # ------------------------------------------------------------ fields

    def _account(self, field: Field, message: _Message) -> Iterator[Event]:
        message.account, message.currency = account_and_currency(field)
        if self._statement is not None:
            place = f"{field.place}: the account is told after the statement began"
            yield Fault(Rejected("VAL728", place, reason="FF01", place=field.place, hint="it stands before :60F:"))

    def _number(self, field: Field, message: _Message) -> Iterator[Event]:
        number = field.lines[0].strip().partition("/")[0]
        # Banks that do not number their statements write 0.
        message.number = (int(number) or None) if number.isascii() and number.isdigit() else None
        yield from ()

    def _created(self, field: Field, message: _Message) -> Iterator[Event]:
        message.intraday = True
        message.created = moment(field)
        if self._statement is not None:
            self._statement.body["created"] = message.created
        yield from ()

    def _floor(self, field: Field, message: _Message) -> Iterator[Event]:
        message.intraday = True
        currency = floor_currency(field)
        if isinstance(currency, Rejected):
            yield Fault(currency)
        elif self._statement is None:
            message.currency = currency

    def _opening(self, field: Field, message: _Message) -> Iterator[Event]:
        told = read_balance(field)
        balance = None if isinstance(told, Rejected) else told
        if isinstance(told, Rejected):
            yield Fault(told)
        if field.tag == "60M" and self._goes_on(message):
            yield from self._next_page(field, balance)
            return
        yield from self._end_awaiting()
        if self._statement is not None:
            text = f"{field.place}: the opening balance comes after entries"
            yield Fault(Rejected("VAL724", text, reason="FF01", place=field.place, hint="it stands before :61:"))
            return
        yield from self._begin(message, balance.currency if balance else "")
        if balance:
            yield from self._set(field, "opening", "OPBD" if field.tag == "60F" else "ITBD", balance)

    def _goes_on(self, message: _Message) -> bool:
        before = self._awaiting
        if before is None or self._statement is not None:
            return False
        number, same = before.body["sequence_number"], account_of(message.account, before.currency)
        return bool(same == before.account and number == message.number)

    def _next_page(self, field: Field, balance: Balance | None) -> Iterator[Event]:
        statement, self._awaiting = self._awaiting, None
        assert statement is not None  # noqa: S101 - that is what made this a next page
        self._statement = statement
        carried = (statement.body["closing"] or {}).get("amount", {}).get("value")
        if balance is not None and carried != balance.signed:
            text = f"{field.place}: the page does not begin with the balance at which the last one ended"
            hint = "ask the bank for all pages of the statement"
            self._faults.append(Rejected("VAL727", text, reason="AM10", place=field.place, hint=hint))
        yield from ()

    def _set(self, field: Field, role: str, kind: str, balance: Balance) -> Iterator[Event]:
        statement = self._statement
        if statement is None:
            return
        statement.currency = statement.currency or balance.currency
        if balance.currency and balance.currency != statement.currency:
            text = f"{field.place}: the balance is in {balance.currency}, the statement in another currency"
            yield Fault(Rejected("VAL723", text, reason="AM03", place=field.place))
            return
        if not balance.currency:
            text = "a balance without a currency; that of the statement is taken"
            yield Note(Finding("VAL723", "warning", field.place, text))
        try:
            statement.balance(role, kind, money(balance.signed, statement.currency), balance.when)
        except Rejected as error:
            yield Fault(placed(error, field.place))

    def _closing(self, field: Field, message: _Message) -> Iterator[Event]:
        balance = read_balance(field)
        if self._statement is None:
            yield from self._end_awaiting()
            yield from self._begin(message, "" if isinstance(balance, Rejected) else balance.currency)
        self._page_closed = field.tag == "62M"
        if isinstance(balance, Rejected):
            yield Fault(balance)
            return
        yield from self._set(field, "closing", "CLBD" if field.tag == "62F" else "ITBD", balance)

    def _available(self, field: Field, message: _Message) -> Iterator[Event]:
        balance = read_balance(field)
        if isinstance(balance, Rejected):
            yield Note(Finding("VAL723", "warning", field.place, balance.message.removeprefix(f"{field.place}: ")))
            return
        if self._statement is None:
            yield from self._begin(message, balance.currency)
        if self._statement is not None:
            worth = {"value": balance.signed, "currency": balance.currency or self._statement.currency}
            self._statement.further_balance("CLAV" if field.tag == "64" else "FWAV", worth, balance.when)

    def _sum(self, field: Field, message: _Message) -> Iterator[Event]:
        message.intraday = True
        problem = sum_problem(field)
        if problem is not None:
            yield Fault(problem)
        else:
            self._totals.append((field, "debit" if field.tag == "90D" else "credit"))

    # ------------------------------------------------------------ entries

    def _before_entries(self, field: Field) -> Iterator[Event]:
        message = self._message or self._headless(field)
        yield from self._end_awaiting()
        yield from self._begin(message, message.currency)

    def _information(self, field: Field) -> Iterator[Event]:
        """A :86: that follows no entry tells of the statement as a whole."""
        message = self._message or self._headless(field)
        if self._statement is None:
            yield from self._end_awaiting()
            yield from self._begin(message, message.currency)
        if self._statement is not None:
            body = self._statement.body
            body["additional"] = "\n".join(filter(None, (body.get("additional", ""), field.text)))
        if not message.seen & {"62F", "62M", "90D", "90C"}:
            text = "it follows no entry, so it is taken as information on the statement"
            yield Note(Finding("VAL724", "warning", field.place, text))

    def _book(self, information: Field | None) -> Booked:
        assert self._line is not None  # noqa: S101 - the callers look
        assert self._statement is not None  # noqa: S101 - it began with the first entry
        (field, line), self._line = self._line, None
        statement, place = self._statement, f"line {field.line}, :61:"
        raw = b"".join(field.raw if information is None else field.raw + information.raw)
        signed = None
        try:
            if isinstance(line, Rejected):
                raise line
            signed = line.value if line.direction == "credit" else -line.value
            value = money(line.value, statement.currency)
            signed = value if line.direction == "credit" else -value
            count, total = self._tally.get(line.direction, (0, _ZERO))
            self._tally[line.direction] = count + 1, EXACT.add(total, value)
            self._check_encoding(field, information)
            entry = read_entry(statement, line, value, information)
        except Rejected as error:
            statement.unread(signed)
            return Booked(Part(None, place, raw, placed(error, place)), statement.currency, signed)
        return Booked(Part(entry, place, raw), statement.currency, signed)

    def _check_encoding(self, field: Field, information: Field | None) -> None:
        bad = self._tokens.undecodable
        if bad and (field.line in bad or (information and information.line in bad)):
            hint = "declare the encoding that the bank uses, for instance `iso-8859-15` or `cp1252`"
            raise Rejected("VAL306", "bytes that are not of the declared encoding", reason="FF01", hint=hint)
