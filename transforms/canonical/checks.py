"""What is wrong with a canonical body: hand-written checks, fast enough for every single payment.

Each finding carries the ISO 20022 external status reason (code set ExternalStatusReason1Code) that a bank would answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from bus import Finding, Rejected, is_lei, minor_units
from transforms.canonical.accounts import iban_problem, is_bic, is_creditor_reference
from transforms.canonical.kinds import misfits

_IDENTIFIER = re.compile(r"(?!/)(?!.*//)(?! )[A-Za-z0-9/\-?:().,'+ ]{1,35}(?<![/ ])")
_CODE4 = re.compile(r"[A-Za-z0-9]{1,4}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CHARGE_BEARERS = ("SLEV", "SHAR", "DEBT", "CRED")
LEVELS = ("group", "payment-information", "transaction")
_ADDRESS = {"town": 35, "postcode": 16, "street": 70, "building": 16}
_FURTHER_ADDRESS = {
    "care_of": 140,
    "department": 70,
    "sub_department": 70,
    "building_name": 35,
    "floor": 70,
    "unit": 16,
    "room": 70,
    "post_box": 16,
    "town_location": 35,
    "district": 35,
    "subdivision": 35,
}
_WHOLE_ADDRESS = _ADDRESS | _FURTHER_ADDRESS
_USUAL_ADDRESS = {*_ADDRESS, "country", "lines"}
_OF_A_REFERENCE = {"reference", "type", "issuer", "date", "continues"}
_PLAIN_REMITTANCE = {"unstructured", "structured"}
_OF_A_PAYMENT = {
    "type", "end_to_end_id", "debtor", "creditor", "amount", "execution_date", "charge_bearer", "service_level",
    "category_purpose", "purpose", "local_instrument", "remittance", "id", "invoice",
}  # fmt: skip
"""Fields of a payment whose kinds are looked at one by one, which is faster."""
_MOST_DIGITS = 18
_LONGEST_NAME = 140
_MOST_RIGHT = 2048


@dataclass(frozen=True, slots=True)
class Flaw(Finding):
    """A finding with the ISO reason and with what to do."""

    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Role:
    """The reasons that ISO has for one side of a payment."""

    name: str
    no_name: str
    no_account: str
    wrong_account: str
    address: str
    country: str


DEBTOR = _Role("debtor", "BE08", "AC02", "AC02", "BE07", "BE10")
CREDITOR = _Role("creditor", "BE22", "AC03", "AC01", "BE04", "BE11")


class Flaws:
    """Collects findings."""

    def __init__(self) -> None:
        self.found: list[Flaw] = []

    def add(self, code: str, place: str, message: str, reason: str = "", hint: str = "") -> None:
        """Note one thing that is wrong."""
        self.found.append(Flaw(code, "error", place, message, reason, hint))


Right = dict[tuple[str, str], Any]
"""Parties that were found right, by role and name."""


def payment(body: Any, right: Right | None = None) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical payment, in the order of its fields.

    ``right`` is kept by who looks at many payments: one party found right is not looked at again.
    """
    flaws = Flaws()
    if not is_a("payment", body, flaws):
        return tuple(flaws.found)
    end_to_end_id(body, flaws)
    known = {} if right is None else right
    _once(body.get("debtor"), DEBTOR, flaws, known)
    _once(body.get("creditor"), CREDITOR, flaws, known)
    worth(body.get("amount"), "amount", flaws)
    if not is_day(body.get("execution_date")):
        flaws.add(
            "VAL435", "execution_date", "the execution date is no day of the calendar", "DT01", "write 2026-11-24"
        )
    kind_of_payment(body, flaws)
    remittance_flaws(body.get("remittance"), flaws)
    if body.get("id", "").__class__ is not str or body.get("invoice", "").__class__ is not str:
        kinds("payment", {name: body.get(name) for name in ("id", "invoice")}, flaws)
    if not body.keys() <= _OF_A_PAYMENT:
        kinds("payment", {name: body[name] for name in body.keys() - _OF_A_PAYMENT}, flaws)
    return tuple(flaws.found)


def check_payment(body: Any) -> None:
    """Refuse a payment that cannot be made.

    Raises:
        Rejected: code and ISO reason of the first thing that is wrong, everything else in ``findings``.
    """
    flaws = payment(body)
    if flaws:
        raise refusal(flaws)


