"""Compiles the rules of one edition into a flat list of closures, each of which looks at one canonical payment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from bus import Rejected, is_creditor_id, is_routing_number, national_iban_problem, uetr_problem
from transforms._characters import SETS, converter
from transforms.canonical import Flaw
from transforms.profiles.addresses import address_check
from transforms.profiles.flaws import ACCOUNT_REASON, ADDRESS_REASON, BANK_REASON, PARTIES, Check, Severity, value_at
from transforms.profiles.specs import (
    AccountsSpec,
    AddressSpec,
    CodeSpec,
    IdentifiersSpec,
    LengthsSpec,
    RemittanceSpec,
    RulesSpec,
)

Convert = Callable[[str], str]
CODES = {
    "charge_bearer": "BE19",
    "service_level": "FF04",
    "local_instrument": "FF05",
    "category_purpose": "FF06",
    "purpose": "FF07",
    "sequence_type": "FF03",
}
"""Coded field of a payment -> ISO reason for a wrong code."""
_NO_TEXTS = {"country", "type", "lines"}
_IDENTIFIERS = (("end_to_end_id", "FF08"), ("instruction_id", "CH16"))


def compile_rules(rules: RulesSpec) -> tuple[dict[str, tuple[Check, ...]], tuple[Check, ...]]:
    """All rules but those about the execution date, which need the time: (party -> rules about it, all others)."""
    measure = _Measure(rules) if rules.characters is not None or rules.lengths != LengthsSpec() else None
    of_parties = {role: tuple(_of_party(role, rules, measure)) for role in PARTIES}
    return of_parties, tuple(_of_payment(rules, measure))


def _of_party(role: str, rules: RulesSpec, measure: _Measure | None) -> Iterator[Check]:
    if rules.accounts != AccountsSpec() and role in ACCOUNT_REASON:
        yield _account(role, rules, rules.severity.accounts)
    if rules.address != AddressSpec():
        yield address_check(role, rules.address)
    if measure is not None:
        yield _party_texts(role, rules.lengths, measure)


def _of_payment(rules: RulesSpec, measure: _Measure | None) -> Iterator[Check]:
    severity = rules.severity
    yield from (_required(item, severity.required) for item in rules.required)
    if rules.currencies or rules.amounts:
        yield _amount(rules, severity.amounts)
    codes = _codes(rules)
    if codes is not None:
        yield codes
    if measure is not None or rules.remittance != RemittanceSpec():
        yield _remittance(rules, measure or _Measure(rules))
    if rules.identifiers != IdentifiersSpec():
        yield _identifiers(rules, severity.identifiers)
    yield _uetr


def conversion(rules: RulesSpec) -> Convert | None:
    """How texts come into the character set of an edition; None where it names none."""
    if rules.characters is None:
        return None
    return converter(rules.characters, transliterate=rules.conversion == "transliterate")


# ---------------------------------------------------------------- fields and codes


def _required(item: str, severity: Severity) -> Check:
    names = [name.strip() for name in item.split("|")]
    paths = [tuple(name.split(".")) for name in names]
    text = f"`{names[0]}` is missing" if len(names) == 1 else f"one of {', '.join(f'`{n}`' for n in names)} is needed"

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        if not any(value_at(payment, path) for path in paths):
            flaws.append(Flaw("VAL695", severity, names[0], text, "CH21"))

    return check


def _codes(rules: RulesSpec) -> Check | None:
    """Charge bearer, service level and the like in one go, which most payments have right."""
    severity = rules.severity.codes
    specs: list[tuple[str, CodeSpec]] = [(name, getattr(rules, name)) for name in CODES]
    known = [
        (name, frozenset(spec.allowed) | ({""} if not spec.required or spec.default else set()), spec)
        for name, spec in specs
        if spec.allowed or (spec.required and not spec.default)
    ]
    if not known:
        return None

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        for name, allowed, spec in known:
            code = payment.get(name) or ""
            if code in allowed or (code and not spec.allowed):
                continue
            called = name.replace("_", " ")
            if code:
                text = f"the {called} must be {' or '.join(spec.allowed)}"
                flaws.append(Flaw("VAL686", severity, name, text, CODES[name]))
            else:
                flaws.append(Flaw("VAL687", severity, name, f"the {called} is missing", CODES[name]))

    return check


# ---------------------------------------------------------------- money


def _amount(rules: RulesSpec, severity: Severity) -> Check:
    currencies = frozenset(rules.currencies)
    bounds = {currency: (spec.least, spec.most) for currency, spec in rules.amounts.items()}
    only = f"only {', '.join(sorted(currencies))} can be paid"

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        amount = payment["amount"]
        currency = amount["currency"]
        if currencies and currency not in currencies:
            flaws.append(Flaw("VAL688", severity, "amount.currency", only, "AM03"))
        least, most = bounds.get(currency, (None, None))
        if most is not None and amount["value"] > most:
            flaws.append(Flaw("VAL689", severity, "amount.value", f"the amount is over {most} {currency}", "AM02"))
        if least is not None and amount["value"] < least:
            flaws.append(Flaw("VAL689", severity, "amount.value", f"the amount is below {least} {currency}", "AM06"))

    return check


# ---------------------------------------------------------------- accounts


def _account(role: str, rules: RulesSpec, severity: Severity) -> Check:
    """Kind and country of one side's account."""
    spec = rules.accounts
    kind: str = getattr(spec, role)
    anything = kind == "any"
    countries, bic_needed, national = frozenset(spec.countries), frozenset(spec.bic_needed), spec.national_check
    place, reason = f"{role}.account", ACCOUNT_REASON[role]
    text = f"the account of the {role} must be {'an IBAN' if kind == 'iban' else 'a number that is no IBAN'}"

    routed = spec.routing == "usaba"

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        party = payment[role]
        account = party["account"]
        member = value_at(party, ("agent", "member_id")) if routed else None
        if member and not (isinstance(member, str) and is_routing_number(member)):
            told = f"the number of the {role}'s bank is no US routing number"
            flaws.append(Flaw("VAL705", severity, f"{role}.agent.member_id", told, BANK_REASON[role]))
        if not anything and not account.get(kind):
            flaws.append(Flaw("VAL690", severity, place, text, reason))
        iban = account.get("iban")
        if not iban:
            return
        country = iban[:2]
        if countries and country not in countries:
            told = f"no payments are made to or from accounts in {country}"
            flaws.append(Flaw("VAL691", severity, f"{place}.iban", told, "AG03"))
        problem = national_iban_problem(iban) if national else ""
        if problem:
            flaws.append(Flaw("VAL704", severity, f"{place}.iban", f"the IBAN is {problem}", reason))
        if country in bic_needed and not value_at(party, ("agent", "bic")):
            told = f"the BIC of the {role}'s bank is needed beside an IBAN of {country}"
            flaws.append(Flaw("VAL692", severity, f"{role}.agent.bic", told, BANK_REASON[role]))

    return check


