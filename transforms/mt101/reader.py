"""Reads MT101: messages with what their payments have in common, then one payment after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, DecimalException
from typing import Any, BinaryIO

from bus import BusError, InspectedDocument, Inspection, Part, Rejected
from transforms._inspection import Findings, Sums
from transforms._statements import account_of, day, guessed_encoding, money, placed
from transforms._swift import END, HEADER, STRAY, Field, Tokens, message_type
from transforms._totals import EXACT
from transforms.mt101.parties import agent, party, remittance

TAGS = frozenset({
    "20", "21R", "28D", "50C", "50L", "50F", "50G", "50H", "50K", "52A", "52C", "51A", "30", "25",
    "21", "21F", "23E", "32B", "56A", "56C", "56D", "57A", "57C", "57D", "59", "59A", "59F", "70", "77B",
    "33B", "71A", "25A", "36",
})  # fmt: skip
_AMOUNT = re.compile(r"([A-Z]{3})(\d{1,30}(?:,\d{0,5})?)", re.ASCII)
_RATE = re.compile(r"(?=\d)(\d{0,11}),?(\d{0,11})", re.ASCII)
_CHAIN = re.compile(r"(\d{1,5})/(\d{1,5})", re.ASCII)
_DAY = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)
_BEARERS = {"OUR": "DEBT", "SHA": "SHAR", "BEN": "CRED"}
_SERVICES = ("URGP", "SDVA")
_CATEGORIES = ("CORT", "INTC")
PLAIN_CODES = ("NETS", "RTGS", "PHON", "REPA")
"""Codes of :23E: that a bank's clerk reads, carried as instruction for the debtor's bank."""
_MOST_FIELDS = 200_000


class _Message:
    """What a message tells of all its payments."""

    def __init__(self, field: Field) -> None:
        self.place = f"line {field.line}"
        self.reference = field.lines[0].strip()
        self.common: dict[str, Field] = {}
        self.instructions: list[list[Field]] = []

    def add(self, field: Field) -> None:
        """Take a field: before the first :21: it is common to all, from there on of one payment."""
        if field.tag == "21":
            self.instructions.append([field])
        elif self.instructions:
            self.instructions[-1].append(field)
        elif field.tag in self.common:
            raise _fault("VAL728", field.place, f"a second :{field.tag}: before the first payment")
        else:
            self.common[field.tag] = field

    def first(self, *tags: str) -> Field | None:
        """The common field of one of the tags."""
        return next((self.common[tag] for tag in tags if tag in self.common), None)


class Mt101Document:
    """A file of MT101 messages as a :class:`bus.ports.Document`."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self.head: dict[str, Any] = {}
        self._tokens = Tokens(source, TAGS, encoding)
        self._chain: tuple[str, int, int] | None = None

    def parts(self, each: str) -> Iterator[Part]:
        """``payments``.

        Raises:
            Rejected: ``VAL301`` (other names); ``VAL720``, ``VAL721``, ``VAL724``, ``VAL728``, ``VAL729`` (no MT101, or
                a message without its fields); ``VAL733``, ``VAL734`` (date, chain).
        """
        if each not in ("", "records", "payments"):
            raise Rejected("VAL301", f"there are no `{each[:40]}` records", hint="write payments")
        for message in self.messages():
            yield from self.payments(message)

    def whole(self) -> dict[str, Any]:
        """``{"head": …, "payments": [all of them]}``; a bad one refuses all of it."""
        found = []
        for part in self.parts("payments"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return {"head": self.head, "payments": found}

    def messages(self) -> Iterator[_Message]:
        """One message after the other, chained ones in their order."""
        message, fields, last = None, 0, 1
        for field in self._tokens:
            last, fields = field.line, fields + 1
            self._check(field, message, fields)
            if field.tag in (HEADER, END, "20"):
                if message is not None:
                    yield self._complete(message)
                message, fields = (_Message(field), 0) if field.tag == "20" else (None, 0)
            elif message is not None:
                message.add(field)
        if message is not None:
            yield self._complete(message)
        if self._chain is not None and self._chain[1] != self._chain[2]:
            text = f"message {self._chain[1]} of {self._chain[2]} is the last one in the file"
            raise _fault("VAL734", f"line {last}", text)
        if not self.head:
            raise _fault("VAL720", "line 1", "there is no MT101 message in the file")

    def _check(self, field: Field, message: _Message | None, fields: int) -> None:
        if field.tag == HEADER:
            kind = message_type(field)
            if kind not in ("", "101"):
                raise _fault("VAL729", field.place, f"a message MT{kind}, not MT101")
        elif field.line in self._tokens.undecodable:
            raise _fault("VAL306", field.place, "bytes that are not of the declared encoding")
        elif field.tag == STRAY or (message is None and field.tag not in (END, "20")):
            raise _fault("VAL724", field.place, "this belongs to no message; a message begins with :20:")
        elif fields > _MOST_FIELDS:
            raise _fault("VAL720", field.place, f"over {_MOST_FIELDS} fields in one message")

    def _complete(self, message: _Message) -> _Message:
        missing = [f":{tag}:" for tag in ("28D", "30") if tag not in message.common]
        missing += [] if message.instructions else [":21:"]
        if missing:
            raise _fault("VAL721", message.place, f"the message has no {', '.join(missing)}")
        chain = message.common["28D"]
        found = _CHAIN.fullmatch(chain.lines[0].strip())
        index, total = (int(found[1]), int(found[2])) if found else (0, 0)
        name = message.common["21R"].lines[0].strip() if "21R" in message.common else ""
        before = self._chain
        goes_on = before is not None and before[1] < before[2]
        expected = (name, before[1] + 1, before[2]) if goes_on and before else (name, 1, total)
        if total < 1 or (name, index, total) != expected:
            text = f"the message is {index} of {total}, expected was {expected[1]} of {max(expected[2], 1)}"
            raise _fault("VAL734", chain.place, text)
        self._chain = name, index, total
        if not self.head:
            self.head.update({"reference": message.reference, "customer_reference": name})
        return message

    def payments(self, message: _Message) -> Iterator[Part]:
        """The payments of one message.

        Raises:
            Rejected: ``VAL733``: the execution date is no day.
        """
        field = message.common["30"]
        found = _DAY.fullmatch(field.lines[0].strip())
        try:
            when = day(found[1], found[2], found[3]) if found else ""
        except Rejected:
            when = ""
        if not when:
            raise _fault("VAL733", field.place, "the execution date is no day of the calendar, written yymmdd", "DT01")
        for fields in message.instructions:
            raw = b"".join(line for part in fields for line in part.raw)
            place = f"line {fields[0].line}, :21:"
            try:
                yield Part(_payment(message, fields, when), place, raw)
            except Rejected as error:
                where = error.place or place
                yield Part(None, where, raw, error if error.message.startswith(where) else placed(error, where))


def _payment(message: _Message, fields: list[Field], when: str) -> dict[str, Any]:
    own, codes = _own_fields(fields)

    def first(*tags: str) -> Field | None:
        return next((own[tag] for tag in tags if tag in own), None) or message.first(*tags)

    reference = own["21"].lines[0].strip()
    end_to_end, texts = remittance(own.get("70"), reference)
    payment: dict[str, Any] = {
        "type": "payment",
        "id": reference,
        "message_id": message.reference,
        "payment_information_id": message.reference,
        "end_to_end_id": end_to_end,
        "instruction_id": reference,
        "debtor": _side(first("50F", "50G", "50H", "50K"), first("52A", "52C"), "debtor"),
        "creditor": _side(first("59", "59A", "59F"), first("57A", "57C", "57D"), "creditor"),
        "execution_date": when,
        "remittance": texts,
        **_worth(own, codes),
    }
    between = first("56A", "56C", "56D")
    if between is not None and (bank := agent(between)):
        payment["intermediary_agents"] = [bank]
    _charges(payment, own)
    if "77B" in own:
        payment["regulatory"] = [{"details": [{"texts": [line for line in own["77B"].lines if line.strip()]}]}]
    for field in codes:
        _instruct(payment, field)
    return payment


def _own_fields(fields: list[Field]) -> tuple[dict[str, Field], list[Field]]:
    """Fields of one payment by tag, and its codes, of which there may be several."""
    own: dict[str, Field] = {}
    codes = []
    for field in fields:
        if field.tag == "23E":
            codes.append(field)
        elif field.tag in own:
            raise _fault("VAL728", field.place, f"a second :{field.tag}: in one payment")
        else:
            own[field.tag] = field
    return own, codes


def _charges(payment: dict[str, Any], own: dict[str, Field]) -> None:
    if "71A" in own:
        bearer = _BEARERS.get(own["71A"].lines[0].strip())
        if bearer is None:
            raise _fault("VAL733", own["71A"].place, "the charges are none of OUR, SHA, BEN", "BE19")
        payment["charge_bearer"] = bearer
    if "25A" in own:
        payment["charges_account"] = account_of(own["25A"].text.lstrip("/"))


def _side(field: Field | None, bank: Field | None, role: str) -> dict[str, Any]:
    if field is None:
        text = f"the payment has no {role} (:{'50' if role == 'debtor' else '59'}:)"
        raise Rejected("VAL436", text, reason="BE08" if role == "debtor" else "BE22", hint="ask the sender")
    found = party(field)
    if bank is not None:
        found["agent"] = agent(bank)
    return found


def _amount(field: Field) -> dict[str, Any]:
    found = _AMOUNT.fullmatch(field.lines[0].strip())
    if found is None:
        raise _fault("VAL733", field.place, "an amount is not readable; expected for instance `EUR12,50`", "AM12")
    try:
        return {"value": money(Decimal(found[2].replace(",", ".")), found[1]), "currency": found[1]}
    except Rejected as error:
        raise placed(error, field.place) from None


def _worth(own: dict[str, Field], codes: list[Field]) -> dict[str, Any]:
    """Amount, and exchange where another currency is ordered than transferred."""
    if "32B" not in own:
        raise Rejected("VAL733", "the payment has no amount (:32B:)", reason="AM12", hint="ask the sender")
    worth = _amount(own["32B"])
    ordered = _amount(own["33B"]) if "33B" in own else None
    exchange: dict[str, Any] = {}
    if "21F" in own:
        exchange["contract"] = own["21F"].lines[0].strip()
    if any(field.lines[0].startswith("EQUI") for field in codes):
        if ordered is None:
            raise _fault("VAL733", own["32B"].place, "an equivalent amount (EQUI) without :33B:", "AM12")
        told = {"amount": ordered, "transfer_currency": worth["currency"]}
        return {**told, "exchange": exchange} if exchange else told
    if "36" in own:
        rate = _rate(own["36"])
        if ordered is None:
            raise _fault("VAL733", own["36"].place, "an exchange rate (:36:) without :33B:", "AM12")
        _check_rate(worth, ordered, rate, own["36"])
        exchange |= {"rate": rate, "source_currency": ordered["currency"], "target_currency": worth["currency"]}
    elif ordered is not None and ordered != worth:
        raise _fault("VAL733", own["33B"].place, "another amount (:33B:) without an exchange rate (:36:)", "AM12")
    return {"amount": worth, "exchange": exchange} if exchange else {"amount": worth}


def _rate(field: Field) -> Decimal:
    found = _RATE.fullmatch(field.lines[0].strip())
    rate = Decimal(f"{found[1] or 0}.{found[2] or 0}").normalize() if found else Decimal(0)
    if not rate:
        raise _fault("VAL733", field.place, "an exchange rate is no number above zero, such as `0,9236`", "AM12")
    return rate


def _check_rate(worth: dict[str, Any], ordered: dict[str, Any], rate: Decimal, field: Field) -> None:
    """The ordered amount times the rate is the transferred one, but for the last digit of either."""
    try:
        steps = [Decimal(1).scaleb(int(amount["value"].as_tuple().exponent)) for amount in (worth, ordered)]
        difference = abs(EXACT.subtract(EXACT.multiply(ordered["value"], rate), worth["value"]))
        right = difference <= EXACT.add(steps[0], EXACT.multiply(steps[1], rate))
    except DecimalException:
        right = False
    if not right:
        raise _fault("VAL733", field.place, "the ordered amount (:33B:) times the rate (:36:) is not :32B:", "AM12")


def _instruct(payment: dict[str, Any], field: Field) -> None:
    """A code of :23E: at its place in the canonical payment."""
    code, _, text = field.lines[0].strip().partition("/")
    if code in _SERVICES:
        payment["service_level"] = code
    elif code in _CATEGORIES:
        payment["category_purpose"] = code
    elif code == "CHQB":
        payment["method"] = "CHK"
    elif code == "OTHR" or code in PLAIN_CODES:
        told = text if code == "OTHR" else "/".join(filter(None, (code, text)))
        before = payment.get("instruction_for_debtor_agent")
        payment["instruction_for_debtor_agent"] = f"{before}, {told}" if before else told
    elif code != "EQUI":
        raise _fault("VAL735", field.place, "an instruction that changes what kind of payment it is", "FF03")


def _fault(code: str, place: str, text: str, reason: str = "FF01") -> Rejected:
    return Rejected(code, f"{place}: {text}", reason=reason, place=place, hint="ask the sender for a correct file")


def inspect(source: BinaryIO) -> Inspection:
    """Read a whole file: one document a message, everything that is wrong a finding."""
    encoding = guessed_encoding(source)
    findings, documents = Findings(), []
    try:
        document = Mt101Document(source, encoding)
        for message in document.messages():
            sums, account = Sums(signed=False), None
            for part in document.payments(message):
                if part.error is not None:
                    findings.refused(part.error, part.place)
                    sums.add("", Decimal(0))
                    continue
                worth = part.body["amount"]
                sums.add(worth["currency"], worth["value"])
                debtor = part.body["debtor"]["account"] or {}
                account = account or debtor.get("iban") or debtor.get("other")
            documents.append(InspectedDocument(message.reference, account, None, None, sums.totals()))
    except BusError as error:
        place = getattr(error, "place", "")
        findings.add(error.code, "error", place, error.message.removeprefix(f"{place}: "))
    return Inspection("mt101", "payments" if documents else None, tuple(documents), findings.told())
