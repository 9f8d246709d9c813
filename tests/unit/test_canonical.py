"""The canonical models: fast checks with ISO reasons, and pydantic classes that say the same."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException
from schwifty.registry import get_iban_spec

from bus import Rejected
from transforms.canonical import MODELS, Flaw, check_payment
from transforms.canonical import models as shapes
from transforms.canonical.accounts import LENGTHS, iban_problem, is_bic, is_creditor_reference

DE, NL = "DE89370400440532013000", "NL91ABNA0417164300"


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "id": "P-1",
        "end_to_end_id": "E2E-1",
        "invoice": "INV-1",
        "debtor": {"name": "ACME GmbH", "account": {"iban": DE}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {
            "name": "Supplier",
            "account": {"iban": NL},
            "agent": {"bic": "ABNANL2A"},
            "address": {"country": "NL", "town": "Delft", "lines": ["Markt 1"]},
        },
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "service_level": "SEPA",
        "charge_bearer": "SLEV",
        "purpose": "SUPP",
        "remittance": {"unstructured": ["Invoice"], "structured": [{"reference": "RF18539007547034", "type": "SCOR"}]},
    } | changes


def debtor(**changes: Any) -> dict[str, Any]:
    return {"debtor": payment()["debtor"] | changes}


def creditor(**changes: Any) -> dict[str, Any]:
    return {"creditor": payment()["creditor"] | changes}


def worth(value: Any, currency: Any = "EUR") -> dict[str, Any]:
    return {"amount": {"value": value, "currency": currency}}


def test_a_right_payment_has_no_flaw() -> None:
    assert MODELS["payment"](payment()) == ()
    check_payment(payment())
    shapes.PaymentInstruction.model_validate(payment())
    least = {k: payment()[k] for k in ("debtor", "creditor", "amount", "execution_date")}
    assert MODELS["payment"](least) == ()


@pytest.mark.parametrize(
    ("change", "code", "reason", "place"),
    [
        (debtor(account={"iban": DE[:-1] + "1"}), "VAL431", "AC02", "debtor.account.iban"),
        (debtor(account=None), "VAL431", "AC02", "debtor.account"),
        (debtor(name=" "), "VAL436", "BE08", "debtor.name"),
        ({"debtor": None}, "VAL436", "BE08", "debtor"),
        (debtor(agent={"bic": "COBA"}), "VAL432", "RC01", "debtor.agent.bic"),
        (debtor(lei="529900T8BM49AURSDO56"), "VAL446", "BE16", "debtor.lei"),
        (creditor(lei="x"), "VAL446", "BE17", "creditor.lei"),
        (debtor(agent={"lei": "529900T8BM49AURSDO5"}), "VAL446", "RC01", "debtor.agent.lei"),
        (debtor(agent={"bic": "cobadeff"}), "VAL432", "RC01", "debtor.agent.bic"),
        (debtor(agent="COBADEFF"), "VAL673", "CH16", "debtor.agent"),
        (creditor(account={"iban": NL[:-1] + "1"}), "VAL431", "AC01", "creditor.account.iban"),
        (creditor(account={"iban": NL + "0"}), "VAL431", "AC01", "creditor.account.iban"),
        (creditor(account={"iban": "NL91 ABNA 0417 1643 00"}), "VAL431", "AC01", "creditor.account.iban"),
        (creditor(account={"iban": 5}), "VAL431", "AC01", "creditor.account.iban"),
        (creditor(account={}), "VAL431", "AC03", "creditor.account"),
        (creditor(account={"other": "x" * 35}), "VAL431", "AC01", "creditor.account"),
        (creditor(account="x"), "VAL431", "AC01", "creditor.account"),
        (creditor(name=""), "VAL436", "BE22", "creditor.name"),
        (creditor(name="n" * 141), "VAL436", "BE20", "creditor.name"),
        (creditor(address={"country": "Germany"}), "VAL438", "BE11", "creditor.address.country"),
        (creditor(address={"town": "t" * 36}), "VAL438", "BE04", "creditor.address.town"),
        (creditor(address={"lines": ["a"] * 8}), "VAL438", "BE04", "creditor.address.lines"),
        (creditor(address={"lines": ["a" * 71]}), "VAL438", "BE04", "creditor.address.lines"),
        (creditor(address="x"), "VAL438", "BE04", "creditor.address"),
        (worth(Decimal(0)), "VAL433", "AM01", "amount"),
        (worth(Decimal("-0.01")), "VAL433", "AM12", "amount"),
        (worth(Decimal("0.001")), "VAL433", "AM12", "amount"),
        (worth(Decimal("1.5"), "JPY"), "VAL433", "AM12", "amount"),
        (worth(Decimal("1.2345"), "KWD"), "VAL433", "AM12", "amount"),
        (worth(Decimal(10) ** 17), "VAL433", "AM12", "amount"),
        (worth(Decimal("Infinity")), "VAL433", "AM12", "amount"),
        (worth(1.5), "VAL433", "AM12", "amount"),
        (worth("1.50"), "VAL433", "AM12", "amount"),
        (worth(value=True), "VAL433", "AM12", "amount"),
        ({"amount": None}, "VAL433", "AM12", "amount"),
        (worth(Decimal(1), "EURO"), "VAL434", "AM03", "amount.currency"),
        (worth(Decimal(1), None), "VAL434", "AM03", "amount.currency"),
        ({"execution_date": "2026-02-30"}, "VAL435", "DT01", "execution_date"),
        ({"execution_date": "24.11.2026"}, "VAL435", "DT01", "execution_date"),
        ({"execution_date": ["2026-11-24"]}, "VAL435", "DT01", "execution_date"),
        ({"execution_date": None}, "VAL435", "DT01", "execution_date"),
        ({"end_to_end_id": "x" * 36}, "VAL437", "FF08", "end_to_end_id"),
        ({"end_to_end_id": "a//b"}, "VAL437", "FF08", "end_to_end_id"),
        ({"end_to_end_id": "a/"}, "VAL437", "FF08", "end_to_end_id"),
        ({"end_to_end_id": "a "}, "VAL437", "FF08", "end_to_end_id"),
        ({"end_to_end_id": 5}, "VAL437", "FF08", "end_to_end_id"),
        ({"service_level": "S EPA"}, "VAL439", "FF04", "service_level"),
        ({"charge_bearer": "OUR"}, "VAL439", "BE19", "charge_bearer"),
        ({"category_purpose": "LONGER"}, "VAL439", "FF06", "category_purpose"),
        ({"purpose": 1}, "VAL439", "FF07", "purpose"),
        ({"local_instrument": "x" * 36}, "VAL439", "FF05", "local_instrument"),
        ({"remittance": "text"}, "VAL440", "RR07", "remittance"),
        ({"remittance": {"unstructured": ["x" * 141]}}, "VAL440", "RR07", "remittance.unstructured"),
        ({"remittance": {"unstructured": "text"}}, "VAL440", "RR07", "remittance.unstructured"),
        ({"remittance": {"structured": [{}]}}, "VAL440", "RR09", "remittance.structured"),
        (
            {"remittance": {"structured": [{"reference": "RF19539007547034", "type": "SCOR"}]}},
            "VAL441",
            "RR09",
            "remittance.structured",
        ),
        ({"type": "entry"}, "VAL442", "CH16", "type"),
    ],
)
def test_a_wrong_payment_is_told_with_code_reason_and_place(change: Any, code: str, reason: str, place: str) -> None:
    (flaw,) = MODELS["payment"](payment(**change))
    assert isinstance(flaw, Flaw)
    assert (flaw.code, flaw.reason, flaw.place, flaw.severity) == (code, reason, place, "error")
    with pytest.raises(Rejected) as caught:
        check_payment(payment(**change))
    assert (caught.value.code, caught.value.reason, caught.value.place) == (code, reason, place)
    assert caught.value.findings == (flaw,)


def test_everything_wrong_is_told_at_once_and_the_first_leads() -> None:
    with pytest.raises(Rejected) as caught:
        check_payment(payment(**creditor(name="", account={"iban": "x"}), **worth(Decimal(0))))
    assert [f.code for f in caught.value.findings] == ["VAL436", "VAL431", "VAL433"]
    assert (caught.value.reason, "and 2 more" in caught.value.message) == ("BE22", True)


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("body", [None, [], "x", 5, {"type": "else"}])
def test_what_is_no_such_object_is_a_finding_not_a_crash(model: str, body: Any) -> None:
    assert MODELS[model](body)[0].code == "VAL442"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.decimals(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["iban", "value", "name", "lines"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from([*payment(), "account", "opening", "signed", "level", "entries", "direction"]),
    PLAIN,
)
def test_no_body_makes_a_check_crash(model: str, field: str, value: Any) -> None:
    body = payment(type=model, signed=worth(Decimal(1))["amount"], direction="credit", account={"iban": DE}, entries=1)
    MODELS[model](body | {field: value})


def test_a_status() -> None:
    status = {"type": "payment-status", "level": "transaction", "status": "RJCT", "reason": "AC04", "report_id": "R"}
    assert MODELS["payment-status"](status) == ()
    for change in ({"level": "file"}, {"status": "REJECTED"}, {"status": None}, {"report_id": None}):
        assert [f.code for f in MODELS["payment-status"](status | change)] == ["VAL442"]


def test_a_statement_and_an_entry() -> None:
    money = {"value": Decimal("-5.00"), "currency": "EUR"}
    statement = {"type": "statement", "id": "S", "account": {"iban": DE}, "entries": 0}
    statement["opening"] = {"amount": money, "date": "2026-11-20", "type": "OPBD"}
    assert MODELS["statement"](statement) == ()
    for change, code in (
        ({"id": ""}, "VAL442"),
        ({"entries": -1}, "VAL442"),
        ({"account": {}}, "VAL431"),
        ({"closing": "x"}, "VAL442"),
        ({"closing": {"amount": None}}, "VAL433"),
        ({"closing": {"amount": money, "date": "2026-02-30"}}, "VAL435"),
    ):
        assert [f.code for f in MODELS["statement"](statement | change)] == [code]
    entry = {"type": "entry", "account": {"other": "1"}, "direction": "debit", "signed": money}
    entry["amount"] = {"value": Decimal("5.00"), "currency": "EUR"}
    assert MODELS["entry"](entry) == ()
    for change, code in (
        ({"direction": "credit"}, "VAL433"),
        ({"direction": "up"}, "VAL442"),
        ({"amount": money}, "VAL433"),
        ({"booking_date": "2026-02-30"}, "VAL435"),
        ({"signed": {"value": Decimal("-5.00"), "currency": "USD"}}, "VAL433"),
    ):
        assert [f.code for f in MODELS["entry"](entry | change)] == [code]


def test_iban_lengths_are_those_of_the_registry() -> None:
    assert {country: get_iban_spec(country).iban_length for country in LENGTHS} == LENGTHS


@given(st.sampled_from(sorted(LENGTHS)), st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=11, max_size=31))
def test_check_digits_agree_with_another_implementation(country: str, number: str) -> None:
    length = LENGTHS[country]
    number = (number * 3)[: length - 4]
    right = [text for digits in range(100) if not iban_problem(text := f"{country}{digits:02d}{number}")]
    assert right == [str(IBAN.from_bban(country, number, allow_invalid=True))]


@pytest.mark.parametrize(
    "text", [DE, NL, "GB29NWBK60161331926819", "FR1420041010050500013M02606", "XK051212012345678906"]
)
def test_real_ibans_are_right_and_their_neighbours_wrong(text: str) -> None:
    assert iban_problem(text) == ""
    assert "check digits" in iban_problem(text[:-2] + text[-1] + ("1" if text[-2] != "1" else "2"))
    assert "characters" in iban_problem(text + "0")
    assert "no IBAN" in iban_problem("US" + text[2:])
    assert "form" in iban_problem(text.lower())


@pytest.mark.parametrize("text", ["COBADEFF", "COBADEFFXXX", "E097AEXXXXX", "COBADEF", "COBADEFFXX", "COBA1EFF", ""])
def test_bics_agree_with_another_implementation_on_their_form(text: str) -> None:
    try:
        BIC(text)
        theirs = True
    except SchwiftyException:
        theirs = False
    assert is_bic(text) == (theirs or text == "E097AEXXXXX")


def test_a_bic_is_written_in_capital_letters() -> None:
    assert not is_bic("cobadeff")


def test_creditor_references() -> None:
    assert is_creditor_reference("RF18539007547034")
    assert not is_creditor_reference("RF19539007547034")
    assert not is_creditor_reference("RF18 5390 0754 7034")


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_has_a_json_schema_with_a_description_of_each_field(model: str) -> None:
    schema = shapes.json_schema(model)
    assert schema["additionalProperties"] is False
    for definition in (schema, *schema.get("$defs", {}).values()):
        for name, field in definition["properties"].items():
            assert field.get("description") or name == "type", (definition["title"], name)


def test_the_models_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="extra"):
        shapes.PaymentInstruction.model_validate(payment(more=1))
    with pytest.raises(ValidationError, match="either"):
        shapes.Account(iban=DE, other="1")


def test_importing_the_checks_does_not_load_pydantic() -> None:
    program = "import sys, transforms.canonical as c; c.MODELS; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert shapes.Statement is __import__("transforms.canonical", fromlist=["Statement"]).Statement
    with pytest.raises(AttributeError, match="Nothing"):
        __import__("transforms.canonical").canonical.Nothing  # noqa: B018 - the access is the test
