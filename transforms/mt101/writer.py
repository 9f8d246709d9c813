"""Writes MT101: one message for payments of one debtor, account, bank and day, chained where it gets too long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, DecimalException
from typing import Any, BinaryIO

from bus import FileRules, Rejected, RuleBook, WriteContext, child_id, minor_units
from transforms._characters import converter
from transforms._faults import Faults
from transforms._rules import check_count, check_size
from transforms._statements import money, placed
from transforms._swift import Field, framed
from transforms._totals import EXACT
from transforms.canonical.checks import payment as payment_flaws
from transforms.canonical.checks import refusal
from transforms.mt101.parties import account_line, agent_field, party_lines, remittance, remittance_text, wrapped
from transforms.mt101.reader import PLAIN_CODES

_LONGEST_MESSAGE = 10_000
_LONGEST_REFERENCE = 16
_LONGEST_AMOUNT = 15
_LONGEST_RATE = 12
_BEARERS = {"DEBT": "OUR", "SHAR": "SHA", "SLEV": "SHA", "CRED": "BEN", "": "SHA"}
_NOT_CARRIED = (
    "local_instrument", "purpose", "ultimate_debtor", "ultimate_creditor", "instructions_for_creditor_agent", "uetr",
    "charges_agent", "batch_booking", "tax", "related_remittance", "cheque",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """How to write: see the fields of :class:`transforms.mt101.Mt101Spec`."""

    transliterate: bool
    sender: str
    receiver: str
    book: RuleBook | None = None


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, output: Output) -> None:
    """Write canonical payments.

    Raises:
        Rejected: ``VAL431`` … ``VAL444`` (a payment is wrong or has a character that cannot be sent), ``VAL735``,
            ``VAL736`` (something of it has no place in an MT101), a code of the profile, ``VAL700`` and ``VAL701``
            (more than the profile takes in a file), ``VAL451`` (no payment).
    """
    writer, faults = _Writer(target, context, output), Faults()
    for number, payment in enumerate(parts):
        try:
            writer.add(payment, number)
        except Rejected as error:
            faults.add(number, placed(error, f"payment {number + 1}"))
    faults.prove()
    writer.finish()


class _Writer:
    """Collects the payments of one debtor and day, then writes their messages."""

    def __init__(self, target: BinaryIO, context: WriteContext, output: Output) -> None:
        self._target, self._context, self._output = target, context, output
        self._rules = output.book.at(context.created_at) if output.book is not None else None
        self._text = _conversion(self._rules, transliterate=output.transliterate)
        self._key: tuple[Any, ...] | None = None
        self._head: list[str] = []
        self._payments: list[str] = []
        self._groups = self._count = self._size = 0
        self._seen: set[str] = set()

    def add(self, payment: Any, number: int) -> None:
        """Append one payment."""
        flaws = payment_flaws(payment)
        if flaws:
            raise refusal(flaws)
        book, rules = self._output.book, self._rules
        if book is not None:
            payment = book.prepare(payment, self._context.created_at)
        key = (payment["debtor"], payment["execution_date"], rules and rules.group(payment))
        if key != self._key or (rules is not None and len(self._payments) == rules.most_in_block):
            self._flush()
            self._head = self._common(payment)
            self._key = key
        self._payments.append(self._one(payment, number))
        self._count += 1

    def finish(self) -> None:
        """Write what is left.

        Raises:
            Rejected: ``VAL451`` when there was no payment, ``VAL700``, ``VAL701``: more than the profile takes.
        """
        self._flush()
        if not self._groups:
            raise Rejected("VAL451", "there is no payment to write", hint="do not send empty groups on")
        check_count(self._count, self._rules)
        check_size(self._size, self._rules)

    def _common(self, payment: dict[str, Any]) -> list[str]:
        debtor, date = payment["debtor"], payment["execution_date"]
        lines = self._party("50", "H", debtor)
        if debtor.get("agent"):
            lines += self._agent("52", debtor["agent"], "debtor.agent", "AC")
        return [*lines, f":30:{date[2:4]}{date[5:7]}{date[8:10]}"]

    def _flush(self) -> None:
        if not self._payments:
            return
        chains, size = [[]], 0  # type: list[list[str]], int
        room = _LONGEST_MESSAGE - sum(map(len, self._head)) - 200
        for text in self._payments:
            if chains[-1] and size + len(text) > room:
                chains.append([])
                size = 0
            chains[-1].append(text)
            size += len(text)
        group = self._reference("group", self._groups)
        for index, payments in enumerate(chains, 1):
            reference = self._reference("message", self._groups, index)
            lines = [f":20:{reference}", f":21R:{group}", f":28D:{index}/{len(chains)}", *self._head]
            self._emit("".join(f"{line}\r\n" for line in lines) + "".join(payments))
        self._groups += 1
        self._payments = []

    def _emit(self, text: str) -> None:
        begin, end = framed("I101", self._output.sender, self._output.receiver)
        message = (begin + text + end).encode("ascii")
        self._size += len(message)
        self._target.write(message)

    def _reference(self, kind: str, *numbers: int) -> str:
        name = "/".join(map(str, numbers))
        return child_id(self._context.id, f"MT101 {kind}", name, 0)[:_LONGEST_REFERENCE].upper()

    # ------------------------------------------------------------ one payment

    def _one(self, payment: dict[str, Any], number: int) -> str:
        for name in _NOT_CARRIED:
            if payment.get(name):
                raise _no_place(name, f"an MT101 has no place for `{name}`", "leave it out in the mapping on purpose")
        reference = self._own_reference(payment, number)
        lines = [f":21:{reference}", *self._exchange_contract(payment), *self._codes(payment)]
        lines += self._amounts(payment)
        agents = payment.get("intermediary_agents") or ()
        if len(agents) > 1:
            raise _no_place("intermediary_agents", "an MT101 has one intermediary bank", "name one only")
        for agent in agents:
            lines += self._agent("56", agent, "intermediary_agents", "ACD")
        if payment["creditor"].get("agent"):
            lines += self._agent("57", payment["creditor"]["agent"], "creditor.agent", "ACD")
        lines += self._party("59", "", payment["creditor"])
        lines += self._remittance(payment, reference)
        reports = [t for r in payment.get("regulatory") or () for d in r.get("details") or () for t in d["texts"]]
        if reports:
            lines += self._lines("77B", [self._text(text) for text in reports], 3, "regulatory")
        lines.append(f":71A:{_BEARERS[payment.get('charge_bearer') or '']}")
        if payment.get("charges_account"):
            lines.append(f":25A:{account_line(payment['charges_account'])}")
        return "".join(f"{line}\r\n" for line in lines)

    def _remittance(self, payment: dict[str, Any], reference: str) -> list[str]:
        text = self._text(remittance_text(payment, reference))
        lines = self._field("70", text, 4, "remittance")
        told = payment.get("remittance") or {}
        free = self._text(" ".join(told.get("unstructured") or ())).strip()
        references = [self._text(item["reference"]) for item in told.get("structured") or ()]
        # What is read back must be what was written: a text may look like one of the codes.
        found, back = remittance(Field("70", 0, [lines[0][4:], *lines[1:]] if lines else [], []), reference)
        expected = (self._text(payment.get("end_to_end_id") or reference), [free] if free else [], references)
        if (found, back["unstructured"], [item["reference"] for item in back["structured"]]) != expected:
            raise _no_place("remittance", "the text cannot be told from the codes of :70:", "leave out double slashes")
        return lines

    def _own_reference(self, payment: dict[str, Any], number: int) -> str:
        for name in ("instruction_id", "id", "end_to_end_id"):
            text = payment.get(name) or ""
            if 0 < len(text) <= _LONGEST_REFERENCE and text == self._safe(text) and text not in self._seen:
                self._seen.add(text)
                return str(text)
        return self._reference("payment", number)

    def _safe(self, text: str) -> str:
        """The text when it can be a reference: no slash at either end, no two in a row."""
        wrong = text[:1] in ("/", ":", "-") or text.endswith("/") or "//" in text or text != text.strip()
        return "" if wrong else self._text(text)

    def _exchange_contract(self, payment: dict[str, Any]) -> list[str]:
        contract = (payment.get("exchange") or {}).get("contract")
        if not contract:
            return []
        if len(contract) > _LONGEST_REFERENCE or self._safe(contract) != contract:
            raise _no_place("exchange.contract", "a contract number has at most 16 characters", "correct it")
        return [f":21F:{contract}"]

    def _codes(self, payment: dict[str, Any]) -> list[str]:
        codes = ["CHQB"] if payment.get("method") == "CHK" else []
        service, category = payment.get("service_level"), payment.get("category_purpose")
        if service in ("URGP", "SDVA"):
            codes.append(service)
        elif service and service not in ("SEPA", "NURG"):
            raise _no_place("service_level", "an MT101 knows the service levels URGP and SDVA", "leave it out")
        if category in ("CORT", "INTC"):
            codes.append(category)
        elif category:
            raise _no_place("category_purpose", "an MT101 knows the purposes CORT and INTC", "leave it out")
        codes += ["EQUI"] if payment.get("transfer_currency") else []
        told = payment.get("instruction_for_debtor_agent") or ""
        if told:
            text = self._text(told)
            code = text if text.partition("/")[0] in PLAIN_CODES else f"OTHR/{text}"
            if len(code) > 35:
                raise _no_place(
                    "instruction_for_debtor_agent", "an instruction has at most 30 characters", "shorten it"
                )
            codes.append(code)
        return [f":23E:{code}" for code in codes]

    def _amounts(self, payment: dict[str, Any]) -> list[str]:
        worth, target = payment["amount"], payment.get("transfer_currency")
        if target:
            return [f":32B:{target}0,", f":33B:{_amount(worth)}"]
        exchange = payment.get("exchange") or {}
        rate = exchange.get("rate")
        if rate is None:
            return [f":32B:{_amount(worth)}"]
        source = exchange.get("source_currency") or ""
        if not source or not exchange.get("contract"):
            hint = "map both, or leave the rate out"
            raise _no_place("exchange", "a rate needs a source currency and the number of its contract", hint)
        text = f"{rate:f}".replace(".", ",") if "." in f"{rate:f}" else f"{rate:f},"
        if rate <= 0 or len(text) > _LONGEST_RATE:
            raise _no_place("exchange.rate", "a rate is above zero and has at most 11 digits", "correct it")
        try:
            step = Decimal(1).scaleb(-minor_units(source))
            ordered = (worth["value"] / rate).quantize(step, ROUND_HALF_EVEN)
        except DecimalException:
            raise _no_place("exchange.rate", "the rate gives no amount that can be written", "correct it") from None
        told = _amount({"value": ordered, "currency": source})
        return [f":32B:{_amount(worth)}", f":33B:{told}", f":36:{text}"]

    # ------------------------------------------------------------ fields

    def _party(self, tag: str, plain: str, body: dict[str, Any]) -> list[str]:
        numbered, lines = party_lines(self._converted(body))
        option = "F" if numbered else plain
        first = [account_line(body["account"])]
        if len(first[0]) > 35:
            raise _no_place(f"{tag}", "an account number has at most 34 characters", "correct it")
        return self._lines(f"{tag}{option}", [*first, *lines], 5, "name or address")

    def _converted(self, body: dict[str, Any]) -> dict[str, Any]:
        address = {
            key: [self._text(line) for line in value] if isinstance(value, list | tuple) else self._text(value)
            for key, value in (body.get("address") or {}).items()
            if value
        }
        known = {"country", "town", "postcode", "street", "building", "lines"}
        if address.keys() - known:
            names = ", ".join(sorted(address.keys() - known))
            raise _no_place("address", f"an MT101 has no place for {names} of an address", "put it into the street")
        if not address.get("country") and address.keys() - {"lines"}:
            raise _no_place("address", "an address needs a country here", "map it, or use lines only")
        return {"name": self._text(body["name"].strip()), "address": address}

    def _agent(self, tag: str, body: dict[str, Any], name: str, options: str) -> list[str]:
        field = agent_field(tag, body)
        if field is None or field[0][-1] not in options:
            raise _no_place(name, "the bank needs a BIC or a known clearing code here", "add its BIC")
        return self._lines(field[0], [self._text(line) for line in field[1]], 5, name)

    def _lines(self, tag: str, lines: list[str], most: int, name: str) -> list[str]:
        """A field of given lines; nothing is cut."""
        if len(lines) > most or any(len(line) > 35 for line in lines):
            raise _no_place(name, f"{name}: :{tag}: has {most} lines of 35 characters", "shorten it in the ERP")
        if any(line[:1] in (":", "-", "") for line in lines):
            raise _no_place(name, f"{name}: a line of :{tag}: begins with `:` or `-` or is empty", "correct it")
        return [f":{tag}:{lines[0]}", *lines[1:]]

    def _field(self, tag: str, text: str, most: int, name: str) -> list[str]:
        """A field of one text, cut into lines."""
        text = text.strip()
        if not text:
            return []
        lines = wrapped(text)
        if not lines or len(lines) > most:
            raise _no_place(name, f"{name}: the text does not fit :{tag}:, {most} lines of 35 characters", "shorten it")
        return [f":{tag}:{lines[0]}", *lines[1:]]


def _conversion(rules: FileRules | None, *, transliterate: bool) -> Callable[[str], str]:
    """How texts come into the characters of Swift: first into those of the profile, where it has a set of its own."""
    swift, own = converter("sepa-latin", transliterate=transliterate), rules.convert if rules is not None else None
    return swift if own is None else lambda text: swift(own(text))


def _amount(worth: dict[str, Any]) -> str:
    value = money(Decimal(worth["value"]), worth["currency"])
    text = f"{EXACT.normalize(value):f}".replace(".", ",")
    text = text if "," in text else f"{text},"
    if len(text) > _LONGEST_AMOUNT:
        raise _no_place("amount", "an amount has at most 14 digits", "split the payment")
    return f"{worth['currency']}{text}"


def _no_place(place: str, text: str, hint: str) -> Rejected:
    return Rejected("VAL736", text, reason="FF01", place=place, hint=hint)
