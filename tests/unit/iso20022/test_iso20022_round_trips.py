"""Canonical body -> message -> canonical body: equal, for generated bodies and each message that is written."""

from __future__ import annotations

from typing import Any

import pytest
from canonical_bodies import (
    accounts,
    agents,
    amounts,
    codes,
    days,
    identifiers,
    parties,
    remittances,
    reports,
    sides,
    some,
    text,
    uetrs,
    ultimate,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from iso_documents import read, written

from transforms.canonical import MODELS
from transforms.canonical.models import MODEL_TYPES

MADE = ("message_id", "payment_information_id", "report_id")
SETTINGS = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


def round_trip(bodies: list[dict[str, Any]], message: str, each: str = "records") -> list[dict[str, Any]]:
    for body in bodies:
        assert MODELS[body["type"]](body) == ()
        MODEL_TYPES[body["type"]].model_validate(body)
    parts = read(written(bodies, message=message, charset="any"), each)
    assert [part.error for part in parts] == [None] * len(parts)
    return [part.body for part in parts]


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


rates = st.decimals("0.0001", "9999", places=4)
instruction = st.fixed_dictionaries({"code": st.sampled_from(["PHOB", "TELB"])}, optional={"text": text(140)})


def payments(*, new: bool) -> st.SearchStrategy[dict[str, Any]]:
    uetr = {"uetr": uetrs} if new else {}
    return st.fixed_dictionaries(
        {
            "type": st.just("payment"),
            "end_to_end_id": identifiers,
            "instruction_id": identifiers.filter(lambda s: s.replace("-", "").isalnum()),
            "debtor": sides(new=new),
            "creditor": sides(new=new),
            "amount": amounts(),
            "execution_date": days,
            "remittance": remittances,
            **uetr,
        },
        optional={
            "ultimate_debtor": ultimate,
            "ultimate_creditor": ultimate,
            "initiating_party": parties(new=new).map(lambda p: {**p, "name": "Somebody else"}),
            "intermediary_agents": st.lists(agents(new=new), min_size=1, max_size=3),
            "transfer_currency": st.just("USD"),
            "exchange": st.fixed_dictionaries({"rate": rates}, optional={"contract": text(35)}),
            "priority": st.sampled_from(["HIGH", "NORM"]),
            "batch_booking": st.booleans(),
            "method": st.just("TRA"),
            "charges_account": accounts,
            "charges_agent": agents(new=new),
            "instructions_for_creditor_agent": st.lists(instruction, min_size=1, max_size=2),
            "instruction_for_debtor_agent": text(140),
            "regulatory": reports,
            "service_level": st.sampled_from(["URGP", "NURG"]),
            "local_instrument": st.sampled_from(["INST", "my own"]),
            "category_purpose": codes,
            "charge_bearer": st.sampled_from(["SHAR", "DEBT"]),
            "purpose": codes,
        },
    )


def as_read(payment: dict[str, Any]) -> dict[str, Any]:
    documents = [r["reference"] for r in payment["remittance"]["structured"] if r["type"] in ("CINV", "CREN")]
    return {"id": payment["instruction_id"], "uetr": "", "invoice": documents[0] if documents else "", **payment}


@pytest.mark.parametrize("version", ["03", "05", "08", "09", "11"])
def test_payments(version: str) -> None:
    @SETTINGS
    @given(st.lists(payments(new=version > "08"), min_size=1, max_size=4))
    def run(bodies: list[dict[str, Any]]) -> None:
        one = [without(b, "initiating_party") if n else b for n, b in enumerate(bodies)]
        found = round_trip(one, f"pain.001.001.{version}")
        party = {"initiating_party": one[0]["initiating_party"]} if "initiating_party" in one[0] else None
        if party is None:  # then it is the debtor of the first, which is told where it is another's
            found = [without(b, "initiating_party") for b in found]
        assert [without(b, *MADE) for b in found] == [{**as_read(b), **(party or {})} for b in one]

    run()


def debits(*, new: bool) -> st.SearchStrategy[dict[str, Any]]:
    amendment = some(
        original_id=identifiers,
        original_creditor_name=text(70),
        original_debtor_account=accounts,
        original_debtor_agent=agents(new=new),
    ).filter(bool)
    mandate = st.fixed_dictionaries({"id": identifiers, "signed": days}, optional={"amendment": amendment})
    return st.fixed_dictionaries(
        {
            "type": st.just("direct-debit"),
            "end_to_end_id": identifiers,
            "instruction_id": identifiers,
            "creditor": sides(new=new),
            "debtor": sides(new=new),
            "amount": amounts("EUR"),
            "collection_date": days,
            "mandate": mandate,
            "creditor_scheme_id": st.fixed_dictionaries({"id": identifiers, "scheme": st.just("SEPA")}),
            "sequence_type": st.sampled_from(["FRST", "RCUR", "OOFF", "FNAL"]),
            "remittance": remittances,
            **({"uetr": uetrs} if new else {}),
        },
        optional={
            "ultimate_debtor": ultimate,
            "ultimate_creditor": ultimate,
            "pre_notification": identifiers,
            "pre_notification_date": days,
            "batch_booking": st.booleans(),
            "service_level": st.just("SEPA"),
            "local_instrument": st.sampled_from(["CORE", "B2B"]),
            "charge_bearer": st.just("SLEV"),
            "category_purpose": codes,
            "purpose": codes,
            "regulatory": reports,
        },
    )


@pytest.mark.parametrize("version", ["02", "05", "08", "10"])
def test_direct_debits(version: str) -> None:
    @SETTINGS
    @given(st.lists(debits(new=version > "07"), min_size=1, max_size=4))
    def run(bodies: list[dict[str, Any]]) -> None:
        found = round_trip(bodies, f"pain.008.001.{version}")
        assert [without(b, *MADE, "initiating_party", "id", "invoice") for b in found] == [
            {**b, **({"charge_bearer": "SLEV"} if b.get("service_level") == "SEPA" else {})} for b in bodies
        ]

    run()


def originals(*, uetr: bool = False, transaction: bool = False) -> dict[str, st.SearchStrategy[Any]]:
    names = ("original_end_to_end_id", "original_instruction_id")
    found: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(names, identifiers)
    if uetr:
        found["original_uetr"] = uetrs
    if transaction:
        found["original_transaction_id"] = identifiers
    return found


reasons = st.tuples(codes | text(30).filter(lambda s: len(s) > 4), st.lists(text(100), max_size=2))


def with_reason(body: dict[str, Any], reason: tuple[str, list[str]]) -> dict[str, Any]:
    return {**body, "reason": reason[0], "additional": reason[1]}


def statuses(*, new: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    transaction = st.builds(
        with_reason,
        st.fixed_dictionaries(
            {"status": st.sampled_from(["RJCT", "ACSC", "PDNG", "ACCP"]), **originals(uetr=new)},
            optional={"status_id": identifiers, "amount": amounts(), "execution_date": days, "creditor": ultimate},
        ),
        reasons,
    )
    return st.builds(
        _report,
        st.lists(st.lists(transaction, min_size=1, max_size=3), min_size=1, max_size=3),
        st.sampled_from(["", "PART", "RJCT", "ACSC"]),
        reasons,
    )


def _report(blocks: list[list[dict[str, Any]]], group: str, reason: tuple[str, list[str]]) -> list[dict[str, Any]]:
    message = {"original_message_id": "M1", "original_message_name": "pain.001.001.09"}
    none = {"original_payment_information_id": "", "original_end_to_end_id": "", "original_instruction_id": ""}
    base = {"type": "payment-status", **message, **none}
    found = []
    for number, block in enumerate(blocks):
        of = {**base, "original_payment_information_id": f"P{number}"}
        found += [{**of, "level": "transaction", **one} for one in block]
        found.append(with_reason({**of, "level": "payment-information", "status": "PART", "original_count": 3}, reason))
    if group:
        found.append(with_reason({**base, "level": "group", "status": group, "original_total": "10.00"}, reason))
    return found


@pytest.mark.parametrize("version", ["03", "06", "10", "14"])
def test_statuses_of_all_levels(version: str) -> None:
    @SETTINGS
    @given(statuses(new=version >= "10"))
    def run(bodies: list[dict[str, Any]]) -> None:
        found = round_trip(bodies, f"pain.002.001.{version}")
        assert [without(b, "report_id", "excepted_payments", "excepted_blocks") for b in found] == bodies

    run()


def requests(extra: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    message = {"original_message_id": identifiers, "original_message_name": st.just("pain.001.001.09")}
    one = st.builds(
        with_reason,
        st.fixed_dictionaries(
            {"level": st.just("transaction"), "id": identifiers, "amount": amounts(), **message, **extra},
            optional={"execution_date": days, "creditor": ultimate},
        ),
        reasons,
    )
    group = st.builds(
        with_reason,
        st.fixed_dictionaries(
            {"level": st.just("group"), "id": identifiers, **message}, optional={"original_count": st.integers(1, 99)}
        ),
        reasons,
    )
    return st.lists(one | group, min_size=1, max_size=4)


SENDER = {
    "assigner": {"name": "ACME"},
    "assignee": {"name": "Bank", "bic": "COBADEFFXXX"},
    "case": {"id": "C1", "issuer": "ACME"},
}


@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("camt.055.001.08", {**originals(uetr=True), "original_payment_information_id": identifiers}),
        ("camt.055.001.12", {**originals(uetr=True), "original_payment_information_id": identifiers}),
        ("camt.056.001.08", originals(uetr=True, transaction=True)),
        ("camt.056.001.11", originals(uetr=True, transaction=True)),
    ],
)
def test_requests_to_cancel(message: str, extra: dict[str, st.SearchStrategy[Any]]) -> None:
    @SETTINGS
    @given(requests(extra))
    def run(bodies: list[dict[str, Any]]) -> None:
        whole = [{"type": "cancellation", "action": "cancel", **SENDER, **b} for b in bodies]
        assert [without(b, "message_id") for b in round_trip(whole, message)] == whole

    run()


@SETTINGS
@given(requests({**originals(), "original_payment_information_id": identifiers, "reversed_amount": amounts()}))
def test_reversals(bodies: list[dict[str, Any]]) -> None:
    whole = [
        {"type": "cancellation", "action": "reverse", "assigner": {"name": "ACME"}, **b, "original_message_id": "M1"}
        for b in bodies
        if b["level"] == "transaction"
    ]
    if whole:
        found = round_trip(whole, "pain.007.001.08")
        assert [without(b, "message_id") for b in found] == whole


answers = st.builds(
    with_reason,
    st.fixed_dictionaries(
        {
            "level": st.just("transaction"),
            "status": st.sampled_from(["ACCR", "RJCR", "PDCR"]),
            "original_message_id": identifiers,
            "original_message_name": st.just("pain.001.001.09"),
            **originals(),
        },
        optional={"status_id": identifiers, "amount": amounts(), "original_payment_information_id": identifiers},
    ),
    reasons,
)


@pytest.mark.parametrize("version", ["09", "11", "13"])
def test_answers_to_requests(version: str) -> None:
    @SETTINGS
    @given(st.lists(answers, max_size=4), st.sampled_from(["CNCL", "RJCR", "PECR", "UWFW"]))
    def run(bodies: list[dict[str, Any]], case: str) -> None:
        outcomes = {"ACCR": "cancelled", "CNCL": "cancelled", "RJCR": "refused", "PDCR": "pending", "PECR": "partly"}
        of_case = {"level": "case", "status": case, "reason": "", "additional": []}
        whole = [
            {"type": "cancellation-status", **SENDER, **b, "outcome": outcomes.get(b["status"], "pending")}
            for b in (*bodies, of_case)
        ]
        found = [without(b, "report_id") for b in round_trip(whole, f"camt.029.001.{version}")]
        assert found == whole

    run()
