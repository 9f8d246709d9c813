"""Canonical statements and entries -> camt.052, camt.053, camt.054 -> the same; what would not be right is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from canonical_bodies import (
    accounts,
    agents,
    amounts,
    codes,
    days,
    identifiers,
    moments,
    parties,
    remittances,
    simple_remittances,
    text,
    uetrs,
    ultimate,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from iso_documents import IBAN, OTHER_IBAN, read, written

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import MODEL_TYPES

ACCOUNT = {"iban": IBAN, "currency": "EUR"}
SETTINGS = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
iso_code = st.sampled_from(["PMNT/RCDT/ESCT", "PMNT/ICDT/RRTN"])
own_reference = st.fixed_dictionaries({"id": identifiers, "scheme": codes})
bank_codes = st.fixed_dictionaries({"iso": iso_code, "own": codes}, optional={"issuer": text(35)})
exchange = st.fixed_dictionaries({"source_currency": st.just("USD"), "rate": st.just(Decimal("1.0845"))})
details = st.fixed_dictionaries({"amount": amounts("USD")}, optional={"exchange": exchange})
all_amounts = st.fixed_dictionaries({"instructed": details}, optional={"counter_value": details, "announced": details})
charges = st.lists(
    st.fixed_dictionaries(
        {"amount": amounts("EUR")},
        optional={"direction": st.sampled_from(["credit", "debit"]), "bearer": st.just("SHAR"), "type": codes},
    ),
    min_size=1,
    max_size=2,
)


def counterparties(*, new: bool) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda party, account, agent: {**party, "account": account} | ({"agent": agent} if agent else {}),
        parties(new=new),
        accounts,
        st.none() | agents(new=new),
    )


def transactions(*, new: bool, documents: bool) -> st.SearchStrategy[dict[str, Any]]:
    later = {"uetr": uetrs, "local_instrument": codes} if new else {}
    return st.fixed_dictionaries(
        {
            "end_to_end_id": identifiers,
            "instruction_id": st.just(""),
            "transaction_id": identifiers,
            "amount": amounts("EUR"),
            "counterparty": counterparties(new=new),
            "remittance": remittances if documents else simple_remittances,
            "return_reason": st.just("") | codes,
        },
        optional={
            "message_id": identifiers,
            "payment_information_id": identifiers,
            "bank_reference": identifiers,
            "mandate_id": identifiers,
            "cheque_number": identifiers,
            "clearing_reference": identifiers,
            "own_references": st.lists(own_reference, min_size=1, max_size=2 if new else 1),
            "amounts": all_amounts,
            "charges": charges,
            **({"total_charges": amounts("EUR")} if new else {}),
            "bank_code": bank_codes,
            "own": counterparties(new=new),
            "ultimate_debtor": ultimate,
            "ultimate_creditor": ultimate,
            "initiating_party": ultimate,
            "intermediary_agents": st.lists(agents(new=new), min_size=1, max_size=2),
            "purpose": codes,
            "settlement_date": days,
            "accepted": moments,
            "return_additional": st.lists(text(100), min_size=1, max_size=2),
            "return_originator": text(70),
            "return_original_code": bank_codes,
            "additional": text(300),
            **later,
        },
    )


def entries(*, new: bool, documents: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    batch = st.fixed_dictionaries(
        {"payment_information_id": identifiers, "count": st.integers(1, 99), "total": amounts("EUR")},
        optional={"message_id": identifiers, "direction": st.sampled_from(["credit", "debit"])},
    )
    return st.fixed_dictionaries(
        {
            "amount": amounts("EUR"),
            "direction": st.sampled_from(["credit", "debit"]),
            "reversal": st.booleans(),
            "status": st.sampled_from(["BOOK", "PDNG"]),
            "reference": identifiers,
            "booking_date": days,
            "value_date": st.just("") | days,
            "bank_reference": st.just("") | identifiers,
            "bank_transaction_code": iso_code,
            "transactions": st.lists(transactions(new=new, documents=documents), max_size=3),
        },
        optional={
            "amounts": all_amounts,
            "charges": charges,
            "batches": st.lists(batch, min_size=1, max_size=2),
            "additional": text(300),
        },
    )


def balance(value: Decimal, kind: str, **more: Any) -> dict[str, Any]:
    return {"amount": {"value": value, "currency": "EUR"}, "date": "2026-11-20", "type": kind, **more}


def statement(number: int, found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """A statement that its entries lead through, followed by them."""
    bodies = []
    for index, entry in enumerate(found):
        sign = 1 if entry["direction"] == "credit" else -1
        signed = {"value": sign * entry["amount"]["value"], "currency": "EUR"}
        of = {"type": "entry", "statement_id": f"S{number}", "account": ACCOUNT, "index": index, "signed": signed}
        bodies.append({**of, **entry})
    booked = sum((b["signed"]["value"] for b in bodies if b["status"] == "BOOK"), Decimal(0))
    opening, closing = balance(Decimal("-7.50"), "OPBD"), balance(booked - Decimal("7.50"), "CLBD")
    totals = {"entries": len(found), "total": sum((e["amount"]["value"] for e in found), Decimal(0))}
    head = {
        "type": "statement",
        "kind": kind,
        "message_id": "M1",
        "id": f"S{number}",
        "sequence_number": number + 1,
        "account": {**ACCOUNT, "owner": "ACME", "servicer": {"bic": "COBADEFFXXX"}},
        "from": "2026-11-20T00:00:00",
        "to": "2026-11-20T23:59:59",
        "created": "2026-11-20T18:00:00Z",
        "opening": opening,
        "closing": closing,
        "balances": [opening, closing, balance(Decimal(3), "CLAV"), balance(Decimal(3), "own kind")],
        "summary": {"all": totals, "net": Decimal("-12.00")},
        "entries": len(found),
    }
    if kind == "notification":
        head = {n: v for n, v in head.items() if n not in ("opening", "closing")} | {"opening": None, "closing": None}
        head["balances"] = []
    return [head, *bodies]


KINDS = {"camt.052": "report", "camt.053": "statement", "camt.054": "notification"}


@pytest.mark.parametrize("message", [f"{f}.001.{v}" for f in KINDS for v in ("02", "04", "06", "08", "12")])
def test_statements_and_their_entries(message: str) -> None:
    new = message[-2:] >= "08"

    @SETTINGS
    @given(st.lists(st.lists(entries(new=new, documents=message[-2:] < "11"), max_size=3), min_size=1, max_size=2))
    def run(groups: list[list[dict[str, Any]]]) -> None:
        bodies = [b for n, found in enumerate(groups) for b in statement(n, found, KINDS[message[:8]])]
        for body in bodies:
            assert MODELS[body["type"]](body) == ()
            MODEL_TYPES[body["type"]].model_validate(body)
        file = written(bodies, message=message, charset="any")
        assert [p.body for p in read(file, "statements")] == [b for b in bodies if b["type"] == "statement"]
        assert [p.body for p in read(file, "entries")] == [b for b in bodies if b["type"] == "entry"]

    run()


def entry(value: str = "10.00", **changes: Any) -> dict[str, Any]:
    sign = -1 if changes.get("direction") == "debit" else 1
    return {
        "type": "entry",
        "statement_id": "S1",
        "account": ACCOUNT,
        "index": 0,
        "amount": {"value": Decimal(value), "currency": "EUR"},
        "direction": "credit",
        "signed": {"value": sign * Decimal(value), "currency": "EUR"},
        "booking_date": "2026-11-20",
    } | changes


def head(opening: str, closing: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "statement",
        "id": "S1",
        "account": ACCOUNT,
        "opening": balance(Decimal(opening), "OPBD"),
        "closing": balance(Decimal(closing), "CLBD"),
        "entries": 1,
    } | changes


def refusal(*bodies: dict[str, Any], message: str = "camt.053.001.08", **options: Any) -> str:
    with pytest.raises(Rejected) as caught:
        written(bodies, message=message, **options)
    return caught.value.code


def test_a_statement_whose_entries_do_not_lead_to_its_closing_balance_is_not_written() -> None:
    assert b"<Ntry>" in written([head("5.00", "15.00"), entry()], message="camt.053")
    assert b"<Ntry>" in written([head("5.00", "5.00"), entry(status="PDNG")], message="camt.053")
    assert refusal(head("5.00", "15.01"), entry()) == "VAL420"
    assert b"<Ntry>" in written([head("5.00", "7.00"), entry()], message="camt.052")


def test_declared_totals_have_to_be_those_of_the_entries() -> None:
    right = {"credits": {"entries": 1, "total": Decimal("10.00")}, "debits": {"entries": 0}}
    assert b"<TxsSummry>" in written([head("0", "10", summary=right), entry()], message="camt.053")
    assert refusal(head("0", "10", summary={"all": {"entries": 2}}), entry()) == "VAL643"
    assert refusal(head("0", "10", summary={"debits": {"total": Decimal(1)}}), entry()) == "VAL643"


def test_an_entry_of_another_account_is_not_taken_into_a_statement() -> None:
    assert refusal(head("0", "10"), entry(account={"iban": OTHER_IBAN})) == "VAL645"
    assert refusal(entry(), entry(account={"iban": OTHER_IBAN}), message="camt.054") == "VAL645"


def test_entries_alone_make_an_advice_but_no_statement() -> None:
    (part,) = read(written([entry()], message="camt.054"), "statements")
    assert (part.body["id"], part.body["account"], part.body["entries"]) == ("S1", ACCOUNT, 1)
    assert refusal(entry()) == "VAL452"


def test_what_an_old_version_cannot_carry_is_refused_or_given_up_on_request() -> None:
    one = {"end_to_end_id": "E1", "uetr": "0a1b2c3d-0000-4000-8000-000000000001", "amount": entry()["amount"]}
    bodies = [entry(transactions=[one])]
    assert b"<UETR>" in written(bodies, message="camt.054.001.08")
    assert refusal(*bodies, message="camt.054.001.02") == "VAL644"
    assert b"<UETR>" not in written(bodies, message="camt.054.001.02", losses="accept")


def test_other_bodies_and_nothing_at_all_are_refused() -> None:
    assert refusal({"type": "payment"}) == "VAL450"
    assert refusal() == "VAL451"
    assert refusal(entry(direction="both")) == "VAL442"
    with pytest.raises(Rejected, match="record 2"):
        written([entry(), entry(direction="both")], message="camt.054")


def test_many_entries_are_written_in_flat_memory_and_order() -> None:
    many = [entry("1.00", index=n, reference=f"R{n}") for n in range(2_500)]
    found = read(written([head("0", "2500.00"), *many], message="camt.053"))
    assert [p.body["reference"] for p in found] == [f"R{n}" for n in range(2_500)]