def refusal(flaws: tuple[Flaw, ...]) -> Rejected:
    """The refusal for what a check found."""
    first = flaws[0]
    more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
    return Rejected(
        first.code,
        f"{first.message}{more}",
        hint=first.hint,
        reason=first.reason,
        place=first.place,
        findings=tuple(flaws),
    )


def payment_status(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical payment status."""
    flaws = Flaws()
    if not is_a("payment-status", body, flaws):
        return tuple(flaws.found)
    if body.get("level") not in LEVELS:
        flaws.add("VAL442", "level", f"the level is none of {', '.join(LEVELS)}")
    if not is_code4(body.get("status")):
        flaws.add("VAL442", "status", "the status is no ISO 20022 status code", hint="for instance RJCT or ACSC")
    texts(body, ("reason", "report_id", "original_message_id", "original_payment_information_id"), flaws)
    texts(body, ("original_end_to_end_id", "original_instruction_id"), flaws)
    unless_found("payment-status", body, flaws)
    return tuple(flaws.found)


def statement(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical statement."""
    flaws = Flaws()
    if not is_a("statement", body, flaws):
        return tuple(flaws.found)
    if not body.get("id") or not isinstance(body.get("id"), str):
        flaws.add("VAL442", "id", "the statement has no id")
    _account(body.get("account"), "account", "AC01", flaws)
    for name in ("opening", "closing"):
        balance = body.get(name)
        if balance is None:
            continue
        if not isinstance(balance, dict):
            flaws.add("VAL442", name, f"the {name} balance is no object")
            continue
        worth(balance.get("amount"), f"{name}.amount", flaws, signed=True)
        if balance.get("date") and not is_day(balance.get("date")):
            flaws.add("VAL435", f"{name}.date", "the date of a balance is no day of the calendar", "DT01")
    count = body.get("entries")
    if not isinstance(count, int) or count < 0:
        flaws.add("VAL442", "entries", "the number of entries is no count")
    unless_found("statement", body, flaws)
    return tuple(flaws.found)


def entry(body: Any) -> tuple[Flaw, ...]:
    """Everything that is wrong with a canonical statement entry."""
    flaws = Flaws()
    if not is_a("entry", body, flaws):
        return tuple(flaws.found)
    _account(body.get("account"), "account", "AC01", flaws)
    before = len(flaws.found)
    worth(body.get("amount"), "amount", flaws, zero=True)
    worth(body.get("signed"), "signed", flaws, signed=True)
    direction = body.get("direction")
    sign = 1 if direction == "credit" else -1
    if direction not in ("credit", "debit"):
        flaws.add("VAL442", "direction", "the direction is neither credit nor debit")
    elif len(flaws.found) == before:
        amount, signed = body["amount"], body["signed"]
        if signed["value"] != sign * amount["value"] or signed["currency"] != amount["currency"]:
            flaws.add("VAL433", "signed", "the signed amount is not the amount with the sign of its direction", "AM12")
    for name in ("booking_date", "value_date"):
        if body.get(name) and not is_day(body[name]):
            flaws.add("VAL435", name, "a date is no day of the calendar", "DT01", "write 2026-11-24")
    unless_found("entry", body, flaws)
    return tuple(flaws.found)


def kinds(model: str, body: dict[str, Any], flaws: Flaws, at: str = "") -> None:
    """Fields that hold something of another kind than the model says, such as a text instead of an object."""
    for place, text in misfits(model, body, at):
        flaws.add("VAL673", place, text, "CH16", "correct the mapping of that field")


def unless_found(model: str, body: dict[str, Any], flaws: Flaws) -> None:
    """The kinds of all fields, where nothing else is wrong: a field is not told twice."""
    if not flaws.found:
        kinds(model, body, flaws)


def is_a(model: str, body: Any, flaws: Flaws) -> bool:
    """Whether a body is an object that does not say to be of another model."""
    if not isinstance(body, dict):
        flaws.add("VAL442", "", f"a {model} is an object with fields", "CH21")
    elif body.get("type", model) != model:
        flaws.add("VAL442", "type", f"this is not a {model}", "CH16", f"write `type: {model}` in the mapping")
    return not flaws.found


def _once(given: Any, role: _Role, flaws: Flaws, right: Right) -> None:
    """As :func:`party`, unless the same was found right before."""
    name = given.get("name") if isinstance(given, dict) else None
    key = role.name, name if isinstance(name, str) else ""
    known = right.get(key)
    if known is not None and (known is given or known == given):
        return
    before = len(flaws.found)
    party(given, role, flaws)
    if len(flaws.found) == before:
        if len(right) >= _MOST_RIGHT:
            right.clear()
        right[key] = given


def party(given: Any, role: _Role, flaws: Flaws) -> None:
    """Name, account, bank and address of a debtor or creditor."""
    before = len(flaws.found)
    if not isinstance(given, dict):
        flaws.add("VAL436", role.name, f"the {role.name} is missing", role.no_name)
        return
    name = given.get("name")
    if not isinstance(name, str) or not name.strip():
        flaws.add("VAL436", f"{role.name}.name", f"the name of the {role.name} is missing", role.no_name)
    elif len(name) > _LONGEST_NAME:
        text = f"the name of the {role.name} is longer than {_LONGEST_NAME} characters"
        flaws.add("VAL436", f"{role.name}.name", text, "BE20")
    account = given.get("account")
    if not account:
        flaws.add("VAL431", f"{role.name}.account", f"the account of the {role.name} is missing", role.no_account)
    else:
        _account(account, f"{role.name}.account", role.wrong_account, flaws)
    _agent(given.get("agent"), role, flaws)
    if given.get("lei"):
        _lei(given["lei"], f"{role.name}.lei", "BE16" if role.name == "debtor" else "BE17", flaws)
    if given.get("address") is not None:
        _address(given["address"], role, flaws)
    if len(flaws.found) == before:
        kinds("party", given, flaws, role.name)


def _agent(agent: Any, role: _Role, flaws: Flaws) -> None:
    if not isinstance(agent, dict):
        return
    bic = agent.get("bic")
    if bic and not (isinstance(bic, str) and is_bic(bic)):
        flaws.add("VAL432", f"{role.name}.agent.bic", f"the BIC of the {role.name}'s bank has a wrong form", "RC01")
    if agent.get("lei"):
        _lei(agent["lei"], f"{role.name}.agent.lei", "RC01", flaws)


def _lei(lei: Any, place: str, reason: str, flaws: Flaws) -> None:
    if not (isinstance(lei, str) and is_lei(lei)):
        flaws.add("VAL446", place, "the LEI is wrong by its form or check digits", reason)


def _account(account: Any, place: str, reason: str, flaws: Flaws) -> None:
    if not isinstance(account, dict):
        flaws.add("VAL431", place, "the account is no object", reason, "write {iban: …} or {other: …}")
        return
    iban, other = account.get("iban"), account.get("other")
    if iban:
        problem = iban_problem(iban) if isinstance(iban, str) else "no text"
        if problem:
            flaws.add("VAL431", f"{place}.iban", f"the IBAN is {problem}", reason)
    elif not isinstance(other, str) or not 1 <= len(other.strip()) <= 34:
        flaws.add("VAL431", place, "the account has neither an IBAN nor another number of 1 to 34 characters", reason)


def _address(address: Any, role: _Role, flaws: Flaws) -> None:
    place = f"{role.name}.address"
    if not isinstance(address, dict):
        flaws.add("VAL438", place, "the address is no object", role.address)
        return
    country = address.get("country")
    if country and not (isinstance(country, str) and _COUNTRY.fullmatch(country)):
        flaws.add("VAL438", f"{place}.country", "the country is no ISO 3166 code of two capital letters", role.country)
    for name, most in (_ADDRESS if address.keys() <= _USUAL_ADDRESS else _WHOLE_ADDRESS).items():
        text = address.get(name)
        if text and (not isinstance(text, str) or len(text) > most):
            flaws.add(
                "VAL438",
                f"{place}.{name}",
                f"the {name.replace('_', ' ')} is longer than {most} characters",
                role.address,
            )
    lines = address.get("lines")
    if not lines:
        return
    if not isinstance(lines, list) or len(lines) > 7 or any(not isinstance(t, str) or len(t) > 70 for t in lines):
        text = "an address has at most 7 lines of 70 characters"
        flaws.add("VAL438", f"{place}.lines", text, role.address, "put street, town and postcode into their own fields")


def worth(amount: Any, place: str, flaws: Flaws, *, signed: bool = False, zero: bool = False) -> None:
    """An amount: above zero in payments, zero or more in entries, any where ``signed``."""
    value = amount.get("value") if isinstance(amount, dict) else None
    if type(value) is not Decimal:
        value = Decimal(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else None
    if value is None or not value.is_finite():
        flaws.add(
            "VAL433", place, "the amount is missing or no exact number", "AM12", "an object with value and currency"
        )
        return
    currency = amount.get("currency")
    try:
        digits = minor_units(currency) if isinstance(currency, str) else -1
    except Rejected:
        digits = -1
    if digits < 0:
        flaws.add("VAL434", f"{place}.currency", "the currency is missing or not of ISO 4217", "AM03")
        return
    step = _step(digits)
    if value.adjusted() + 1 > _MOST_DIGITS - digits or (
        not value.same_quantum(step) and -int(value.as_tuple().exponent) > digits and value % step
    ):
        text = f"the amount has more decimals than {currency} or too many digits"
        flaws.add("VAL433", place, text, "AM12", f"{currency} has {digits} decimals")
    elif value < 0 and not signed:
        flaws.add("VAL433", place, "the amount is negative", "AM12", "the direction is told by who pays")
    elif value == 0 and not signed and not zero:
        flaws.add("VAL433", place, "the amount is zero", "AM01")


@lru_cache
def _step(digits: int) -> Decimal:
    return Decimal(1).scaleb(-digits)


def is_day(value: Any) -> bool:
    """Whether it is a day as ``2026-11-24``."""
    return isinstance(value, str) and _is_day_text(value)


@lru_cache(maxsize=4096)
def _is_day_text(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_code4(value: Any) -> bool:
    """Whether it is a code of up to four letters and digits."""
    return isinstance(value, str) and _is_code4_text(value)


@lru_cache(maxsize=4096)
def _is_code4_text(text: str) -> bool:
    return _CODE4.fullmatch(text) is not None


def end_to_end_id(body: dict[str, Any], flaws: Flaws) -> None:
    """The reference that travels through all banks; it may be missing."""
    end_to_end = body.get("end_to_end_id")
    if end_to_end and not (isinstance(end_to_end, str) and _IDENTIFIER.fullmatch(end_to_end)):
        flaws.add(
            "VAL437",
            "end_to_end_id",
            "the end-to-end id is longer than 35 characters or has some that banks do not take",
            "FF08",
            "letters, digits and / - ? : ( ) . , ' + and space; no / at either end, no //",
        )


def kind_of_payment(body: dict[str, Any], flaws: Flaws) -> None:
    """Charge bearer, service level, purposes, local instrument."""
    bearer = body.get("charge_bearer")
    if bearer and bearer not in _CHARGE_BEARERS:
        flaws.add("VAL439", "charge_bearer", f"the charge bearer is none of {', '.join(_CHARGE_BEARERS)}", "BE19")
    for name, reason in (("service_level", "FF04"), ("category_purpose", "FF06"), ("purpose", "FF07")):
        value = body.get(name)
        if value and not is_code4(value):
            flaws.add("VAL439", name, f"the {name.replace('_', ' ')} is no code of up to four characters", reason)
    instrument = body.get("local_instrument")
    if instrument and not (isinstance(instrument, str) and len(instrument) <= 35):
        flaws.add("VAL439", "local_instrument", "the local instrument is longer than 35 characters", "FF05")


def remittance_flaws(remittance: Any, flaws: Flaws) -> None:
    """What a payment is for."""
    if not remittance:
        return
    if not isinstance(remittance, dict):
        flaws.add("VAL440", "remittance", "the remittance information is no object", "RR07")
        return
    lines = remittance.get("unstructured") or []
    if not isinstance(lines, list) or any(not isinstance(line, str) or len(line) > 140 for line in lines):
        text = "unstructured remittance information is a list of texts of at most 140 characters"
        flaws.add("VAL440", "remittance.unstructured", text, "RR07")
    items = remittance.get("structured")
    if items or remittance.keys() - _PLAIN_REMITTANCE:
        before = len(flaws.found)
        kinds("remittance", remittance, flaws, "remittance")
        if len(flaws.found) > before:
            return
    for item in items or []:
        reference = item.get("reference") if isinstance(item, dict) else None
        if not reference and isinstance(item, dict) and item.keys() - _OF_A_REFERENCE:
            continue  # a block of amounts or texts alone
        if not isinstance(reference, str) or not 1 <= len(reference) <= 35:
            text = "a structured reference has 1 to 35 characters"
            flaws.add("VAL440", "remittance.structured", text, "RR09")
        elif reference.startswith("RF") and item.get("type") == "SCOR" and not is_creditor_reference(reference):
            flaws.add("VAL441", "remittance.structured", "the creditor reference is wrong by its check digits", "RR09")


def texts(body: dict[str, Any], names: tuple[str, ...], flaws: Flaws) -> None:
    """Fields that are texts where they are there."""
    for name in names:
        if not isinstance(body.get(name, ""), str):
            flaws.add("VAL442", name, f"`{name}` is no text")
