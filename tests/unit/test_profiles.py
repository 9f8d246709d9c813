"""Profiles: each rule with a payment that keeps it and one that breaks it, editions by day, calendars and cut-offs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import ConfigError, Rejected
from transforms.profiles import Profile, Profiles, ProfileSpec, kind_of, shipped_texts
from transforms.profiles.calendars import calendar

IBAN, OTHER_IBAN, SWISS_IBAN = "DE89370400440532013000", "NL91ABNA0417164300", "CH9300762011623852957"
WHOLE = {"street": "Markt", "town": "Delft", "country": "NL"}


def payment(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "payment",
        "end_to_end_id": "E2E-1",
        "debtor": {"name": "ACME GmbH", "account": {"iban": IBAN}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {"name": "Supplier", "account": {"iban": OTHER_IBAN}, "agent": {"bic": "ABNANL2AXXX"}},
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "remittance": {"unstructured": ["Invoice 1"], "structured": []},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def creditor(**of: Any) -> dict[str, Any]:
    return {"creditor": {"name": "Supplier", "account": {"iban": OTHER_IBAN}, "agent": {"bic": "ABNANL2AXXX"}} | of}


def profile(*editions: dict[str, Any], **of: Any) -> Profile:
    spec = ProfileSpec.model_validate({"profile": "own", "editions": list(editions) or [{}], **of})
    return Profiles({"own": spec}).get("own")


def with_rules(**rules: Any) -> Profile:
    return profile({"rules": rules})


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def told(book: Profile, body: dict[str, Any], when: int | None = None) -> list[tuple[str, str, str, str]]:
    return [(f.code, f.severity, f.place, f.reason) for f in book.check(body, when)]


# ---------------------------------------------------------------- single rules


@pytest.mark.parametrize(
    ("rules", "right", "wrong", "finding"),
    [
        (
            {"characters": "sepa-latin", "conversion": "refuse"},
            creditor(name="Muller"),
            creditor(name="Müller"),
            ("VAL682", "creditor.name", "RR10"),
        ),
        (
            {"characters": "sepa-latin"},
            creditor(name="Müller"),
            creditor(name="M\ue000"),
            ("VAL682", "creditor.name", "RR10"),
        ),
        (
            {"characters": "latin-extended", "conversion": "refuse"},
            creditor(name="Łódź Š@ș€"),
            creditor(name="東京"),
            ("VAL682", "creditor.name", "RR10"),
        ),
        (
            {"characters": "swift-x", "conversion": "refuse"},
            creditor(name="A{1}"),
            creditor(name="A&B"),
            ("VAL682", "creditor.name", "RR10"),
        ),
        (
            {"lengths": {"name": 70}},
            creditor(name="n" * 70),
            creditor(name="n" * 71),
            ("VAL683", "creditor.name", "BE20"),
        ),
        (
            {"characters": "sepa-latin", "lengths": {"name": 70}},
            creditor(name="ß" * 35),
            creditor(name="ß" * 36),
            ("VAL683", "creditor.name", "BE20"),
        ),
        (
            {"lengths": {"line": 35}},
            creditor(address={"lines": ["a", "b" * 35]}),
            creditor(address={"lines": ["a", "b" * 36]}),
            ("VAL683", "creditor.address.lines[1]", "BE04"),
        ),
        (
            {"lengths": {"town": 5}},
            creditor(address=WHOLE),
            creditor(address=WHOLE | {"town": "Dordrecht"}),
            ("VAL683", "creditor.address.town", "BE04"),
        ),
        (
            {"lengths": {"account": 17}},
            creditor(account={"other": "1" * 17}),
            creditor(account={"other": "1" * 18}),
            ("VAL683", "creditor.account.other", "AC01"),
        ),
        (
            {"lengths": {"text": 80}},
            {"remittance": {"unstructured": ["x" * 80]}},
            {"remittance": {"unstructured": ["x", "x" * 81]}},
            ("VAL683", "remittance.unstructured[1]", "RR07"),
        ),
        (
            {"lengths": {"reference": 10}},
            {"remittance": {"structured": [{"reference": "1" * 10}]}},
            {"remittance": {"structured": [{"reference": "1" * 11}]}},
            ("VAL683", "remittance.structured[0].reference", "RR09"),
        ),
        (
            {"currencies": ["EUR", "USD"]},
            {"amount": {"value": Decimal(1), "currency": "USD"}},
            {"amount": {"value": Decimal(1), "currency": "JPY"}},
            ("VAL688", "amount.currency", "AM03"),
        ),
        (
            {"amounts": {"EUR": {"most": "5.00"}}},
            {"amount": {"value": Decimal("5.00"), "currency": "EUR"}},
            {"amount": {"value": Decimal("5.01"), "currency": "EUR"}},
            ("VAL689", "amount.value", "AM02"),
        ),
        (
            {"amounts": {"EUR": {"least": "5.00"}}},
            {"amount": {"value": Decimal("5.00"), "currency": "EUR"}},
            {"amount": {"value": Decimal("4.99"), "currency": "EUR"}},
            ("VAL689", "amount.value", "AM06"),
        ),
        (
            {"accounts": {"creditor": "iban"}},
            {},
            creditor(account={"other": "1"}),
            ("VAL690", "creditor.account", "AC01"),
        ),
        (
            {"accounts": {"debtor": "iban"}},
            {},
            {"debtor": {"name": "A", "account": {"other": "1"}}},
            ("VAL690", "debtor.account", "AC02"),
        ),
        (
            {"accounts": {"creditor": "other"}},
            creditor(account={"other": "1"}),
            {},
            ("VAL690", "creditor.account", "AC01"),
        ),
        (
            {"accounts": {"countries": ["DE", "NL"]}},
            {},
            creditor(account={"iban": SWISS_IBAN}),
            ("VAL691", "creditor.account.iban", "AG03"),
        ),
        (
            {"accounts": {"bic_needed": ["CH"]}},
            creditor(account={"iban": SWISS_IBAN}),
            creditor(account={"iban": SWISS_IBAN}, agent=None),
            ("VAL692", "creditor.agent.bic", "RC04"),
        ),
        (
            {"accounts": {"national_check": "true"}},
            creditor(account={"iban": "BE68539007547034"}),
            creditor(account={"iban": "BE41539007547035"}),
            ("VAL704", "creditor.account.iban", "AC01"),
        ),
        (
            {"charge_bearer": {"allowed": ["SLEV"]}},
            {"charge_bearer": "SLEV"},
            {"charge_bearer": "SHAR"},
            ("VAL686", "charge_bearer", "BE19"),
        ),
        (
            {"service_level": {"allowed": ["SEPA", "URGP"]}},
            {"service_level": "URGP"},
            {"service_level": "NURG"},
            ("VAL686", "service_level", "FF04"),
        ),
        (
            {"local_instrument": {"allowed": ["CCD", "PPD"], "required": "true"}},
            {"local_instrument": "PPD"},
            {},
            ("VAL687", "local_instrument", "FF05"),
        ),
        (
            {"category_purpose": {"allowed": ["SALA"]}},
            {"category_purpose": "SALA"},
            {"category_purpose": "SUPP"},
            ("VAL686", "category_purpose", "FF06"),
        ),
        ({"purpose": {"required": "true"}}, {"purpose": "ANY1"}, {}, ("VAL687", "purpose", "FF07")),
        (
            {"sequence_type": {"allowed": ["FRST", "RCUR"]}},
            {"sequence_type": "RCUR"},
            {"sequence_type": "OOFF"},
            ("VAL686", "sequence_type", "FF03"),
        ),
        (
            {"identifiers": {"longest": "15"}},
            {"end_to_end_id": "1" * 15},
            {"end_to_end_id": "1" * 16},
            ("VAL693", "end_to_end_id", "FF08"),
        ),
        (
            {"identifiers": {"slashes": "inside"}},
            {"instruction_id": "A/B"},
            {"instruction_id": "A//B"},
            ("VAL693", "instruction_id", "CH16"),
        ),
        (
            {"remittance": {"texts": "1"}},
            {"remittance": {"unstructured": ["a"]}},
            {"remittance": {"unstructured": ["a", "b"]}},
            ("VAL694", "remittance.unstructured[1]", "RR07"),
        ),
        (
            {"remittance": {"references": "0"}},
            {"remittance": {"unstructured": ["a"]}},
            {"remittance": {"structured": [{"reference": "R"}]}},
            ("VAL694", "remittance.structured[0]", "RR07"),
        ),
        (
            {"remittance": {"both": "false"}},
            {"remittance": {"structured": [{"reference": "R"}]}},
            {"remittance": {"unstructured": ["a"], "structured": [{"reference": "R"}]}},
            ("VAL694", "remittance", "RR07"),
        ),
        ({"required": ["creditor.agent.bic"]}, {}, creditor(agent=None), ("VAL695", "creditor.agent.bic", "CH21")),
        (
            {"required": ["creditor.agent.bic | creditor.address.town"]},
            creditor(agent=None, address={"town": "Delft"}),
            creditor(agent=None),
            ("VAL695", "creditor.agent.bic", "CH21"),
        ),
    ],
)
def test_a_rule_passes_what_keeps_it_and_names_what_breaks_it(
    rules: dict[str, Any], right: dict[str, Any], wrong: dict[str, Any], finding: tuple[str, str, str]
) -> None:
    book = with_rules(**rules)
    code, place, reason = finding
    assert told(book, payment(**right)) == []
    assert told(book, payment(**wrong)) == [(code, "error", place, reason)]
    assert told(book, payment(**wrong)) == [(code, "error", place, reason)], (
        "what was wrong is not taken for right later"
    )
    assert told(profile(), payment(**wrong)) == []


def test_a_breach_is_as_severe_as_the_profile_says() -> None:
    book = with_rules(lengths={"name": 5}, severity={"lengths": "warning"})
    assert told(book, payment()) == [
        ("VAL683", "warning", "debtor.name", "BE20"),
        ("VAL683", "warning", "creditor.name", "BE20"),
    ]
    assert book.prepare(payment(), 0)["creditor"]["name"] == "Supplier"


def test_a_uetr_is_read_in_any_version() -> None:
    book = profile()
    assert told(book, payment(uetr="0a1b2c3d-0000-4000-8000-000000000001")) == []
    assert told(book, payment(uetr="0a1b2c3d-0000-5000-8000-000000000001")) == [("VAL703", "warning", "uetr", "CH16")]
    assert told(book, payment(uetr="INV-1")) == [("VAL703", "error", "uetr", "CH16")]


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (None, "none"),
        ({}, "none"),
        ({"lines": [" "]}, "none"),
        ({"country": "NL"}, "structured"),
        (WHOLE, "structured"),
        ({"street": "Markt"}, "structured"),
        (WHOLE | {"lines": ["Building C"]}, "hybrid"),
        ({"country": "NL", "lines": ["Markt 1, Delft"]}, "unstructured"),
        ({"town": "Delft", "lines": ["Markt 1"]}, "unstructured"),
        ({"lines": ["Markt 1", "Delft"]}, "unstructured"),
    ],
)
def test_addresses_are_of_four_kinds(address: Any, kind: str) -> None:
    assert kind_of(address) == kind


@pytest.mark.parametrize("kind", ["none", "structured", "hybrid", "unstructured"])
def test_each_kind_is_allowed_warned_of_or_rejected(kind: str) -> None:
    addresses = {
        "none": None,
        "structured": WHOLE,
        "hybrid": WHOLE | {"lines": ["C"]},
        "unstructured": {"lines": ["Markt 1", "Delft"]},
    }
    for verdict, expected in (("allow", []), ("warn", ["warning"]), ("reject", ["error"])):
        book = with_rules(address={kind: verdict})
        for other, address in addresses.items():
            body = payment(
                **creditor(address=address), debtor={"name": "A", "account": {"iban": IBAN}, "address": WHOLE}
            )
            body["debtor"]["address"] = addresses["structured" if kind != "structured" else "hybrid"]
            found = [f.severity for f in book.check(body)]
            assert found == (expected if other == kind else []), (kind, verdict, other)


def test_a_party_that_was_seen_before_gets_the_same_findings_again() -> None:
    book = with_rules(address={"none": "warn"}, characters="sepa-latin")
    body = payment(debtor={"name": "A", "account": {"iban": IBAN}, "address": WHOLE})
    assert [told(book, body) for _ in range(2)] == [[("VAL684", "warning", "creditor.address", "BE04")]] * 2
    other = body | creditor(address=WHOLE)
    assert [told(book, one) for one in (other, body)] == [[], told(book, body)]


def test_an_address_is_whole_not_repeated_and_not_too_long() -> None:
    book = with_rules(address={"half": "reject", "repeated": "warn", "hybrid_lines": 2, "lines": 3})

    def of(**address: Any) -> list[tuple[str, str, str, str]]:
        return told(book, payment(**creditor(address=address)))

    assert of(country="NL") == [("VAL685", "error", "creditor.address.town", "BE04")]
    assert of(town="Delft") == [("VAL685", "error", "creditor.address.country", "BE04")]
    assert of(**WHOLE) == []
    assert of(**WHOLE, lines=["a", "b", "c"]) == [("VAL685", "error", "creditor.address.lines[2]", "BE04")]
    assert of(lines=["a", "b", "c"]) == []
    assert of(lines=["a", "b", "c", "d"]) == [("VAL685", "error", "creditor.address.lines[3]", "BE04")]
    assert of(**WHOLE, lines=["2611 delft"]) == [("VAL685", "warning", "creditor.address.lines[0]", "BE04")]
    assert of(**WHOLE, lines=["C", "NL-2611"]) == [("VAL685", "warning", "creditor.address.lines[1]", "BE04")]
    assert of(**WHOLE, lines=["Delftstraat 3, enl"]) == []


# ---------------------------------------------------------------- editions


@pytest.mark.parametrize(
    ("day", "amount", "right"),
    [
        ("2017-11-21", "15000", True),
        ("2020-06-30", "15000.01", False),
        ("2020-07-01", "15000.01", True),
        ("2025-10-04", "100000.01", False),
        ("2025-10-05", "100000.01", True),
    ],
)
def test_the_edition_of_the_execution_date_counts(day: str, amount: str, right: bool) -> None:  # noqa: FBT001
    instant = Profiles().get("sepa-sct-inst")
    body = payment(execution_date=day, amount={"value": Decimal(amount), "currency": "EUR"})
    assert [f.code for f in instant.check(body) if f.severity == "error"] == ([] if right else ["VAL689"])


def test_unstructured_addresses_by_day_and_bank() -> None:
    body = payment(**creditor(address={"lines": ["Markt 1", "2611 Delft"]}))

    def verdict(name: str, day: str) -> list[str]:
        found = Profiles().get(name).check(body | {"execution_date": day})
        return [f.severity for f in found if f.code == "VAL684"]

    assert verdict("sepa-sct", "2025-10-03") == []
    assert verdict("sepa-sct", "2025-10-06") == ["warning"]
    assert verdict("sepa-sct", "2027-10-06") == ["warning"], "the end date was postponed without a new one"
    assert verdict("bank-north", "2026-11-13") == ["warning"]
    assert verdict("bank-north", "2026-11-16") == ["error"], "a bank's own date"


def test_hybrid_addresses_came_in_october_2025() -> None:
    body = payment(**creditor(address=WHOLE | {"lines": ["Building C"]}))
    before, after = (
        Profiles().get("sepa-sct").check(body | {"execution_date": d}) for d in ("2025-10-03", "2025-10-06")
    )
    assert [f.place for f in before] == ["creditor.address"]
    assert after == ()


def test_the_processing_date_may_choose_instead() -> None:
    editions = ({"rules": {"lengths": {"name": 99}}}, {"valid_from": "2026-12-01", "rules": {"lengths": {"name": 3}}})
    body = payment(execution_date="2026-12-24")
    by_execution, by_processing = profile(*editions), profile(*editions, chosen_by="processing_date")
    before, after = at("2026-11-30T23:59"), at("2026-12-01T00:00")
    assert len(by_execution.check(body, before)) == 2
    assert by_processing.check(body, before) == ()
    assert len(by_processing.check(body, after)) == 2


def test_before_the_first_edition_there_are_no_rules() -> None:
    book = Profiles().get("sepa-sct")
    assert told(book, payment(execution_date="2008-01-25")) == [("VAL681", "error", "execution_date", "DT01")]
    assert [f.code for f in book.check(payment(execution_date="2008-01-28"))] == []
    with pytest.raises(Rejected) as refused:
        book.prepare(payment(execution_date="2008-01-25"), at("2008-01-01"))
    assert refused.value.code == "VAL681"


def test_editions_of_a_profile_and_of_what_it_extends_are_woven_together() -> None:
    parent = ProfileSpec.model_validate(
        {
            "profile": "scheme",
            "editions": [
                {"rules": {"lengths": {"name": 70, "town": 35}, "currencies": ["EUR"]}},
                {"valid_from": "2026-06-01", "rules": {"lengths": {"name": 140}}},
            ],
        }
    )
    child = ProfileSpec.model_validate(
        {
            "profile": "bank",
            "extends": "scheme",
            "editions": [
                {"rules": {"lengths": {"town": 20}}},
                {"valid_from": "2026-03-01", "rules": {"currencies": ["EUR", "CHF"]}},
            ],
        }
    )
    merged = [
        (str(d.valid_from), d.rules.lengths.name, d.rules.lengths.town, d.rules.currencies)
        for d in Profiles({"scheme": parent, "bank": child}).editions("bank")
    ]
    assert merged == [
        ("None", 70, 20, ("EUR",)),
        ("2026-03-01", 70, 20, ("EUR", "CHF")),
        ("2026-06-01", 140, 20, ("EUR", "CHF")),
    ]


def test_profiles_that_cannot_be_merged_say_why() -> None:
    def spec(name: str, extends: str, **rules: Any) -> ProfileSpec:
        return ProfileSpec.model_validate({"profile": name, "extends": extends, "editions": [{"rules": rules}]})

    with pytest.raises(ConfigError) as unknown:
        Profiles({"a": spec("a", "sepa-stc")}).get("a")
    assert (unknown.value.code, unknown.value.hint) == ("VAL680", "did you mean `sepa-sct`?")
    with pytest.raises(ConfigError) as circle:
        Profiles({"a": spec("a", "b"), "b": spec("b", "a")}).get("a")
    assert circle.value.code == "VAL714"
    with pytest.raises(ConfigError) as contradiction:
        Profiles({"a": spec("a", "sepa-sct", charge_bearer={"allowed": ["SHAR"]})}).get("a")
    assert contradiction.value.code == "VAL713"
    assert "charge_bearer" in contradiction.value.message


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({"editions": [{"valid_from": "2026-01-01"}, {"valid_from": "2026-01-01"}]}, "VAL710"),
        ({"editions": [{"valid_from": "2026-01-01"}, {}]}, "VAL710"),
        ({"editions": [{"rules": {"execution": {"calendar": "TARGTE"}}}]}, "VAL711"),
        ({"editions": [{"rules": {"execution": {"zone": "Europe/Bruxelles"}}}]}, "VAL712"),
        ({"editions": [{"rules": {"amounts": {"EUR": {"least": "2", "most": "1"}}}}]}, "VAL713"),
        ({"editions": [{"rules": {"amounts": {"XXY": {"most": "1"}}}}]}, "VAL713"),
        ({"editions": [{"rules": {"charge_bearer": {"allowed": ["SLEV"], "default": "SHAR"}}}]}, "VAL713"),
        ({"editions": []}, "VAL710"),
    ],
)
def test_impossible_rules_are_refused_where_they_stand(written: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ProfileSpec.model_validate({"profile": "p", **written})
    assert [error["type"] for error in refused.value.errors()] == [code]


# ---------------------------------------------------------------- days


def executing(**of: Any) -> Profile:
    return with_rules(execution=of)


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2026-04-03", "2026-04-07"),  # Good Friday, then Easter Monday
        ("2026-04-06", "2026-04-07"),
        ("2026-05-01", "2026-05-04"),  # a Friday
        ("2026-12-25", "2026-12-28"),  # Friday and Saturday
        ("2026-12-26", "2026-12-28"),
        ("2027-01-01", "2027-01-04"),
        ("2026-11-28", "2026-11-30"),
        ("2026-11-29", "2026-11-30"),
    ],
)
def test_target_is_closed_on_its_holidays_and_weekends(day: str, following: str) -> None:
    body = payment(execution_date=day)
    assert told(executing(calendar="ECB", roll="refuse"), body) == [("VAL696", "error", "execution_date", "DT01")]
    assert told(executing(calendar="ECB", roll="warn"), body) == [("VAL696", "warning", "execution_date", "DT01")]
    assert told(executing(calendar="none", roll="refuse"), body) == []
    rolled = executing(calendar="ECB", roll="next").prepare(body, at(f"{day}T08:00"))
    assert rolled["execution_date"] == following
    assert body["execution_date"] == day


@pytest.mark.parametrize("day", ["2026-12-24", "2026-12-31", "2026-05-25", "2026-10-03", "2026-11-01"])
def test_national_holidays_are_no_holidays_of_target(day: str) -> None:
    weekend = date.fromisoformat(day).weekday() >= 5
    assert bool(calendar("ECB", ()).closed(date.fromisoformat(day))) == weekend


def test_calendars_of_markets_and_countries() -> None:
    thanksgiving, unity = date(2026, 11, 26), date(2024, 10, 3)
    assert calendar("FED", ()).closed(thanksgiving)
    assert not calendar("ECB", ()).closed(thanksgiving)
    assert calendar("DE", ()).closed(unity)
    assert calendar("DE-BY", ()).closed(date(2026, 6, 4)), "Corpus Christi, in Bavaria"
    assert not calendar("DE", ()).closed(date(2026, 6, 4))
    assert calendar("none", (date(2026, 6, 4),)).closed(date(2026, 6, 4)) == "closed"


def test_the_bank_has_closed_days_of_its_own() -> None:
    book = executing(calendar="ECB", closed=["2026-12-24"], roll="next")
    assert book.prepare(payment(execution_date="2026-12-24"), at("2026-12-01"))["execution_date"] == "2026-12-28"


BERLIN = {"at": "14:30", "zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2026-11-24T14:29:59", False),
        ("2026-11-24T14:30:00", True),
        ("2026-11-23T23:59:00", False),
    ],
)
def test_the_cut_off_counts_on_the_clock_of_its_zone(now: str, late: bool) -> None:  # noqa: FBT001
    book = executing(calendar="ECB", roll="refuse", cut_offs=[BERLIN])
    expected = [("VAL697", "error", "execution_date", "TM01")] if late else []
    assert told(book, payment(execution_date="2026-11-24"), at(now, "Europe/Berlin")) == expected


@pytest.mark.parametrize(("day", "utc"), [("2026-03-27", "13:30"), ("2026-03-30", "12:30")])
def test_the_cut_off_moves_with_summer_time(day: str, utc: str) -> None:
    """The clocks went forward on Sunday, 29 March 2026."""
    book = executing(calendar="ECB", roll="refuse", cut_offs=[BERLIN])
    cut = at(f"{day}T{utc}")
    assert told(book, payment(execution_date=day), cut - 1) == []
    assert [f.code for f in book.check(payment(execution_date=day), cut)] == ["VAL697"]


def test_a_late_payment_goes_on_the_next_business_day() -> None:
    book = executing(calendar="ECB", roll="next", cut_offs=[BERLIN])
    friday = payment(execution_date="2026-11-27")
    assert book.prepare(friday, at("2026-11-27T14:29", "Europe/Berlin"))["execution_date"] == "2026-11-27"
    assert book.prepare(friday, at("2026-11-27T14:31", "Europe/Berlin"))["execution_date"] == "2026-11-30"
    saturday = payment(execution_date="2026-11-28")
    late_on_friday = at("2026-11-27T18:00", "Europe/Berlin")
    assert book.prepare(saturday, late_on_friday)["execution_date"] == "2026-11-30"
    assert told(book, saturday, late_on_friday) == [("VAL696", "info", "execution_date", "DT01")]


def test_a_day_that_is_over_is_moved_told_or_refused_but_not_in_history() -> None:
    monday, now = payment(execution_date="2026-11-23"), at("2026-11-24T08:00")
    assert executing(calendar="ECB", roll="next").prepare(monday, now)["execution_date"] == "2026-11-24"
    assert told(executing(calendar="ECB"), monday, now) == [("VAL696", "warning", "execution_date", "DT01")]
    with pytest.raises(Rejected) as refused:
        executing(calendar="ECB", roll="refuse").prepare(monday, now)
    assert (refused.value.code, refused.value.reason, refused.value.place) == ("VAL696", "DT01", "execution_date")
    assert told(executing(calendar="ECB", roll="refuse"), monday, None) == []


def test_cut_offs_by_currency_and_days_before() -> None:
    rows = [{**BERLIN, "currency": "EUR"}, {"at": "11:00", "zone": "Europe/Berlin", "days_before": 1}]
    book = executing(calendar="ECB", roll="refuse", cut_offs=rows)
    noon = at("2026-11-26T12:00", "Europe/Berlin")  # a Thursday
    yen = {"amount": {"value": Decimal(100), "currency": "JPY"}}
    assert told(book, payment(execution_date="2026-11-26"), noon) == []
    assert [f.code for f in book.check(payment(execution_date="2026-11-27", **yen), noon)] == ["VAL697"]
    assert told(book, payment(execution_date="2026-11-30", **yen), noon) == []
    morning = at("2026-11-26T10:59", "Europe/Berlin")
    assert told(book, payment(execution_date="2026-11-27", **yen), morning) == []
    assert [f.code for f in book.check(payment(execution_date="2026-11-26", **yen), morning)] == ["VAL697"]


def test_where_no_day_is_left_the_payment_is_refused() -> None:
    year = [date.fromordinal(date(2026, 1, 1).toordinal() + n).isoformat() for n in range(800)]
    for book in (executing(closed=year, roll="next"), executing(calendar="ECB", closed=["9999-12-31"], roll="next")):
        for day in ("2026-03-02", "9999-12-31"):
            found = book.check(payment(execution_date=day))
            assert {f.code for f in found} <= {"VAL698"}
    assert told(executing(closed=year), payment(execution_date="2026-01-01")) == [
        ("VAL698", "error", "execution_date", "DT01")
    ]


def test_too_far_ahead_is_refused_whatever_rolls() -> None:
    book = executing(roll="next", most_days_ahead=90)
    now = at("2026-11-24T08:00")
    assert told(book, payment(execution_date="2027-02-22"), now) == []
    assert told(book, payment(execution_date="2027-02-23"), now) == [("VAL698", "error", "execution_date", "DT01")]


@settings(deadline=None)  # the first look loads the holidays
@given(st.dates(date(2020, 1, 1), date(2035, 12, 31)), st.integers(0, 5))
def test_the_next_possible_day_is_open_and_the_nearest(day: date, after: int) -> None:
    days = calendar("ECB", ())
    found = days.open_day(day, after)
    assert not days.closed(found)
    between = [day.fromordinal(n) for n in range(day.toordinal(), found.toordinal())]
    assert sum(not days.closed(one) for one in between) == after


# ---------------------------------------------------------------- preparing


def test_what_a_scheme_prescribes_is_filled_in_and_nothing_else_changes() -> None:
    body = payment()
    prepared = Profiles().get("sepa-sct-inst").prepare(body, at("2026-11-24T08:00"))
    assert prepared == body | {"service_level": "SEPA", "charge_bearer": "SLEV", "local_instrument": "INST"}
    assert "service_level" not in body


def test_a_refusal_names_every_error_and_the_reason_of_the_first() -> None:
    wrong = payment(**creditor(account={"other": "1"}), amount={"value": Decimal(1), "currency": "USD"})
    with pytest.raises(Rejected) as refused:
        Profiles().get("sepa-sct").prepare(wrong, at("2026-11-24T08:00"))
    assert {f.code for f in refused.value.findings} == {"VAL688", "VAL690"}
    assert refused.value.reason in ("AC01", "AM03")


def test_the_model_goes_before_the_profile() -> None:
    book = Profiles().get("sepa-sct")
    assert [f.code for f in book.findings(payment(execution_date="30 February"))] == ["VAL435"]
    assert [f.code for f in book.findings("no payment")] == ["VAL442"]
    assert book.findings(payment()) == ()


# ---------------------------------------------------------------- what is shipped


@pytest.mark.parametrize("name", list(shipped_texts()))
def test_every_shipped_profile_compiles_and_says_where_it_is_from(name: str) -> None:
    every = Profiles()
    assert every.get(name).name == name
    assert every.spec(name).profile == name
    assert all(edition.source for edition in every.editions(name))


def test_an_ach_credit() -> None:
    book = Profiles().get("us-ach")
    account = {"other": "1234567890"}
    bank = {"member_id": "021000021", "clearing_system": "USABA"}
    right = payment(
        debtor={"name": "ACME Inc", "account": account},
        **creditor(name="Widgets Inc", account=account, agent=bank),
        amount={"value": Decimal("12.30"), "currency": "USD"},
        local_instrument="CCD",
        execution_date="2026-11-25",
    )
    assert book.check(right, at("2026-11-24T08:00")) == ()
    assert [f.code for f in book.check(right | {"local_instrument": "CTX"})] == ["VAL686"]
    assert [f.severity for f in book.check(right | {"execution_date": "2026-11-26"})] == ["warning"], "Thanksgiving"
    for wrong, code in (({"member_id": "021000022"}, "VAL705"), ({"bic": "CHASUS33"}, "VAL695")):
        other = right | creditor(name="Widgets Inc", account=account, agent=wrong)
        assert [(f.code, f.place) for f in book.check(other)] == [(code, "creditor.agent.member_id")]
    long = right | creditor(name="Widgets International Incorporated", account=account, agent=bank)
    assert [(f.code, f.place) for f in book.check(long)] == [("VAL683", "creditor.name")]


def test_a_sepa_direct_debit() -> None:
    core, b2b = Profiles().get("sepa-sdd-core"), Profiles().get("sepa-sdd-b2b")
    right = payment(
        type="direct-debit",
        collection_date="2026-11-25",
        execution_date=None,
        sequence_type="RCUR",
        local_instrument="CORE",
        creditor_scheme_id={"id": "DE98ZZZ09999999999"},
        mandate={"id": "M-1", "signed": "2024-02-29"},
    )
    assert core.findings(right, at("2026-11-24T08:00")) == ()
    assert core.prepare(right | {"local_instrument": ""}, at("2026-11-24T08:00"))["local_instrument"] == "CORE"
    assert [f.code for f in b2b.findings(right)] == ["VAL686"]
    for change, code, place in (
        ({"mandate": {"signed": "2024-02-29"}}, "VAL695", "mandate.id"),
        ({"mandate": {"id": "M//1", "signed": "2024-02-29"}}, "VAL693", "mandate.id"),
        ({"creditor_scheme_id": {"id": "DE97ZZZ09999999999"}}, "VAL706", "creditor_scheme_id.id"),
        ({"creditor_scheme_id": None}, "VAL695", "creditor_scheme_id.id"),
        ({"sequence_type": "RPRE"}, "VAL686", "sequence_type"),
        ({"sequence_type": ""}, "VAL687", "sequence_type"),
        ({"collection_date": "2026-12-25"}, "VAL696", "collection_date"),
    ):
        assert [(f.code, f.place) for f in core.findings(right | change)] == [(code, place)]


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("x" * 200) | st.just("a/b//"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["iban", "name", "lines", "id"]), inner)
    ),
    max_leaves=4,
)
_FIELDS = [
    *("type", "end_to_end_id", "instruction_id", "uetr", "amount", "execution_date", "remittance", "service_level"),
    *("creditor.name", "creditor.account", "creditor.agent", "creditor.address", "creditor.address.lines", "mandate"),
    *("ultimate_debtor", "ultimate_creditor", "ultimate_creditor.name", "ultimate_creditor.address", "purpose"),
    *("creditor.address.town", "creditor.address.floor", "creditor_scheme_id", "creditor.agent.member_id"),
]


@settings(deadline=None)
@given(st.sampled_from(sorted(shipped_texts())), st.dictionaries(st.sampled_from(_FIELDS), _JUNK, max_size=3))
def test_no_body_however_wrong_makes_a_profile_fail(name: str, changes: dict[str, Any]) -> None:
    body = payment(**creditor(address=dict(WHOLE)), ultimate_creditor={"name": "U", "address": dict(WHOLE)})
    body |= {"type": _EVERY.get(name).model, "collection_date": "2026-11-24"}
    for path, value in changes.items():
        *above, last = path.split(".")
        here: Any = body
        for step in above:
            here = here.get(step) if isinstance(here, dict) else None
        if isinstance(here, dict):
            here[last] = value
    found = _EVERY.get(name).findings(body, at("2026-11-24T08:00"))
    assert all(flaw.code.startswith("VAL") and flaw.message for flaw in found)


_EVERY = Profiles()


def test_scheme_countries_grew() -> None:
    albanian = payment(**creditor(account={"iban": "AL47212110090000000235698741"}))
    for day, codes in (("2025-10-03", ["VAL691"]), ("2025-10-06", [])):
        found = Profiles().get("sepa-sct").check(albanian | {"execution_date": day})
        assert [f.code for f in found if f.severity == "error"] == codes


def test_today_is_a_day_of_the_zone() -> None:
    book = executing(zone="Pacific/Auckland", calendar="none", closed=["2020-01-01"], roll="refuse")
    now = int(datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp() * 1000)  # already the 25th there
    assert [f.code for f in book.check(payment(execution_date="2026-11-24"), now)] == ["VAL696"]
