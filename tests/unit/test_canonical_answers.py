"""The models beside the credit transfer: direct debits, returns, cancellations and the answers to them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from transforms.canonical import MODELS
from transforms.canonical.models import MODEL_TYPES

DE, NL = "DE89370400440532013000", "NL91ABNA0417164300"


def direct_debit(**changes: Any) -> dict[str, Any]:
    return {
        "type": "direct-debit",
        "end_to_end_id": "E2E-1",
        "creditor": {"name": "ACME GmbH", "account": {"iban": DE}},
        "debtor": {"name": "Customer", "account": {"iban": NL}},
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "collection_date": "2026-11-24",
        "sequence_type": "RCUR",
        "mandate": {"id": "M-1", "signed": "2026-01-02"},
    } | changes


RIGHT: dict[str, dict[str, Any]] = {
    "direct-debit": direct_debit(),
    "return": {"type": "return", "amount": {"value": Decimal(1), "currency": "EUR"}, "reason": "AC04"},
    "cancellation": {"type": "cancellation", "level": "group", "original_message_id": "M1"},
    "cancellation-status": {"type": "cancellation-status", "level": "case", "status": "CNCL"},
}


@pytest.mark.parametrize("model", RIGHT)
def test_what_is_right_has_no_flaw_and_is_of_the_model(model: str) -> None:
    assert MODELS[model](RIGHT[model]) == ()
    MODEL_TYPES[model].model_validate(RIGHT[model])
    assert [f.code for f in MODELS[model](None)] == ["VAL442"]
    assert [f.reason for f in MODELS[model](RIGHT[model] | {"type": "other"})] == ["CH16"]


def test_every_model_has_a_check_and_a_class() -> None:
    assert MODELS.keys() == MODEL_TYPES.keys()


@pytest.mark.parametrize(
    ("model", "change", "code", "place"),
    [
        ("direct-debit", {"collection_date": "2026-02-30"}, "VAL435", "collection_date"),
        ("direct-debit", {"sequence_type": "NEXT"}, "VAL640", "sequence_type"),
        ("direct-debit", {"mandate": {"id": "M" * 36}}, "VAL640", "mandate.id"),
        ("direct-debit", {"mandate": {"id": 7}}, "VAL640", "mandate.id"),
        ("direct-debit", {"mandate": "M"}, "VAL640", "mandate"),
        ("direct-debit", {"mandate": {"signed": "yesterday"}}, "VAL435", "mandate.signed"),
        ("direct-debit", {"debtor": None}, "VAL436", "debtor"),
        ("direct-debit", {"amount": {"value": Decimal(-1), "currency": "EUR"}}, "VAL433", "amount"),
        ("direct-debit", {"end_to_end_id": "E" * 36}, "VAL437", "end_to_end_id"),
        ("return", {"amount": None}, "VAL433", "amount"),
        ("return", {"reason": 4}, "VAL442", "reason"),
        ("cancellation", {"level": "file"}, "VAL442", "level"),
        ("cancellation", {"action": "stop"}, "VAL442", "action"),
        ("cancellation", {"original_message_id": ""}, "VAL641", ""),
        ("cancellation-status", {"level": "file"}, "VAL442", "level"),
        ("cancellation-status", {"status": "cancelled"}, "VAL442", "status"),
        ("cancellation-status", {"original_uetr": 1}, "VAL442", "original_uetr"),
    ],
)
def test_what_is_wrong_is_named(model: str, change: dict[str, Any], code: str, place: str) -> None:
    assert [(f.code, f.place) for f in MODELS[model](RIGHT[model] | change)] == [(code, place)]


def test_further_parts_of_an_address_have_their_lengths_and_a_block_needs_no_reference() -> None:
    check = MODELS["payment"]
    payment = {
        **{k: v for k, v in direct_debit().items() if k not in ("type", "collection_date", "mandate")},
        "execution_date": "2026-11-24",
    }
    wrong = {"name": "X", "account": {"iban": NL}, "address": {"post_box": "1" * 17, "country": "NL"}}
    assert [f.place for f in check(payment | {"creditor": wrong})] == ["creditor.address.post_box"]
    assert check(payment | {"remittance": {"structured": [{"additional": ["a text alone"]}]}}) == ()
    assert [f.code for f in check(payment | {"remittance": {"structured": [{"type": "SCOR"}]}})] == ["VAL440"]