# ---------------------------------------------------------------- texts


class _Measure:
    """Characters and length of single texts."""

    def __init__(self, rules: RulesSpec) -> None:
        self._convert = conversion(rules) or str
        self._inside = SETS[rules.characters or "any"]
        self._characters, self._lengths = rules.severity.characters, rules.severity.lengths

    def of(self, most: int | None, reason: str) -> Callable[..., None]:
        """A check of one kind of text: ``(text, flaws, place, index)``; a place with an index is that of a list."""
        # Most texts need no conversion and are short enough, which one expression sees.
        fits = re.compile(f"[{self._inside}]{{0,{'' if most is None else most}}}").fullmatch

        def look(text: Any, flaws: list[Flaw], place: str, index: int = -1) -> None:
            if not isinstance(text, str):
                flaws.append(Flaw("VAL442", "error", place.format(index) if index >= 0 else place, "this is no text"))
            elif not fits(text):
                found = self._flaw(text, most, place.format(index) if index >= 0 else place, reason)
                if found is not None:
                    flaws.append(found)

        return look

    def _flaw(self, text: str, most: int | None, place: str, reason: str) -> Flaw | None:
        try:
            size = len(self._convert(text.strip()))
        except Rejected as error:
            return Flaw("VAL682", self._characters, place, error.message, error.reason, error.hint)
        if most is None or size <= most:
            return None
        told = f"the text has {size} characters, at most {most} are taken"
        return Flaw("VAL683", self._lengths, place, told, reason, "shorten it in the ERP")


