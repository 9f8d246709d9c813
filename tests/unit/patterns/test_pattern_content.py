"""Enricher, keep and remove, claim check: what is in a message."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bus import Blob, Group, Message, Rejected, get_field, key_text, with_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.testing.steps import StepBench


def rejected(run: Callable[[], Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        run()
    return caught.value


def changed(bench: StepBench, written: dict[str, Any], body: Any) -> Any:
    (message,) = bench.run(bench.build(written), body)
    assert isinstance(message, Message)
    return message.body


# ---------------------------------------------------------------- fields and keys


def test_fields_are_set_without_touching_the_old_body() -> None:
    body = {"a": {"b": 1}, "c": 2}

    assert with_field(body, ("a", "d", "e"), 3) == {"a": {"b": 1, "d": {"e": 3}}, "c": 2}
    assert body == {"a": {"b": 1}, "c": 2}
    assert with_field(None, ("x",), 1) == {"x": 1}
    assert with_field(body, (), 5) == 5
    assert rejected(lambda: with_field(body, ("c", "d"), 1)).code == "VAL520"
    assert rejected(lambda: with_field([1], ("c",), 1)).code == "VAL520"
    assert (get_field(body, ("a", "b")), get_field(body, ("c", "d")), get_field(body, ())) == (1, None, body)


def test_keys_are_equal_for_equal_values_and_only_for_them() -> None:
    assert key_text(Decimal("1.00")) == key_text(Decimal(1)) == key_text(1) == "1"
    assert key_text(Decimal("1E+2")) == key_text(100) == "100"
    assert key_text(Decimal("-0.00")) == "0"
    assert key_text(Decimal("0.10"), "x") == '["0.1","x"]'
    assert key_text("a", "b") != key_text('a","b') != key_text("a,b")
    assert key_text(None, "") == '["",""]'
    assert [key_text(value) for value in (True, False)] == ["true", "false"]
    assert key_text({"b": 1, "a": 2}) == key_text({"a": 2, "b": 1})
    assert key_text("x" * 300).startswith("sha256:")
    assert len(key_text("x" * 300)) == len("sha256:") + 64


def test_a_number_with_a_huge_exponent_does_not_fill_the_memory() -> None:
    assert key_text(Decimal("1E+999999")) == "1E+999999"
    assert key_text(Decimal("NaN")) == "NaN"


# ---------------------------------------------------------------- enricher


@pytest.fixture
def tables(make_bench: Callable[..., StepBench]) -> StepBench:
    return make_bench(tables={"banks": {"DE": {"bic": "X"}, "7": "seven"}})


def test_enrich_puts_the_row_where_it_is_wanted(tables: StepBench) -> None:
    step = {"enrich": {"table": "banks", "key": "country", "into": "debtor.agent"}}

    assert changed(tables, step, {"country": "DE"}) == {"country": "DE", "debtor": {"agent": {"bic": "X"}}}
    assert changed(tables, step, {"country": Decimal("7.0")})["debtor"]["agent"] == "seven"


@pytest.mark.parametrize("country", ["FR", None])
def test_a_missing_row_is_a_default_nothing_or_a_refusal(tables: StepBench, country: str | None) -> None:
    options = {"table": "banks", "key": "country", "into": "bank"}
    body = {"country": country}

    assert rejected(lambda: changed(tables, {"enrich": options}, body)).code == "VAL521"
    assert changed(tables, {"enrich": {**options, "default": "north"}}, body)["bank"] == "north"
    assert changed(tables, {"enrich": {**options, "required": "false"}}, body) == body


class Dated(dict[str, Any]):
    """A table as the configuration makes it: rows of one key at different times and places."""

    def get(self, key: str, on_date: str | None = None, region: str = "") -> Any:  # type: ignore[override]  # as ValueTable
        return f"{key} {on_date} {region}".strip()


def test_rows_are_chosen_by_day_and_region(make_bench: Callable[..., StepBench]) -> None:
    bench = make_bench(tables={"names": Dated()})
    step = {"enrich": {"table": "names", "key": "c", "into": "name", "on_date": "day", "region": "where"}}

    assert changed(bench, step, {"c": "GB", "day": "2026-01-01", "where": "NI"})["name"] == "GB 2026-01-01 NI"
    assert changed(bench, step, {"c": "GB"})["name"] == "GB None"


def test_only_objects_are_enriched(tables: StepBench) -> None:
    step = tables.build({"enrich": {"table": "banks", "key": "@", "into": "x"}})

    assert rejected(lambda: tables.run(step, b"DE")).code == "VAL504"
    assert rejected(lambda: tables.run(step, ["DE"])).code == "VAL504"


def test_a_table_that_is_not_there_is_noticed_when_the_route_is_built(tables: StepBench) -> None:
    with pytest.raises(KeyError):
        tables.build({"enrich": {"table": "no", "key": "a", "into": "b"}})


# ---------------------------------------------------------------- keep and remove

BODY = {
    "id": "1",
    "a": {"b": 1, "c": {"d": 2, "e": 3}},
    "list": [{"x": 1, "y": 2}, {"y": 3}, "text", [{"x": 4, "y": 5}]],
    "scalar": 5,
    "nothing": None,
}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["id", "nothing"], {"id": "1", "nothing": None}),
        (["a.c.d", "a.b"], {"a": {"b": 1, "c": {"d": 2}}}),
        (["a.c.d", "a"], {"a": BODY["a"]}),
        (["list.x"], {"list": [{"x": 1}, {}, [{"x": 4}]]}),
        (["scalar.deeper", "missing"], {}),
    ],
)
def test_keep(bench: StepBench, paths: list[str], expected: Any) -> None:
    assert changed(bench, {"keep": paths}, BODY) == expected


@pytest.mark.parametrize(
    ("paths", "gone"),
    [
        (["a", "list", "scalar", "nothing"], {"id": "1"}),
        (["a.c.d", "a.c", "list", "scalar", "nothing", "id"], {"a": {"b": 1}}),
        (["missing.deep", "scalar.deeper"], BODY),
        (["list.x"], {**BODY, "list": [{"y": 2}, {"y": 3}, "text", [{"y": 5}]]}),
    ],
)
def test_remove(bench: StepBench, paths: list[str], gone: Any) -> None:
    before = str(BODY)

    assert changed(bench, {"remove": paths}, BODY) == gone
    assert str(BODY) == before


@pytest.mark.parametrize("key", ["keep", "remove"])
def test_bodies_that_are_lists_and_bodies_that_are_bytes(bench: StepBench, key: str) -> None:
    expected = [{"a": 1}] if key == "keep" else [{"b": 2}]

    assert changed(bench, {key: ["a"]}, [{"a": 1, "b": 2}]) == expected
    assert rejected(lambda: changed(bench, {key: ["a"]}, b"raw")).code == "VAL504"


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a b"])
@pytest.mark.parametrize("key", ["keep", "remove"])
def test_what_is_no_path_is_refused(bench: StepBench, key: str, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({key: [path]})
    assert caught.value.errors()[0]["type"] == "CFG507"


# ---------------------------------------------------------------- claim check

SCAN = {"pages": [1, 2], "fee": Decimal("1.10"), "text": "Grüße"}


def test_what_is_stored_comes_back_exactly(bench: StepBench) -> None:
    body = {"invoice": {"scan": SCAN, "id": "I"}}

    stored = changed(bench, {"claim_check": {"store": "invoice.scan"}}, body)
    assert stored["invoice"]["id"] == "I"
    ticket = stored["invoice"]["scan"]["claim"]
    assert (len(ticket["sha256"]), ticket["size"], ticket["kind"]) == (
        64,
        len(bench.blobs.stored[ticket["sha256"]]),
        "plain",
    )

    assert changed(bench, {"claim_check": {"fetch": "invoice.scan"}}, stored) == body
    assert all(stream.closed for stream in bench.blobs.open_streams)


@pytest.mark.parametrize("body", [b"raw \x00", {"a": 1}, "text"])
def test_the_whole_body_with_its_content_type(bench: StepBench, body: Any) -> None:
    message = bench.message(body, content_type="text/x")

    (stored,) = bench.run(bench.build({"claim_check": {"store": ""}}), message)
    assert isinstance(stored, Message)
    assert stored.headers.content_type == "application/json"
    assert bench.run(bench.build({"claim_check": {"fetch": ""}}), stored) == [message]


def test_a_blob_needs_no_second_copy(bench: StepBench) -> None:
    message = bench.message(bench.blobs.put(b"big"), content_type="application/xml")

    (stored,) = bench.run(bench.build({"claim_check": {"store": ""}}), message)

    assert list(bench.blobs.stored) == [message.body.sha256]
    assert bench.run(bench.build({"claim_check": {"fetch": ""}}), stored) == [message]


def test_what_is_not_there_is_neither_stored_nor_missed(bench: StepBench) -> None:
    assert changed(bench, {"claim_check": {"store": "scan"}}, {"a": 1}) == {"a": 1}
    assert changed(bench, {"claim_check": {"fetch": "scan"}}, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    "ticket",
    [
        "text",
        {},
        {"claim": "x"},
        {"claim": {"sha256": "../../etc/passwd", "size": 1, "kind": "bytes"}},
        {"claim": {"sha256": "A" * 64, "size": 1, "kind": "bytes"}},
        {"claim": {"sha256": "a" * 64, "size": "1", "kind": "bytes"}},
        {"claim": {"sha256": "a" * 64, "size": 1, "kind": "other"}},
    ],
)
def test_a_forged_ticket_is_refused(bench: StepBench, ticket: Any) -> None:
    step = bench.build({"claim_check": {"fetch": "scan"}})

    assert rejected(lambda: bench.run(step, {"scan": ticket})).code == "VAL522"


def test_a_ticket_whose_content_is_gone_is_refused_by_the_store(bench: StepBench) -> None:
    step = bench.build({"claim_check": {"fetch": "scan"}})
    ticket = {"claim": {"sha256": "a" * 64, "size": 1, "kind": "bytes"}}

    assert rejected(lambda: bench.run(step, {"scan": ticket})).code == "INT102"


def test_a_group_cannot_be_put_away(bench: StepBench) -> None:
    assert rejected(lambda: bench.run(bench.build({"claim_check": {"store": ""}}), Group(1, 1))).code == "VAL505"


@pytest.mark.parametrize(
    ("options", "code"), [({}, "CFG506"), ({"store": "a", "fetch": "a"}, "CFG506"), ({"store": "a..b"}, "CFG507")]
)
def test_unclear_claim_checks_are_refused(bench: StepBench, options: dict[str, str], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"claim_check": options})
    assert caught.value.errors()[0]["type"] == code


def test_a_blob_reference_is_not_an_object(bench: StepBench) -> None:
    step = bench.build({"claim_check": {"fetch": ""}})

    assert rejected(lambda: bench.run(step, Blob("a" * 64, 1))).code == "VAL522"
