"""MT101 both ways: sequences A and B, parties of every option, chains, amounts with rates, what has no place."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import Rejected, WriteContext
from transforms.canonical import MODELS
from transforms.canonical.models import PaymentInstruction
from transforms.mt101 import Mt101Spec

DEBTOR_IBAN, CREDITOR_IBAN = "DE89370400440532013000", "NL91ABNA0417164300"
CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 0)


def message(*payments: list[str], **told: str) -> bytes:
    lines = [
        f":20:{told.get('reference', 'REF1')}", ":21R:CHAIN", f":28D:{told.get('chain', '1/1')}",
        f":50H:/{DEBTOR_IBAN}", "ACME AG", "Street 1", ":52A:COBADEFFXXX", f":30:{told.get('date', '261124')}",
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in [*lines, *(line for lines in payments for line in lines), "-"]).encode()


def one(reference: str = "INV-1", amount: str = "EUR12,5", *further: str) -> list[str]:
    return [f":21:{reference}", f":32B:{amount}", *further, f":59:/{CREDITOR_IBAN}", "J DE VRIES", ":71A:SHA"]


def read(content: bytes) -> list[Any]:
    return list(Mt101Spec().build().read(io.BytesIO(content)).parts("payments"))


def only(content: bytes) -> Any:
    (part,) = read(content)
    assert part.error is None, part.error
    return part.body


def refused(content: bytes) -> Rejected:
    with pytest.raises(Rejected) as error:
        read(content)
    return error.value


def written(*payments: dict[str, Any], **options: Any) -> bytes:
    target = io.BytesIO()
    Mt101Spec(**options).build().write(payments, target, CONTEXT)
    return target.getvalue()


def not_written(*payments: dict[str, Any], **options: Any) -> Rejected:
    with pytest.raises(Rejected) as error:
        written(*payments, **options)
    return error.value


def payment(**told: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "id": "INV-1",
        "end_to_end_id": "E2E-1",
        "debtor": {"name": "ACME AG", "account": {"iban": DEBTOR_IBAN}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {"name": "J DE VRIES", "account": {"iban": CREDITOR_IBAN}, "agent": None},
        "amount": {"value": Decimal("12.50"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        **told,
    }


# ---------------------------------------------------------------- reading


def test_a_payment_has_what_is_common_and_its_own() -> None:
    further = [
        ":23E:URGP", ":23E:OTHR/call us", ":56A:DEUTDEFF", ":57A://FW021000089", "CHASUS33", ":70:/ROC/E2E-1//INV/4711",
        "//thank you", ":77B:/ORDERRES/DE", ":25A:/DE02120300000000202051",
    ]  # fmt: skip
    found = only(message(one("INV-1", "EUR12,5", *further)))
    assert MODELS["payment"](found) == ()
    PaymentInstruction.model_validate(found)
    assert found["debtor"] == {
        "name": "ACME AG",
        "account": {"iban": DEBTOR_IBAN},
        "agent": {"bic": "COBADEFFXXX"},
        "address": {"lines": ["Street 1"]},
    }
    assert found["creditor"]["agent"] == {"clearing_system": "USABA", "member_id": "021000089", "bic": "CHASUS33"}
    assert found["intermediary_agents"] == [{"bic": "DEUTDEFF"}]
    assert found["amount"] == {"value": Decimal("12.50"), "currency": "EUR"}
    assert (found["execution_date"], found["charge_bearer"]) == ("2026-11-24", "SHAR")
    assert (found["service_level"], found["instruction_for_debtor_agent"]) == ("URGP", "call us")
    assert (found["id"], found["end_to_end_id"], found["message_id"]) == ("INV-1", "E2E-1", "REF1")
    assert found["remittance"] == {
        "unstructured": ["thank you"],
        "structured": [{"reference": "4711", "type": "CINV"}],
    }
    assert found["charges_account"] == {"iban": "DE02120300000000202051"}


@pytest.mark.parametrize(
    ("lines", "name", "address"),
    [
        (["1/Jan de", "1/Vries", "2/Dam 1", "3/NL/1012 AB"], "Jan de Vries", {"street": "Dam 1", "country": "NL",
                                                                              "postcode": "1012", "town": "AB"}),
        (["1/Jan", "3/NL/Delft"], "Jan", {"country": "NL", "town": "Delft"}),
    ],
)  # fmt: skip
def test_numbered_names_and_addresses(lines: list[str], name: str, address: dict[str, str]) -> None:
    text = "\r\n".join([f":59F:/{CREDITOR_IBAN}", *lines])
    found = only(message(one()).replace(f":59:/{CREDITOR_IBAN}\r\nJ DE VRIES".encode(), text.encode()))
    assert (found["creditor"]["name"], found["creditor"]["address"]) == (name, address)


def test_the_debtor_may_stand_in_each_payment_and_parties_may_be_named_by_a_bic() -> None:
    content = message(one("A", "EUR1,", ":50G:/DE02120300000000202051", "DEUTDEFFXXX"), one("B"))
    common = f":50H:/{DEBTOR_IBAN}\r\nACME AG\r\nStreet 1\r\n".encode()
    first, second = read(content)
    assert (first.body["debtor"]["bic"], second.body["debtor"]["name"]) == ("DEUTDEFFXXX", "ACME AG")
    _, bad = read(content.replace(common, b""))
    assert (bad.error.code, bad.error.reason) == ("VAL436", "BE08")


def test_a_rate_belongs_to_two_amounts_that_fit() -> None:
    found = only(message(one("A", "USD110,", ":33B:EUR100,", ":36:1,1", ":21F:FX-7")))
    assert found["amount"] == {"value": Decimal("110.00"), "currency": "USD"}
    assert found["exchange"] == {
        "contract": "FX-7", "rate": Decimal("1.1"), "source_currency": "EUR", "target_currency": "USD",
    }  # fmt: skip
    (wrong,) = read(message(one("A", "USD111,", ":33B:EUR100,", ":36:1,1")))
    assert (wrong.error.code, wrong.place) == ("VAL733", "line 12, :36:")
    (alone,) = read(message(one("A", "USD110,", ":33B:EUR100,")))
    assert alone.error.code == "VAL733"


def test_an_equivalent_amount() -> None:
    found = only(message(one("A", "USD0,", ":23E:EQUI", ":33B:EUR100,")))
    assert (found["amount"]["currency"], found["amount"]["value"]) == ("EUR", 100)
    assert found["transfer_currency"] == "USD"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (":23E:CMTO", "VAL735"), (":71A:XXX", "VAL728"), (":32B:EUR1,", "VAL728"), (":36:0,9", "VAL733"),
        (":33B:EUR1.5", "VAL733"),
    ],
)  # fmt: skip
def test_a_bad_payment_is_refused_alone(line: str, code: str) -> None:
    bad, good = read(message(one("A", "EUR1,", line), one("B")))
    assert bad.error.code == code
    assert bad.error.place
    assert good.error is None


@pytest.mark.parametrize("amount", ["EUR1.5", "EUR1,234", "JPY1,5", "XYZ1,", "EUR"])
def test_bad_amounts(amount: str) -> None:
    (part,) = read(message(one("A", amount)))
    assert part.error.code in ("VAL733", "VAL411", "VAL412")
    assert part.place == "line 10, :32B:"


def test_chained_messages_must_all_be_there_in_order() -> None:
    first, second = message(one("A"), chain="1/2"), message(one("B"), chain="2/2", reference="REF2")
    assert [part.body["id"] for part in read(first + second)] == ["A", "B"]
    for content in (first, second, second + first, first + first):
        assert refused(content).code == "VAL734"
    assert [d.id for d in Mt101Spec.inspect(io.BytesIO(first + second)).documents] == ["REF1", "REF2"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "VAL302"),
        (b":20:X\n-", "VAL721"),
        (b"text", "VAL724"),
        (b":21:X\n", "VAL724"),
        (message(), "VAL721"),
        (message(one(), date="260230"), "VAL733"),
        (message(one()).replace(b":52A:COBADEFFXXX", b":30:261124"), "VAL728"),
        (b"{1:F01X}{2:O940X}{4:\n" + message(one()), "VAL729"),
    ],
)
def test_files_that_are_refused(content: bytes, code: str) -> None:
    assert refused(content).code == code
    assert code in {finding.code for finding in Mt101Spec.inspect(io.BytesIO(content)).findings}


def test_inspection_tells_account_and_sums_of_each_message() -> None:
    found = Mt101Spec.inspect(io.BytesIO(message(one("A"), one("B", "USD3,"), one("C"))))
    (document,) = found.documents
    assert (document.id, document.account, found.kind) == ("REF1", DEBTOR_IBAN, "payments")
    assert [(t.currency, t.count, t.amount, t.credit) for t in document.totals] == [
        ("EUR", 2, 25, None),
        ("USD", 1, 3, None),
    ]


def test_the_place_of_what_is_wrong_is_told_once() -> None:
    for amount in ("eur12,50", "JPY12,5"):
        (part,) = read(message(one("A", amount)))
        assert part.error is not None
        assert (part.place, part.error.message.count(part.place)) == ("line 10, :32B:", 1)


# ---------------------------------------------------------------- writing


def test_a_written_message() -> None:
    text = written(payment(), sender="COBADEFFXXX", receiver="DEUTDEFF").decode()
    lines = text.split("\r\n")
    assert lines[0] == "{1:F01COBADEFFAXXX0000000000}{2:I101DEUTDEFFXXXXN}{4:"
    assert lines[3:] == [
        ":28D:1/1", f":50H:/{DEBTOR_IBAN}", "ACME AG", ":52A:COBADEFFXXX", ":30:261124", ":21:INV-1", ":32B:EUR12,5",
        f":59:/{CREDITOR_IBAN}", "J DE VRIES", ":70:/ROC/E2E-1", ":71A:SHA", "-}", "",
    ]  # fmt: skip
    assert written(payment()) == written(payment()), "the same bytes when the unit runs again"


def test_different_debtors_and_dates_never_share_a_message() -> None:
    other = {"name": "ACME BV", "account": {"iban": CREDITOR_IBAN}, "agent": None}
    payments = [payment(id=f"P{n}") for n in range(4)]
    for later in payments[1:]:
        later["execution_date"] = "2026-12-01"
    for theirs in payments[2:]:
        theirs["debtor"] = other
    content = written(*payments)
    assert content.count(b":20:") == 3
    found = [part.body for part in read(content)]
    assert [(f["id"], f["debtor"]["name"], f["execution_date"]) for f in found] == [
        (p["id"], p["debtor"]["name"], p["execution_date"]) for p in payments
    ]


def test_messages_are_chained_below_the_longest() -> None:
    content = written(*(payment(id=f"P{n}") for n in range(200)))
    texts = content.split(b"-\r\n")[:-1]
    assert len(texts) == 2
    assert all(len(text) <= 10_000 for text in texts)
    assert [part.body["id"] for part in read(content)] == [f"P{n}" for n in range(200)]


def test_characters_are_replaced_or_refused() -> None:
    told = payment(creditor={"name": "Müller & Söhne", "account": {"iban": CREDITOR_IBAN}, "agent": None})
    assert b"Muller + Sohne" in written(told)
    assert not_written(told, charset="strict").code == "VAL444"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"remittance": {"unstructured": ["x" * 130]}}, "VAL736"),
        ({"remittance": {"unstructured": ["a//INV/b"]}}, "VAL736"),
        ({"creditor": {"name": "x" * 36, "account": {"iban": CREDITOR_IBAN}}}, "VAL736"),
        ({"purpose": "SALA"}, "VAL736"),
        ({"service_level": "SDCL"}, "VAL736"),
        ({"ultimate_debtor": {"name": "X"}}, "VAL736"),
        ({"exchange": {"rate": Decimal(2)}}, "VAL736"),
        ({"amount": {"value": Decimal("0.001"), "currency": "EUR"}}, "VAL433"),
        ({"amount": {"value": Decimal("1234567890123.45"), "currency": "EUR"}}, "VAL736"),
        ({"execution_date": "2026-02-30"}, "VAL435"),
    ],
)
def test_what_has_no_place_is_refused_with_the_number_of_the_payment(change: dict[str, Any], code: str) -> None:
    error = not_written(payment(), payment(**{"id": "INV-2", "end_to_end_id": "E2E-2", **change}))
    assert (error.code, error.place) == (code, "payment 2")
    assert error.message.startswith("payment 2: ")


def test_no_payment_at_all() -> None:
    assert not_written().code == "VAL451"


TEXT = st.text("ABCXYZabc019/-?:().,'+ ", min_size=1, max_size=100).map(str.strip).filter(bool)
NAME = st.text("ABCXYZabc09.,' ", min_size=1, max_size=35).map(str.strip).filter(bool)
IDENTIFIER = st.text("ABC019-", min_size=1, max_size=16).filter(lambda t: not t.startswith("-"))
ADDRESS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"country": st.sampled_from(["NL", "DE"]), "town": st.sampled_from(["Delft", "Bonn am Rhein"])},
        optional={"street": NAME.filter(lambda t: len(t) < 33)},
    ),
    st.fixed_dictionaries({"lines": st.lists(NAME, min_size=1, max_size=2)}),
)  # fmt: skip


def party(iban: str) -> st.SearchStrategy[dict[str, Any]]:
    agent = st.sampled_from(
        [None, {"bic": "DEUTDEFF"}, {"bic": "CHASUS33", "clearing_system": "USABA", "member_id": "021000089"}]
    )
    body = st.fixed_dictionaries({"name": NAME, "account": st.just({"iban": iban}), "agent": agent, "address": ADDRESS})
    return body.map(lambda found: {name: value for name, value in found.items() if name != "address" or value})


PAYMENT = st.fixed_dictionaries(
    {
        "type": st.just("payment"),
        "id": IDENTIFIER,
        "end_to_end_id": IDENTIFIER,
        "debtor": party(DEBTOR_IBAN),
        "creditor": party(CREDITOR_IBAN),
        "amount": st.builds(
            lambda cents, currency: {"value": Decimal(cents).scaleb(-2), "currency": currency},
            st.integers(1, 10**10),
            st.sampled_from(["EUR", "USD"]),
        ),
        "execution_date": st.dates().map(lambda d: f"20{d:%y-%m-%d}").filter(lambda d: d < "2080" and d[5:] != "02-29"),
        "charge_bearer": st.sampled_from(["SHAR", "DEBT", "CRED"]),
        "remittance": st.fixed_dictionaries({"unstructured": st.lists(TEXT, max_size=1), "structured": st.just([])}),
    },
    optional={
        "service_level": st.sampled_from(["URGP", "SDVA"]),
        "category_purpose": st.sampled_from(["CORT", "INTC"]),
        "transfer_currency": st.just("GBP"),
        "instruction_for_debtor_agent": st.sampled_from(["call us", "PHON", "RTGS"]),
        "exchange": st.just({"contract": "FX1", "rate": Decimal("1.2345"), "source_currency": "CHF"}),
    },
)


@settings(max_examples=250, deadline=30_000, suppress_health_check=[HealthCheck.too_slow])
@given(payments=st.lists(PAYMENT, min_size=1, max_size=4, unique_by=lambda p: p["id"]))
def test_what_is_written_is_read_back(payments: list[dict[str, Any]]) -> None:
    for told in payments:
        if "transfer_currency" in told:
            told.pop("exchange", None)
    try:
        content = written(*payments)
    except Rejected as error:
        assert error.code in ("VAL736", "VAL438"), error  # noqa: PT017 - the only reasons that such payments can have
        return
    assert all(len(line) <= 42 for line in content.split(b"\r\n"))
    found = read(content)
    assert len(found) == len(payments)
    for part, told in zip(found, payments, strict=True):
        assert part.error is None, part.error
        body = {name: part.body[name] for name in told}
        expected = dict(told)
        if "exchange" in told:
            expected["exchange"] = {**told["exchange"], "target_currency": told["amount"]["currency"]}
        assert body == expected


FIELDS = [
    b":20:R", b":28D:1/1", b":28D:1/2", b":30:261124", b":50H:/X", b"N", b":21:A", b":32B:EUR1,", b":59:/Y", b"-",
    b":33B:USD2,", b":23E:EQUI", b":70:/ROC/A//INV/", b":71A:OUR", b"{1:X}{2:I101X}{4:", b":57D://FW1", b":52A:",
    b":59F:3/", b"3/NL", b":36:", b":32B:", b":23E:", b"\xff", b":77B:", b":25A:", b":36:99999999999,99999999999",
    b":36:2", b":50F:",
]  # fmt: skip


@settings(max_examples=300, deadline=30_000)
@given(content=st.lists(st.sampled_from(FIELDS), max_size=20))
def test_any_order_of_fields_gives_a_result_or_a_coded_refusal(content: list[bytes]) -> None:
    file = b"\n".join(content)
    found = Mt101Spec.inspect(io.BytesIO(file))
    codes = [finding.code for finding in found.findings]
    try:
        codes += [part.error.code for part in read(file) if part.error is not None]
    except Rejected as error:
        codes.append(error.code)
    assert all(codes)