def _party_texts(role: str, lengths: LengthsSpec, measure: _Measure) -> Check:
    reason = ADDRESS_REASON[role]
    look_at_name, look_at_line = measure.of(lengths.name, "BE20"), measure.of(lengths.line, reason)
    look_at_account = measure.of(lengths.account, ACCOUNT_REASON.get(role, "AC01"))
    name_place, line_place, account_place = f"{role}.name", f"{role}.address.lines[{{}}]", f"{role}.account.other"
    limits = {name: measure.of(getattr(lengths, name), reason) for name in ("street", "building", "postcode", "town")}
    unlimited = measure.of(None, reason)

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        party = payment[role]
        look_at_name(party.get("name") or "", flaws, name_place)
        other = value_at(party, ("account", "other"))
        if other:
            look_at_account(other, flaws, account_place)
        address = party.get("address")
        if not isinstance(address, dict):
            return
        for field, value in address.items():
            if value and field not in _NO_TEXTS:
                limits.get(field, unlimited)(value, flaws, f"{role}.address.{field}")
        lines = address.get("lines")
        if isinstance(lines, list | tuple):
            for number, line in enumerate(lines):
                look_at_line(line, flaws, line_place, number)

    return check


# ---------------------------------------------------------------- remittance, references


def _remittance(rules: RulesSpec, measure: _Measure) -> Check:
    """Number, length and characters of texts and references."""
    severity, lengths = rules.severity.remittance, rules.lengths
    most_texts, most_references, both = rules.remittance.texts, rules.remittance.references, rules.remittance.both
    look_at_text, look_at_reference = measure.of(lengths.text, "RR07"), measure.of(lengths.reference, "RR09")

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        remittance = payment.get("remittance")
        if not remittance:
            return
        texts, references = remittance.get("unstructured") or (), remittance.get("structured") or ()
        for number, text in enumerate(texts):
            look_at_text(text, flaws, "remittance.unstructured[{}]", number)
        for number, item in enumerate(references):
            look_at_reference(item.get("reference") or "", flaws, "remittance.structured[{}].reference", number)
        if most_texts is not None and len(texts) > most_texts:
            told = f"{len(texts)} texts, at most {most_texts} can be sent"
            flaws.append(Flaw("VAL694", severity, f"remittance.unstructured[{most_texts}]", told, "RR07"))
        if most_references is not None and len(references) > most_references:
            told = f"{len(references)} structured references, at most {most_references} can be sent"
            flaws.append(Flaw("VAL694", severity, f"remittance.structured[{most_references}]", told, "RR07"))
        if texts and references and not both:
            told = "there is room for a text or a structured reference, not for both"
            flaws.append(Flaw("VAL694", severity, "remittance", told, "RR07"))

    return check


def _identifiers(rules: RulesSpec, severity: Severity) -> Check:
    spec = rules.identifiers
    longest, inside, sepa = spec.longest, spec.slashes == "inside", spec.creditor_id == "sepa"

    def form(value: Any, flaws: list[Flaw], name: str, reason: str) -> None:
        if not value or (isinstance(value, str) and len(value) <= longest and "/" not in value):
            return
        if not isinstance(value, str) or len(value) > longest:
            text = f"the reference is no text of at most {longest} characters"
            flaws.append(Flaw("VAL693", severity, name, text, reason))
        elif inside and (value[0] == "/" or value[-1] == "/" or "//" in value):
            text = "the reference begins or ends with a slash, or has two in a row"
            flaws.append(Flaw("VAL693", severity, name, text, reason))

    def check(payment: dict[str, Any], flaws: list[Flaw]) -> None:
        for name, reason in _IDENTIFIERS:
            form(payment.get(name), flaws, name, reason)
        if payment.get("mandate"):
            form(value_at(payment, ("mandate", "id")), flaws, "mandate.id", "MD01")
        scheme = payment.get("creditor_scheme_id") if sepa else None
        if scheme:
            number = value_at(scheme, ("id",))
            if not (isinstance(number, str) and is_creditor_id(number)):
                text = "the creditor identifier is wrong by its form or check digits"
                flaws.append(Flaw("VAL706", severity, "creditor_scheme_id.id", text, "BE17"))

    return check


def _uetr(payment: dict[str, Any], flaws: list[Flaw]) -> None:
    """Banks send UUIDs of other versions too, which are read; written is version 4 only."""
    uetr = payment.get("uetr")
    if uetr:
        problem = uetr_problem(uetr) if isinstance(uetr, str) else "no UUID"
        if problem:
            severity: Severity = "error" if problem == "no UUID" else "warning"
            flaws.append(Flaw("VAL703", severity, "uetr", f"the UETR is {problem}", "CH16"))
