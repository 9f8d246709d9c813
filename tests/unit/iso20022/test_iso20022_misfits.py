"""Bodies of the wrong kind anywhere are refused by every writer with a code and a place, never written as they are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_iso20022_round_trips import debits, payments, requests, statuses
from test_iso20022_statement_round_trips import entries

from bus import FormatSpec, Rejected, WriteContext
from bus.codes import codes
from transforms.canonical import MODELS
from transforms.iso20022 import Iso20022Spec
from transforms.mt101 import Mt101Spec
from transforms.mt940 import Mt940Spec
from transforms.nacha import NachaSpec

CONTEXT = WriteContext("ab" * 16, 1_795_800_000_000)
NACHA = NachaSpec(destination="021000021", origin="1234567890", company_id="1234567890", entry_class="CTX")
JUNK = st.sampled_from([
    "", "x", 5, -1, True, 1.5, b"x", [], ["x"], [None], [[]], {}, {"x": 1}, ("a",), None, "\x00", "\ud800",
    "\u00e9" * 300, Decimal("1.5"), Decimal("NaN"), Decimal("1E+400"), Decimal("1E-400"),
])  # fmt: skip


def iso(message: str) -> FormatSpec:
    return Iso20022Spec(message=message)


ORDERS = (iso("pain.001.001.09"), iso("pain.001.001.03"), Mt101Spec())
SWEEPS: dict[str, tuple[st.SearchStrategy[Any], tuple[FormatSpec, ...]]] = {
    "payment": (payments(new=True), ORDERS),
    "direct-debit": (debits(new=True), (iso("pain.008.001.08"), NACHA)),
    "payment-status": (statuses(new=True), (iso("pain.002.001.10"),)),
    "cancellation": (requests({}), (iso("camt.055.001.08"), iso("camt.056.001.08"))),
    "entry": (entries(new=True), (iso("camt.053.001.08"), Mt940Spec())),
}


def places(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list | tuple) else ()
    for name, value in inner:
        yield from places(value, (*at, name))


def changed(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copied = dict(body) if isinstance(body, dict) else list(body)
    copied[at[0]] = changed(body[at[0]], at[1:], value)
    return copied


def write(spec: FormatSpec, bodies: list[Any]) -> Rejected | None:
    try:
        spec.build().write(bodies, io.BytesIO(), CONTEXT)
    except Rejected as error:
        return error
    return None


@pytest.mark.parametrize("model", SWEEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_stands_anywhere_is_written_or_refused_with_a_code(model: str, data: st.DataObject) -> None:
    strategy, specs = SWEEPS[model]
    drawn = data.draw(strategy)
    bodies = drawn if isinstance(drawn, list) else [drawn]
    body = data.draw(st.sampled_from(bodies))
    wrong = changed(body, data.draw(st.sampled_from(list(places(body)))), data.draw(JUNK))
    for spec in specs:
        error = write(spec, [wrong if one is body else one for one in bodies])
        assert error is None or error.code in codes()


ORDER: dict[str, Any] = {
    "type": "payment",
    "debtor": {"name": "ACME", "account": {"iban": "NL91ABNA0417164300"}},
    "creditor": {
        "name": "Supplier",
        "account": {"iban": "DE89370400440532013000"},
        "agent": {"bic": "COBADEFFXXX"},
    },
    "amount": {"value": Decimal("1.10"), "currency": "EUR"},
    "execution_date": "2026-12-01",
}
AGENT = {"clearing_system": "USABA", "member_id": "021000021"}


@pytest.mark.parametrize(
    ("at", "value", "place", "said"),
    [
        (("creditor", "agent"), "COBADEFFXXX", "creditor.agent", "is a text, wanted is an object"),
        (("creditor", "account", "servicer"), 5, "creditor.account.servicer", "is a number"),
        (("intermediary_agents",), "COBADEFFXXX", "intermediary_agents", "is a text, wanted is a list"),
        (("intermediary_agents",), [None], "intermediary_agents[0]", "is empty"),
        (("batch_booking",), "true", "batch_booking", "wanted is true or false"),
        (("exchange",), {"rate": 1.5}, "exchange.rate", "is a binary number, wanted is an exact number"),
        (("exchange",), {"rate": Decimal("Infinity")}, "exchange.rate", "no number of up to"),
        (("charges_account",), ["x"], "charges_account", "is a list, wanted is an object"),
        (("remittance",), {"structured": "INV-1"}, "remittance.structured", "is a text, wanted is a list"),
        (("remittance",), {"structured": [{"due": {"value": 1}}]}, "remittance.structured[0].due.currency", "missing"),
        (("id",), 4711, "id", "is a number, wanted is a text"),
    ],
)
def test_the_field_and_what_is_wanted_are_told(at: tuple[str, ...], value: Any, place: str, said: str) -> None:
    body = changed({**ORDER, at[0]: ORDER.get(at[0])}, at[:1], value) if len(at) == 1 else ORDER
    if len(at) > 1:
        inner = dict(ORDER["creditor"])
        inner[at[1]] = value if len(at) == 2 else {**inner[at[1]], at[2]: value}
        body = {**ORDER, "creditor": inner}
    (flaw,) = MODELS["payment"](body)
    assert (flaw.code, flaw.place, said in flaw.message) == ("VAL673", place, True)
    for spec in ORDERS:
        error = write(spec, [ORDER, body])
        assert error is not None
        assert [(position, found.code) for position, found in error.records] == [(1, "VAL673")]
    assert write(ORDERS[0], [ORDER]) is None


def test_what_no_model_knows_is_no_matter() -> None:
    assert MODELS["payment"]({**ORDER, "cost_centre": {"any": [1.5]}}) == ()


@pytest.mark.parametrize("told", ["hello", {"unstructured": "hello"}, {"structured": ["x"]}, {"structured": 5}, [1]])
def test_a_nacha_entry_has_its_remittance_or_is_refused(told: Any) -> None:
    account = {"other": "123456"}
    body = {
        **ORDER,
        "creditor": {"name": "Supplier", "account": account, "agent": AGENT},
        "amount": {"value": Decimal("1.10"), "currency": "USD"},
    }
    assert write(NACHA, [body]) is None
    error = write(NACHA, [body, {**body, "remittance": told}])
    assert error is not None
    assert [(position, found.code) for position, found in error.records] == [(1, "VAL673")]


@pytest.mark.parametrize("name", ["A\u202eB", "A\ud800B"])
def test_a_character_without_counterpart_is_refused_in_a_nacha_entry_too(name: str) -> None:
    body = {
        **ORDER,
        "creditor": {"name": name, "account": {"other": "123456"}, "agent": AGENT},
        "amount": {"value": Decimal("1.10"), "currency": "USD"},
    }
    error = write(NACHA, [body])
    assert error is not None
    assert (error.code, error.place) == ("VAL444", "name")
