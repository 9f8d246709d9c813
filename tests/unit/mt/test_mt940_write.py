"""Writing MT940: what is written is read back equal, within the lines of Swift; what has no place is refused."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from swift_messages import IBAN, bodies, mt940

from bus import Rejected, WriteContext
from transforms.mt940 import Mt940Spec

CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 0)
EUR = {"currency": "EUR"}
ACCOUNT = {"iban": IBAN, **EUR}


def written(*parts: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    Mt940Spec(**options).build().write(parts, target, CONTEXT)
    return target.getvalue()


def not_written(*parts: Any, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as error:
        written(*parts, **options)
    return error.value


def worth(value: str) -> dict[str, Any]:
    return {"value": Decimal(value), **EUR}


def statement(change: str = "0.00", **told: Any) -> dict[str, Any]:
    return {
        "type": "statement", "kind": "statement", "id": "S1", "sequence_number": 7, "account": ACCOUNT,
        "from": "", "to": "", "created": "",
        "opening": {"amount": worth("100.00"), "date": "2026-11-23", "type": "OPBD"},
        "closing": {"amount": worth(f"{Decimal(100) + Decimal(change)}"), "date": "2026-11-24", "type": "CLBD"},
        "entries": 0, **told,
    }  # fmt: skip


def entry(value: str = "12.50", *, direction: str = "credit", transactions: Any = None, **told: Any) -> dict[str, Any]:
    sign = "" if direction == "credit" else "-"
    one = {
        "end_to_end_id": "", "instruction_id": "", "transaction_id": "", "amount": worth(value),
        "counterparty": {"name": "", "account": None}, "remittance": {"unstructured": [], "structured": []},
        "return_reason": "",
    }  # fmt: skip
    return {
        "type": "entry", "statement_id": "S1", "account": ACCOUNT, "reference": "", "index": 0, "amount": worth(value),
        "direction": direction, "signed": worth(sign + value), "reversal": False, "status": "BOOK",
        "booking_date": "2026-11-24", "value_date": "2026-11-24", "bank_reference": "",
        "bank_transaction_code": "NTRF",
        "transactions": [{**one, **change} for change in transactions or [{}]], **told,
    }  # fmt: skip


def test_the_fields_of_a_message() -> None:
    told = [{
        "end_to_end_id": "E2E-1", "instruction_id": "INV-1",
        "counterparty": {"name": "Müller & Söhne", "account": {"iban": IBAN}},
        "remittance": {"unstructured": ["Rechnung 4711"], "structured": []},
    }]  # fmt: skip
    text = written(
        statement("12.50"), entry(bank_reference="BANK-1", additional="booked", transactions=told),
        sender="COBADEFFXXX", receiver="DEUTDEFF",
    ).decode()  # fmt: skip
    assert text.split("\r\n") == [
        "{1:F01COBADEFFAXXX0000000000}{2:O940DEUTDEFFXXXXN}{4:", ":20:S1", f":25:{IBAN}", ":28C:7/1",
        ":60F:C261123EUR100,00", ":61:2611241124C12,50NTRFINV-1//BANK-1", "booked",
        ":86:/EREF/E2E-1/IBAN/DE89370400440532013000/NAME/Muller + Sohne/REMI/", "Rechnung 4711",
        ":62F:C261124EUR112,50", "-}", "",
    ]  # fmt: skip


def test_several_statements_and_either_order() -> None:
    second = statement("-1.00", id="S2")
    content = written(statement("12.50"), entry(), entry("1.00", direction="debit", statement_id="S2"), second)
    assert [body["id"] for body in bodies(content, "statements")] == ["S1", "S2"]
    assert [body["statement_id"] for body in bodies(content)] == ["S1", "S2"]


def test_what_was_read_is_written_again() -> None:
    content = mt940(
        ":61:2611241125D12,50NTRFINV-1//BANK-1",
        "extra",
        ":86:first line",
        "second line",
        ":61:2611241124RC1,00NMSCNONREF",
        closing="C261124EUR86,50",
    )
    parts = [*bodies(content), *bodies(content, "statements")]
    assert written(*parts) == content.replace(b"EUR100,\r", b"EUR100,00\r")


def test_long_ids_codes_of_iso_and_batches() -> None:
    text = written(
        statement("12.50", id="a" * 35), entry(statement_id="a" * 35, bank_transaction_code="PMNT/RCDT/ESCT")
    )
    assert b":86:/TRCD/PMNT/RCDT/ESCT" in text
    assert len(text.split(b"\r\n")[0]) == len(b":20:") + 16
    coded = written(statement("12.50"), entry(bank_transaction_code="NTRF+Z04"))
    assert next(iter(bodies(coded)))["bank_transaction_code"] == "NTRF+Z04"
    batch = entry(transactions=[{}, {}])
    assert not_written(statement("12.50"), batch).code == "VAL736"
    assert b"/BTCH/2" in written(statement("12.50"), batch, batches="sum")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([entry()], "VAL737"),
        ([statement("12.51"), entry()], "VAL420"),
        ([statement("12.50", opening=None), entry()], "VAL737"),
        ([statement("12.50"), entry(status="PDNG")], "VAL736"),
        ([statement("12.50"), entry(value_date="", booking_date="")], "VAL736"),
        ([statement("12.50"), entry(value_date="2026-02-30")], "VAL435"),
        ([statement("12.50"), entry(value_date="2025-11-24")], "VAL736"),
        ([statement("12.50"), entry(transactions=[{"remittance": {"unstructured": ["x" * 400]}}])], "VAL736"),
        (
            [statement("12.50"), entry(transactions=[{"remittance": {"unstructured": ["a/NAME/b", "y" * 70]}}])],
            "VAL736",
        ),
        ([statement("12.50"), entry(transactions=[{"remittance": {"unstructured": ["-" * 80]}}])], "VAL736"),
        ([{"type": "payment"}], "VAL442"),
        ([], "VAL451"),
    ],
)
def test_what_has_no_place_is_refused(parts: list[Any], code: str) -> None:
    assert not_written(*parts).code == code


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"batches": [{"payment_information_id": "P1"}]}, "batches.payment_information_id"),
        ({"charges": [{"amount": worth("1.00")}]}, "charges.amount"),
        ({"interest": [{"amount": worth("1.00")}]}, "interest.amount"),
        ({"reference": "R1"}, "reference"),
        ({"bank_code": {"iso": "PMNT/RCDT/ESCT", "own": "NTRF+166"}}, "bank_code.own"),
        ({"transactions": [{"uetr": "8a562c67-ca16-48ba-b074-65581be6f001"}]}, "transactions.uetr"),
        ({"transactions": [{"amount": worth("12.49")}]}, "transactions.amount"),
        ({"transactions": [{"direction": "debit"}]}, "transactions.direction"),
        (
            {"transactions": [{"counterparty": {"name": "A", "address": {"town": "Bonn"}}}]},
            "transactions.counterparty.address.town",
        ),
        (
            {"transactions": [{"amounts": {"counter_value": {"amount": worth("1.00")}}}]},
            "transactions.amounts.counter_value.amount",
        ),
    ],
)
def test_what_would_be_lost_is_refused_by_name(told: dict[str, Any], name: str) -> None:
    parts = statement("12.50"), entry(**told)
    error = not_written(*parts)
    assert error.code == "VAL736"
    assert f"no place for {name}" in str(error)
    assert bodies(written(*parts, losses="accept"))[0]["amount"] == worth("12.50")


def test_what_a_statement_would_lose_is_refused_by_name() -> None:
    for told, name in (
        ({"account": {**ACCOUNT, "owner": "ACME"}}, "account.owner"),
        ({"balances": [{"amount": worth("1.00"), "date": "2026-11-24", "type": "XPCD"}]}, "balances (XPCD)"),
    ):
        error = not_written(statement(**told))
        assert (error.code, name in str(error)) == ("VAL736", True)
        assert bodies(written(statement(**told), losses="accept"), "statements")[0]["account"] == ACCOUNT


def test_options() -> None:
    assert not_written(statement(), message="mt942").code == "VAL450"
    told = entry(transactions=[{"counterparty": {"name": "Söhne", "account": None}}])
    assert not_written(statement("12.50"), told, charset="strict").code == "VAL444"
    with pytest.raises(ValueError, match="BIC"):
        Mt940Spec(sender="x")


TEXT = st.text("ABCXYZabc019/-?:().,'+ ", min_size=1, max_size=80).map(str.strip).filter(bool)
NAME = st.text("ABCXYZabc09.,' ", min_size=1, max_size=40).map(str.strip).filter(bool)
IDENTIFIER = st.text("ABC019-", max_size=20).filter(lambda t: not t.startswith("-"))
TRANSACTION = st.fixed_dictionaries(
    {
        "end_to_end_id": IDENTIFIER,
        "instruction_id": IDENTIFIER,
        "counterparty": st.fixed_dictionaries(
            {"name": st.one_of(st.just(""), NAME), "account": st.sampled_from([None, {"iban": IBAN}])},
            optional={"agent": st.just({"bic": "COBADEFFXXX"})},
        ),
        "remittance": st.fixed_dictionaries(
            {"unstructured": st.lists(TEXT, max_size=3),
             "structured": st.sampled_from([[], [{"reference": "RF18539007547034", "type": "SCOR"}]])}
        ),
        "return_reason": st.sampled_from(["", "AC04"]),
    },
    optional={
        "amounts": st.builds(
            lambda ordered: {"instructed": ordered},
            st.fixed_dictionaries(
                {"amount": st.just({"value": Decimal(1350), "currency": "JPY"})},
                optional={"exchange": st.just({"rate": Decimal("0.0062")})},
            ),
        ),
        "total_charges": st.just({"value": Decimal("2.50"), "currency": "EUR"}),
        "mandate_id": st.just("M-1"), "purpose": st.just("SALA"), "ultimate_debtor": st.just({"name": "Other"}),
    },
)  # fmt: skip
ENTRY = st.builds(
    lambda cents, direction, code, told, rest: entry(
        f"{Decimal(cents).scaleb(-2)}", direction=direction, transactions=[told], bank_transaction_code=code, **rest
    ),
    st.integers(1, 10**10),
    st.sampled_from(["credit", "debit"]),
    st.sampled_from(["NTRF", "NTRF+166", "S051"]),
    TRANSACTION,
    st.fixed_dictionaries(
        {"reversal": st.booleans(), "bank_reference": st.text("ABC019", max_size=16)},
        optional={"additional": NAME},
    ),
)


@settings(max_examples=300, deadline=30_000, suppress_health_check=[HealthCheck.too_slow])
@given(entries=st.lists(ENTRY, max_size=4))
def test_what_is_written_is_read_back(entries: list[dict[str, Any]]) -> None:
    for index, told in enumerate(entries):
        told["index"] = index
    total = sum((told["signed"]["value"] for told in entries), Decimal(0))
    whole = {**statement(f"{total}"), "entries": len(entries)}
    try:
        content = written(whole, *entries)
    except Rejected as error:
        assert error.code == "VAL736", error  # noqa: PT017 - the only reason that such entries can have
        return
    assert all(len(line) <= 71 for line in content.decode("ascii").split("\r\n"))
    assert bodies(content) == entries
    assert bodies(content, "statements") == [whole]
