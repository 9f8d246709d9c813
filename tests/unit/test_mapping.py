"""Mappings and value tables: what they make, what they refuse and how they name the field."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import ConfigError, Rejected
from bus.codes import codes
from bus.expressions import compile_expression
from transforms.mapping import MappingSpec, TableSpec, ValueTable, compile_mapping, problems, required_fields

ROW = {"id": "P-1", "name": "Müller", "amount": "100.10", "currency": "EUR", "empty": "", "country": "D"}
PAYMENT = {"amount": "x", "debtor.name": "x", "creditor.name": "x", "execution_date": "x"}
ROUTES = Path(__file__).parents[2] / "routes"


def mapping(fields: dict[str, Any], **more: Any) -> MappingSpec:
    return MappingSpec.model_validate({"mapping": "test", "fields": fields, **more})


def table(*rows: dict[str, str], name: str = "countries") -> TableSpec:
    return TableSpec.model_validate({"table": name, "rows": list(rows)})


def run(fields: dict[str, Any], source: Any = ROW, tables: dict[str, Any] | None = None, **more: Any) -> Any:
    return compile_mapping(mapping(fields, **more), expression=compile_expression, tables=tables)(source)


def refused(fields: dict[str, Any], source: Any = ROW, tables: dict[str, Any] | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        run(fields, source, tables)
    assert caught.value.code in codes() or not caught.value.code.startswith("MAP")
    return caught.value


# ---------------------------------------------------------------- fields


def test_targets_with_dots_become_nested() -> None:
    fields = {"id": "id", "debtor.name": "name", "type": "'payment'", "debtor.account.iban": "'DE1'"}
    assert run(fields) == {"id": "P-1", "debtor": {"name": "Müller", "account": {"iban": "DE1"}}, "type": "payment"}


def test_amounts_are_exact() -> None:
    assert run({"amount": "money(amount, currency)"}) == {"amount": {"value": Decimal("100.10"), "currency": "EUR"}}


def test_null_is_left_out_and_empty_text_is_kept() -> None:
    assert run({"a": "nothing", "b.c": "nothing.at.all", "d": "empty"}) == {"d": ""}
    assert run({"a": {"value": "empty", "omit_empty": True}, "b": {"list": ["empty"], "omit_empty": "true"}}) == {}


@pytest.mark.parametrize(
    ("when", "there"),
    [("id == 'P-1'", True), ("empty", False), ("nothing", False), ("`0`", True), ("`[]`", False), ("id == 'x'", False)],
)
def test_a_condition_decides(when: str, there: bool) -> None:  # noqa: FBT001 - the second column of the table
    assert run({"a": {"value": "id", "when": when}}) == ({"a": "P-1"} if there else {})


def test_defaults_stand_in_for_what_is_missing_or_empty() -> None:
    assert run({"a": {"value": "nothing", "default": "x"}, "b": {"value": "empty", "default": ""}}) == {
        "a": "x",
        "b": "",
    }
    assert run({"a": {"value": "id", "when": "empty", "default": "x"}}) == {"a": "x"}


@pytest.mark.parametrize("expression", ["nothing", "empty", "`[]`", "`{}`"])
def test_required_fields_name_the_target(expression: str) -> None:
    error = refused({"creditor.account.iban": {"value": expression, "required": "true", "reason": "AC03"}})
    assert (error.code, error.place, error.reason) == ("MAP110", "creditor.account.iban", "AC03")
    assert "`creditor.account.iban`" in error.message


def test_zero_and_false_are_values() -> None:
    fields = {"n": {"value": "n", "required": True}, "f": {"value": "f", "required": True, "omit_empty": True}}
    assert run(fields, {"n": 0, "f": False}) == {"n": 0, "f": False}


def test_lists_leave_out_what_is_empty() -> None:
    assert run({"remittance.unstructured": {"list": ["id", "empty", "nothing", "name"]}}) == {
        "remittance": {"unstructured": ["P-1", "Müller"]}
    }


def test_each_item_becomes_a_mapping() -> None:
    source = {"currency": "EUR", "items": [{"price": "1.50", "n": "a"}, {"price": "2.00", "n": "b"}]}
    fields = {"lines": {"each": "items", "fields": {"amount": "money(price, parent.currency)", "x.n": "n"}}}
    assert run(fields, source) == {
        "lines": [
            {"amount": {"value": Decimal("1.50"), "currency": "EUR"}, "x": {"n": "a"}},
            {"amount": {"value": Decimal("2.00"), "currency": "EUR"}, "x": {"n": "b"}},
        ]
    }
    assert run({"lines": {"each": "items", "fields": {"v": "@"}}}, {"items": ["a", "b"]}) == {
        "lines": [{"v": "a"}, {"v": "b"}]
    }
    assert run(fields, {}) == {}


def test_each_names_the_item() -> None:
    fields = {"lines": {"each": "items", "fields": {"n": {"value": "n", "required": True}}}}
    error = refused(fields, {"items": [{"n": "a"}, {"n": ""}]})
    assert (error.code, error.place) == ("MAP110", "lines.item 2.n")
    assert error.message.startswith("`lines`: `item 2`: `n`")
    assert refused(fields, {"items": {"n": "a"}}).code == "MAP114"


def test_refusals_of_expressions_name_the_target() -> None:
    error = refused({"id": "id", "amount": "money(amount, currency)"}, {**ROW, "amount": "SECRET"})
    assert error.code.startswith("VAL2")
    assert error.place == "amount"
    assert error.message.startswith("`amount`: ")
    assert error.reason == "AM12"
    assert "SECRET" not in str(error)


def test_binary_floats_never_pass() -> None:
    assert refused({"a.b": "x"}, {"x": 0.1}).code == "MAP111"


def test_the_source_is_left_alone_and_the_result_is_new() -> None:
    source = {"a": {"b": 1}}
    made = compile_mapping(mapping({"x.y": "a.b"}), expression=compile_expression)
    first = made(source)
    first["x"]["y"] = 2
    assert made(source) == {"x": {"y": 1}}
    assert source == {"a": {"b": 1}}


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats() | st.decimals(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_only_refusals_come_out_of_any_source(source: Any) -> None:
    made = compile_mapping(
        mapping(
            {
                "m": "money(a, b)",
                "l": {"lookup": "t", "key": "id"},
                "e": {"each": "a", "fields": {"x": "b", "y": {"value": "id", "required": "true"}}},
                "w": {"value": "a.b", "when": "b", "omit_empty": "true"},
            },
            tables={"t": {"x": "y"}},
        ),
        expression=compile_expression,
    )
    told = ""
    try:
        made(source)
    except Rejected as error:
        told = error.code
    assert not told or told in codes() or told.startswith("VAL2")


# ---------------------------------------------------------------- value tables


def test_lookups() -> None:
    tables = {"countries": table({"key": "D", "value": "DE"}, {"key": "7", "value": "seven"})}
    assert run({"c": {"lookup": "countries", "key": "country"}}, tables=tables) == {"c": "DE"}
    assert run({"c": {"lookup": "countries", "key": "n"}}, {"n": 7}, tables) == {"c": "seven"}
    assert run({"c": {"lookup": "countries", "key": "'X'", "default": "ZZ"}}, tables=tables) == {"c": "ZZ"}
    assert run({"c": {"lookup": "countries", "key": "nothing"}}, tables=tables) == {}
    error = refused({"c": {"lookup": "countries", "key": "'SECRET'"}}, tables=tables)
    assert error.code == "MAP113"
    assert "SECRET" not in str(error)
    assert refused({"c": {"lookup": "countries", "key": "empty", "required": "true"}}, tables=tables).code == "MAP110"


def test_inline_tables() -> None:
    own = {"yes-no": {"J": "true", "NO": "false"}}
    made = compile_mapping(mapping({"c": {"lookup": "yes-no", "key": "a"}}, tables=own), expression=compile_expression)
    assert made({"a": "NO"}) == {"c": "false"}


def test_rows_by_day_and_region() -> None:
    found = ValueTable.of(
        table(
            {"key": "GB", "value": "old", "to": "2020-12-31"},
            {"key": "GB", "value": "new", "from": "2021-01-01", "to": "2021-12-31"},
            {"key": "GB", "value": "ni", "region": "north", "from": "2021-01-01"},
            {"key": "GB", "value": "always"},
        )
    )
    assert found.get("GB", on_date="2020-12-31") == "old"
    assert found.get("GB", on_date="2021-01-01T09:00:00") == "new"
    assert found.get("GB", on_date="2022-01-01") == "always"
    assert found.get("GB") == "always"
    assert found.get("GB", on_date="2021-06-01", region="north") == "ni"
    assert found.get("GB", on_date="2020-06-01", region="north") == "old"
    assert found.get("GB", region="south") == "always"
    assert found.get("FR", on_date="2021-06-01") is None
    assert (found.dated, found.regional) == (True, True)
    with pytest.raises(Rejected, match="MAP112"):
        found.get("GB", on_date="24.11.2026")


def test_lookups_by_day_and_region() -> None:
    rates = table(
        {"key": "EUR", "value": "1", "from": "2026-01-01"},
        {"key": "EUR", "value": "2", "from": "2026-01-01", "region": "north"},
    )
    fields = {"r": {"lookup": "countries", "key": "currency", "on": "day", "region": "place"}}
    assert run(fields, {**ROW, "day": "2026-01-01", "place": "north"}, {"countries": rates}) == {"r": "2"}
    assert run(fields, {**ROW, "day": "2026-01-01"}, {"countries": rates}) == {"r": "1"}
    assert refused(fields, {**ROW, "day": "2025-12-31"}, {"countries": rates}).code == "MAP113"
    assert refused(fields, {**ROW, "day": "x"}, {"countries": rates}).code == "MAP112"


def test_expressions_may_look_up_in_value_tables() -> None:
    dated = {"countries": ValueTable.of(table({"key": "D", "value": "DE", "from": "2026-01-01"}))}
    find = compile_expression("lookup('countries', country, 'none', '2026-06-01')", tables=dated)
    assert find(ROW) == "DE"
    assert find({"country": "X"}) == "none"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}], "MAP120"),
        ([{"key": "a", "value": "1", "from": "2026-01-01"}, {"key": "a", "value": "2", "to": "2026-01-01"}], "MAP120"),
        ([{"key": "a", "value": "1", "from": "2026-01-02", "to": "2026-01-01"}], "MAP121"),
        ([{"key": "a", "value": "1", "from": "01.01.2026"}], "date_from_datetime_parsing"),
        ([{"key": "a"}], "missing"),
        ([{"key": "a", "value": "1", "until": "2026-01-01"}], "extra_forbidden"),
    ],
)
def test_tables_that_contradict_themselves(rows: list[dict[str, str]], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        table(*rows)
    assert [found["type"] for found in caught.value.errors()] == [code]


def test_tables_that_follow_each_other_are_right() -> None:
    table({"key": "a", "value": "1", "to": "2025-12-31"}, {"key": "a", "value": "2", "from": "2026-01-01"})
    table({"key": "a", "value": "1"}, {"key": "a", "value": "2", "region": "r"})


# ---------------------------------------------------------------- checking


@pytest.mark.parametrize(
    ("fields", "more", "code", "path"),
    [
        ({"a": "x", "a.b": "y"}, {}, "MAP102", ("fields", "a")),
        ({"a.b": "x", "a.b.c.d": "y"}, {}, "MAP102", ("fields", "a.b")),
        ({"a": "x"}, {"required": ["b"]}, "MAP103", ("fields",)),
        ({"a": {"lookup": "none", "key": "x"}}, {}, "MAP104", ("fields", "a")),
        (
            {"a": {"each": "x", "fields": {"b": {"lookup": "none", "key": "x"}}}},
            {},
            "MAP104",
            ("fields", "a", "fields", "b"),
        ),
        ({"a": {"lookup": "dated", "key": "x"}}, {}, "MAP106", ("fields", "a")),
        ({"a": "x"}, {"tables": {"dated": {"a": "b"}}}, "MAP108", ("tables", "dated")),
        ({**PAYMENT, "debtro.name": "x"}, {"to": "payment"}, "MAP109", ("fields", "debtro.name")),
        ({**PAYMENT, "amount.value": "x"}, {"to": "payment"}, "MAP102", ("fields", "amount")),
    ],
)
def test_problems_are_found_without_running(
    fields: Any, more: dict[str, Any], code: str, path: tuple[str, ...]
) -> None:
    tables = {"dated": table({"key": "a", "value": "1", "from": "2026-01-01"}, name="dated")}
    spec = mapping(fields, **more)
    found = problems(spec, tables=tables)
    assert [(p.code, p.path) for p in found if p.severity == "error"] == [(code, path)]
    assert str(found[0]).startswith(f"{code} {'.'.join(path)}: ")
    assert code in codes()
    with pytest.raises(ConfigError) as caught:
        compile_mapping(spec, expression=compile_expression, tables=tables)
    assert caught.value.code == code


def test_required_fields_of_the_canonical_models() -> None:
    assert {"debtor.name", "creditor.name", "amount.value", "execution_date"} <= set(required_fields("payment"))
    assert required_fields("something-else") == ()
    fields = {"debtor.name": "a", "creditor": "b", "execution_date": "c"}
    assert [p.message for p in problems(mapping(fields, to="payment"))] == [
        "the required target field `amount.value` has no source",
        "the required target field `amount.currency` has no source",
    ]
    assert problems(mapping(fields, to="payment"), required=["creditor.name"]) == []


def test_tables_are_not_checked_where_they_are_not_known() -> None:
    assert problems(mapping({"a": {"lookup": "none", "key": "x"}})) == []


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ({}, "MAP101"),
        ({"value": "a", "list": ["b"]}, "MAP101"),
        ({"lookup": "t"}, "MAP101"),
        ({"value": "a", "on": "b"}, "MAP101"),
        ({"each": "a"}, "MAP101"),
        ({"value": "a", "fields": {"b": "c"}}, "MAP101"),
        ({"value": "a", "required": "true", "default": "x"}, "MAP107"),
        ({"value": "a ==="}, "CFG121"),
        ("a ===", "CFG121"),
        ({"list": ["a", "(("]}, "CFG121"),
        ({"value": "a", "reason": "x"}, "string_pattern_mismatch"),
        ({"expr": "a"}, "extra_forbidden"),
    ],
)
def test_fields_that_are_not_clear(field: Any, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        mapping({"a": field})
    assert code in [found["type"] for found in caught.value.errors()]


@pytest.mark.parametrize("target", ["", ".a", "a.", "a..b", "a b", "1a", "a\n"])
def test_targets_are_names_with_dots(target: str) -> None:
    with pytest.raises(ValidationError):
        mapping({target: "x"})


def test_a_plain_text_is_an_expression_in_the_json_schema_too() -> None:
    field = MappingSpec.model_json_schema()["$defs"]["FieldSpec"]
    assert [option["type"] for option in field["anyOf"]] == ["string", "object"]


# ---------------------------------------------------------------- versions


def test_the_content_hash_changes_with_all_that_matters() -> None:
    rows = {"key": "D", "value": "DE"}
    tables = {"countries": table(rows), "other": table(rows, name="other")}
    fields = {"a": "x", "c": {"lookup": "countries", "key": "x"}}
    spec = mapping(fields)
    first = spec.content_hash(tables)
    assert len(first) == 64
    assert mapping(fields, summary="words").content_hash(tables) == first
    assert spec.content_hash({**tables, "other": table(name="other")}) == first
    assert spec.content_hash({**tables, "countries": table({**rows, "value": "DD"})}) != first
    assert mapping({**fields, "a": "y"}).content_hash(tables) != first
    assert mapping({**fields, "b": "y"}).content_hash(tables) != first


# ---------------------------------------------------------------- the shipped mapping


def test_the_mapping_of_the_shipped_routes() -> None:
    text = (ROUTES / "bank-gateway" / "erp-payment-to-canonical.mapping.yaml").read_text("utf-8")
    spec = MappingSpec.model_validate(yaml.load(text, yaml.BaseLoader))  # noqa: S506 - only texts, as the engine reads it
    assert problems(spec) == []
    made = compile_mapping(spec, expression=compile_expression)
    line = {
        "payment_id": "P-1", "end_to_end_id": "", "invoice": "INV-1", "debtor_name": "ACME GmbH",
        "debtor_iban": "DE89 3704 0044 0532 0130 00", "debtor_bic": "COBADEFFXXX", "creditor_name": "Supplier",
        "creditor_account": "FR7630006000011234567890189", "creditor_bic": "", "creditor_country": "FR",
        "amount": "100.10", "currency": "EUR", "execution_date": "2026-11-24", "remittance": "Invoice INV-1",
    }  # fmt: skip
    found = made(line)
    assert found["id"] == "P-1"
    assert found["debtor"]["account"] == {"iban": "DE89370400440532013000"}
    assert found["amount"] == {"value": Decimal("100.10"), "currency": "EUR"}
    assert "end_to_end_id" not in found
    for written in ("fr7630006000011234567890189", " FR76 3000 6000 0112 3456 7890 189"):
        typed = made({**line, "creditor_account": written})
        assert typed["creditor"] == found["creditor"], "how it was typed decides neither account nor bank"
        assert (typed["service_level"], typed["charge_bearer"]) == ("SEPA", "SLEV")
    with pytest.raises(Rejected) as caught:
        made({**line, "debtor_iban": " "})
    assert (caught.value.code, caught.value.place) == ("MAP110", "debtor.account.iban")
