"""Mappings made of mappings: inheritance, fragments, choices, functions, cross-reference tables, and the way back."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import ConfigError, Rejected
from bus.codes import codes
from bus.expressions import compile_expression, named_functions
from transforms.mapping import (
    MappingSpec,
    TableSpec,
    ValueTable,
    compile_mapping,
    compile_named,
    problems,
    resolved,
    reversed_mapping,
)


def mapping(name: str = "test", **more: Any) -> MappingSpec:
    return MappingSpec.model_validate({"mapping": name, **more})


def table(*rows: dict[str, Any], name: str = "t") -> TableSpec:
    return TableSpec.model_validate({"table": name, "rows": list(rows)})


def run(source: Any, *others: MappingSpec, tables: dict[str, Any] | None = None, **more: Any) -> Any:
    known = {other.mapping: other for other in others}
    return compile_mapping(mapping(**more), expression=compile_expression, tables=tables, mappings=known)(source)


def found(spec: MappingSpec, *others: MappingSpec, tables: dict[str, Any] | None = None) -> list[tuple[str, Any]]:
    known = {other.mapping: other for other in (spec, *others)}
    told = problems(spec, tables=tables or {}, mappings=known)
    assert all(problem.code in codes() for problem in told)
    return [(problem.code, problem.path) for problem in told]


# ---------------------------------------------------------------- conditions

CHARGES = {
    "choose": [
        {"when": "urgent", "value": "'DEBT'"},
        {"when": "country == 'DE'", "lookup": "own", "key": "country"},
        {"otherwise": "'SHAR'"},
    ]
}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ({"urgent": True, "country": "DE"}, "DEBT"),
        ({"urgent": 0, "country": "DE"}, "DEBT"),
        ({"urgent": False, "country": "DE"}, "SLEV"),
        ({"country": "FR"}, "SHAR"),
    ],
)
def test_the_first_choice_whose_condition_is_met_counts(source: Any, wanted: str) -> None:
    assert run(source, fields={"charges": CHARGES}, tables={"own": {"DE": "SLEV"}}) == {"charges": wanted}


def test_no_choice_is_no_value_and_what_is_not_chosen_is_not_worked_out() -> None:
    broken = {"when": "a == 'x'", "value": "money('nonsense', 'EUR')"}
    assert run({"a": "y"}, fields={"f": {"choose": [broken]}, "g": "a"}) == {"g": "y"}
    with pytest.raises(Rejected):
        run({"a": "x"}, fields={"f": {"choose": [broken]}})


def test_otherwise_beside_a_condition() -> None:
    fields = {"side": {"value": "'C'", "when": "direction == 'credit'", "otherwise": "'D'"}}
    assert run({"direction": "credit"}, fields=fields) == {"side": "C"}
    assert run({"direction": "debit"}, fields=fields) == {"side": "D"}


def test_a_choice_may_be_required_or_have_a_default() -> None:
    one = {"choose": [{"when": "a", "value": "b"}]}
    assert run({}, fields={"f": {**one, "default": "x"}}) == {"f": "x"}
    with pytest.raises(Rejected) as caught:
        run({}, fields={"f": {**one, "required": True, "reason": "AC01"}})
    assert (caught.value.code, caught.value.place, caught.value.reason) == ("MAP110", "f", "AC01")


# ---------------------------------------------------------------- lists


def test_lists_in_lists_see_what_is_around_them() -> None:
    source = {"currency": "EUR", "orders": [{"no": "1", "lines": [{"price": "1.50"}, {"price": "2"}]}, {"no": "2"}]}
    lines = {"each": "lines", "fields": {"amount": "money(price, parent.parent.currency)", "order": "parent.no"}}
    assert run(source, fields={"orders": {"each": "orders", "fields": {"id": "no", "lines": lines}}}) == {
        "orders": [
            {
                "id": "1",
                "lines": [
                    {"amount": {"value": Decimal("1.50"), "currency": "EUR"}, "order": "1"},
                    {"amount": {"value": Decimal(2), "currency": "EUR"}, "order": "1"},
                ],
            },
            {"id": "2"},
        ]
    }


# ---------------------------------------------------------------- functions

FUNCTIONS = {"clean(text)": "replace(text, ' ', '')", "shout(text, mark)": "concat(upper(clean(text)), mark)"}


def test_functions_are_called_like_any_other() -> None:
    fields = {"a": "clean(x)", "b": "shout(x, '!')", "c": "lines[*].clean(n)"}
    source = {"x": "a b", "lines": [{"n": "1 2"}, {"n": "3 4"}]}
    assert run(source, functions=FUNCTIONS, fields=fields) == {"a": "ab", "b": "AB!", "c": ["12", "34"]}


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ({"clean": "text"}, "MAP122"),
        ({"f(a, a)": "a"}, "MAP122"),
        ({"f(1)": "a"}, "MAP122"),
        ({"upper(text)": "text"}, "MAP123"),
        ({"f(a)": "a", "f(b)": "b"}, "MAP123"),
        ({"f(a)": "a.x && other"}, "MAP124"),
        ({"f(a)": "f(a)"}, "MAP125"),
        ({"f(a)": "g(a)", "g(a)": "h(a)", "h(a)": "f(a)"}, "MAP125"),
        ({f"f{n}(a)": f"concat(f{n + 1}(a), f{n + 1}(a))" for n in range(30)} | {"f30(a)": "upper(a)"}, "MAP126"),
    ],
)
def test_functions_that_cannot_be(declared: dict[str, str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        named_functions(declared)
    assert caught.value.code == code
    assert caught.value.path in declared
    told = problems(mapping(functions=declared, fields={"a": "x"}))
    assert (code, ("functions", caught.value.path)) in [(problem.code, problem.path) for problem in told]


def test_a_wrong_call_is_refused_when_it_is_compiled() -> None:
    for text, code in (("clean(x, y)", "CFG123"), ("claen(x)", "CFG122")):
        with pytest.raises(ConfigError) as caught:
            run({}, functions=FUNCTIONS, fields={"a": text})
        assert caught.value.code == code
    with pytest.raises(ConfigError) as caught:
        compile_expression("claen(x)", functions=named_functions(FUNCTIONS))
    assert "clean()" in caught.value.hint


def test_what_a_function_repeats_is_under_the_budget_of_its_caller() -> None:
    """A call alone has nothing that repeats; what it calls has."""
    run_it = compile_expression("every(@)", functions=named_functions({"every(x)": "x[*].y[*].z"}))
    row = {"y": [{"z": 1}] * 300}
    assert run_it([row])
    with pytest.raises(Rejected) as caught:
        run_it([row] * 3_000)
    assert caught.value.code == "VAL222"


def test_what_a_function_costs_counts_for_every_item() -> None:
    """Functions that call each other twice do much of work without any list in them."""
    declared = {f"f{n}(a)": f"concat(f{n + 1}(a), f{n + 1}(a))" for n in range(6)} | {"f6(a)": "a"}
    run_it = compile_expression("l[*].length(f0(n))", functions=named_functions(declared))
    assert run_it({"l": [{"n": "a"}] * 100}) == [64] * 100
    with pytest.raises(Rejected) as caught:
        run_it({"l": [{"n": "a"}] * 10_000})
    assert (caught.value.code, "steps" in caught.value.message) == ("VAL222", True)


# ---------------------------------------------------------------- inheritance

BASE = mapping(
    "base",
    **{"from": "row", "to": "payment"},
    functions={"clean(text)": "replace(text, ' ', '')"},
    tables={"own": {"D": "DE"}},
    fields={
        "id": "id",
        "debtor.name": "name",
        "debtor.account.iban": "clean(iban)",
        "creditor.name": "other",
        "amount": "money(amount, currency)",
        "execution_date": "date(day)",
        "purpose": "purpose",
    },
)


def test_a_mapping_has_what_it_extends_and_what_it_says_counts() -> None:
    spec = mapping("derived", extends="base", remove=["purpose"], fields={"id": "concat('X', id)", "creditor": "party"})
    whole = resolved(spec, {"base": BASE})
    assert (whole.to, whole.from_, list(whole.functions), list(whole.tables)) == (
        "payment",
        "row",
        ["clean(text)"],
        ["own"],
    )
    assert list(whole.fields) == ["id", "debtor.name", "debtor.account.iban", "amount", "execution_date", "creditor"]
    source = {
        "id": "1",
        "name": "N",
        "iban": "DE 1",
        "amount": "1",
        "currency": "EUR",
        "day": "2026-11-24",
        "purpose": "X",
    }
    made = compile_mapping(spec, expression=compile_expression, mappings={"base": BASE})
    assert made({**source, "party": {"name": "C"}}) == {
        "id": "X1",
        "debtor": {"name": "N", "account": {"iban": "DE1"}},
        "amount": {"value": Decimal(1), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "creditor": {"name": "C"},
    }


def test_inheritance_goes_through_several_mappings_and_a_function_can_be_replaced() -> None:
    middle = mapping(
        "middle",
        extends="base",
        functions={"clean(text, by)": "replace(text, ' ', by)"},
        fields={"debtor.account.iban": "clean(iban, '-')"},
    )
    last = mapping("last", extends="middle", fields={"id": "'L'"})
    whole = resolved(last, {"base": BASE, "middle": middle})
    assert whole.functions == {"clean(text, by)": "replace(text, ' ', by)"}
    assert whole.fields["debtor.account.iban"].value == "clean(iban, '-')"


def test_what_is_wrong_with_reuse_is_told_at_its_place() -> None:
    assert found(mapping("a", extends="nobody")) == [("MAP130", ("extends",))]
    assert found(mapping("a", fields={"x": {"include": "nobody"}})) == [("MAP130", ("fields", "x", "include"))]
    assert found(mapping("a", extends="a")) == [("MAP131", ("extends",))]
    one, two = mapping("one", fields={"x": {"include": "two"}}), mapping("two", extends="one")
    assert found(one, two) == [("MAP131", ("fields", "x", "include"))]
    assert found(mapping("a", extends="base", remove=["purpos"]), BASE) == [("MAP132", ("remove", 0))]
    part = mapping("a", extends="base", fields={"amount.value": "x"})
    assert ("MAP102", ("fields", "amount.value")) in found(part, BASE)
    with pytest.raises(ConfigError) as caught:
        compile_mapping(one, expression=compile_expression, mappings={"one": one, "two": two})
    assert caught.value.code == "MAP131"


@pytest.mark.parametrize("more", [{}, {"fields": {}}, {"fields": {"a": "b"}, "remove": ["a"]}])
def test_a_mapping_makes_something(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        mapping(**more)
    assert "MAP101" in [error["type"] for error in caught.value.errors()]


# ---------------------------------------------------------------- fragments

PARTY = mapping(
    "party",
    functions={"clean(text)": "replace(text, ' ', '')"},
    fields={"name": {"value": "name", "required": True}, "account.iban": "clean(iban)", "address.country": "country"},
)


def test_a_fragment_sees_what_it_is_given() -> None:
    fields = {
        "debtor": {"include": "party", "with": {"name": "d_name", "iban": "d_iban"}},
        "creditor": {"include": "party", "with": "supplier"},
        "parties": {"each": "all", "include": "party"},
    }
    source = {
        "d_name": "D",
        "d_iban": "DE 1",
        "supplier": {"name": "S", "iban": "FR 2", "country": "FR"},
        "all": [{"name": "A", "iban": "X"}],
    }
    assert run(source, PARTY, fields=fields) == {
        "debtor": {"name": "D", "account": {"iban": "DE1"}},
        "creditor": {"name": "S", "account": {"iban": "FR2"}, "address": {"country": "FR"}},
        "parties": [{"name": "A", "account": {"iban": "X"}}],
    }


def test_a_fragment_names_its_field_in_full_and_may_be_given_nothing() -> None:
    fields = {"creditor": {"include": "party", "with": "supplier"}, "x": "'x'"}
    with pytest.raises(Rejected) as caught:
        run({"supplier": {"iban": "X"}}, PARTY, fields=fields)
    assert (caught.value.code, caught.value.place) == ("MAP110", "creditor.name")
    assert run({}, PARTY, fields=fields) == {"x": "x"}


def test_a_fragment_counts_for_required_targets_and_is_checked_against_the_model() -> None:
    fields = {
        "debtor": {"include": "party"},
        "creditor": {"include": "party"},
        "amount": "money(a, b)",
        "execution_date": "date(d)",
    }
    spec = mapping(to="payment", fields=fields)
    assert found(spec, PARTY) == []
    assert ("MAP103", ("fields",)) in found(spec, mapping("party", fields={"address.country": "c"}))
    strange = mapping("party", fields={"name": "n", "adress.country": "c"})
    told = problems(spec, tables={}, mappings={"party": strange})
    assert [(p.code, p.path) for p in told] == [("MAP109", ("fields", "debtor")), ("MAP109", ("fields", "creditor"))]
    assert told[0].hint == "did you mean `debtor.address`?"


# ---------------------------------------------------------------- cross-reference

CODES = TableSpec.model_validate(
    {
        "tables": {
            "legal-entities": {"rows": [{"key": "1000", "value": "DE01"}, {"key": "2000", "value": "FR01"}]},
            "cost-centres": {
                "rows": [
                    {"key": ["1000", "4711"], "value": "CC-OLD", "to": "2025-12-31"},
                    {"key": ["1000", "4711"], "value": "CC-NEW", "from": "2026-01-01"},
                    {"key": ["2000", "4711"], "value": "CC-FR"},
                ]
            },
            "tax-codes": {"rows": [{"key": "V1", "value": "19"}, {"key": "V1", "value": "20", "region": "FR"}]},
            "payment-terms": {"rows": [{"key": "Z030", "value": "NET30"}]},
        }
    }
)
TABLES = {part.table: part for part in CODES.parts()}
CROSS = {
    "entity": {"lookup": "legal-entities", "key": "company", "required": True},
    "cost_centre": {"lookup": "cost-centres", "key": ["company", "centre"], "on": "posted", "default": "CC-NONE"},
    "tax": {"lookup": "tax-codes", "key": "tax", "region": "country", "keep": True},
    "terms": {"lookup": "payment-terms", "key": "terms"},
    "company": {"lookup": "legal-entities", "key": "entity", "reverse": True},
}


def test_several_tables_at_once() -> None:
    source = {
        "company": "1000", "centre": 4711, "posted": "2026-03-01", "tax": "V1", "country": "FR", "terms": "Z030",
        "entity": "FR01",
    }  # fmt: skip
    assert run(source, fields=CROSS, tables=TABLES) == {
        "entity": "DE01", "cost_centre": "CC-NEW", "tax": "20", "terms": "NET30", "company": "2000",
    }  # fmt: skip
    older = run(
        {**source, "posted": "2025-06-30", "centre": "1", "tax": "V9", "country": ""}, fields=CROSS, tables=TABLES
    )
    assert (older["cost_centre"], older["tax"]) == ("CC-NONE", "V9")
    old = run({**source, "posted": "2025-06-30"}, fields=CROSS, tables=TABLES)
    assert old["cost_centre"] == "CC-OLD"
    assert "cost_centre" not in run(
        {**source, "centre": None},
        fields={**CROSS, "cost_centre": {**CROSS["cost_centre"], "default": None}},
        tables=TABLES,
    )
    with pytest.raises(Rejected) as caught:
        run({**source, "terms": "Z999"}, fields=CROSS, tables=TABLES)
    assert (caught.value.code, caught.value.place) == ("MAP113", "terms")


def test_lookups_that_do_not_fit_their_table() -> None:
    def told(field: dict[str, Any]) -> list[tuple[str, Any]]:
        return found(mapping(fields={"a": field}), tables=TABLES)

    assert told({"lookup": "cost-centres", "key": "x", "on": "d"}) == [("MAP133", ("fields", "a"))]
    assert told({"lookup": "legal-entities", "key": ["x", "y"]}) == [("MAP133", ("fields", "a"))]
    doubled = {"t": table({"key": "a", "value": "x"}, {"key": "b", "value": "x"})}
    turned = mapping(fields={"a": {"lookup": "t", "key": "x", "reverse": True}})
    assert found(turned, tables=doubled) == [("MAP134", ("fields", "a"))]
    later = {
        "t": table({"key": "a", "value": "x", "to": "2025-12-31"}, {"key": "b", "value": "x", "from": "2026-01-01"})
    }
    dated = mapping(fields={"a": {"lookup": "t", "key": "x", "on": "d", "reverse": True}})
    assert found(dated, tables=later) == []
    made = compile_mapping(dated, expression=compile_expression, tables=later)
    assert made({"x": "x", "d": "2025-06-01"}) == {"a": "a"}
    assert made({"x": "x", "d": "2026-06-01"}) == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "MAP127"),
        ({"table": "t", "tables": {"u": {"rows": []}}}, "MAP127"),
        ({"tables": {"u": {"rows": []}}, "rows": [{"key": "a", "value": "b"}]}, "MAP127"),
        ({"tables": {"u": {"rows": [{"key": ["a", "b"], "value": "1"}, {"key": "a", "value": "2"}]}}}, "MAP128"),
        ({"tables": {"u": {"rows": [{"key": ["a", "b"], "value": "1"}, {"key": ["a", "b"], "value": "2"}]}}}, "MAP120"),
        ({"tables": {"U": {"rows": []}}}, "string_pattern_mismatch"),
    ],
)
def test_tables_that_are_not_clear(given: Any, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TableSpec.model_validate(given)
    assert code in [error["type"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    "field",
    [
        {"lookup": "t", "key": ["a", "b"], "reverse": True},
        {"lookup": "t", "key": ["a", "b"], "keep": True},
        {"lookup": "t", "key": "a", "keep": True, "default": "x"},
        {"value": "a", "keep": True},
        {"value": "a", "otherwise": "b"},
        {"value": "a", "with": "b"},
        {"each": "a", "include": "m", "fields": {"b": "c"}},
        {"include": "m", "value": "a"},
        {"choose": [], "when": "a"},
    ],
)
def test_options_that_do_not_belong_together(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        mapping(fields={"a": field})
    assert "MAP101" in [error["type"] for error in caught.value.errors()]


# ---------------------------------------------------------------- what nothing uses, what is never reached


def test_what_nothing_uses_and_what_is_never_chosen() -> None:
    spec = mapping(
        tables={"used": {"a": "b"}, "named": {"a": "b"}, "idle": {"a": "b"}},
        functions={"f(x)": "g(x)", "g(x)": "x", "h(x)": "x"},
        fields={"a": {"lookup": "used", "key": "f(k)"}, "b": "lookup('named', k)"},
    )
    assert found(spec) == [("MAP136", ("tables", "idle")), ("MAP137", ("functions", "h(x)"))]
    twice = {"choose": [{"when": "a", "value": "b"}, {"when": "a", "value": "c"}]}
    open_end = {"choose": [{"value": "b"}, {"when": "a", "value": "c"}]}
    assert found(mapping(fields={"x": twice})) == [("MAP135", ("fields", "x", "choose", 1))]
    assert found(mapping(fields={"x": open_end})) == [("MAP135", ("fields", "x", "choose", 1))]


# ---------------------------------------------------------------- the way back

FORTH = mapping(
    "forth",
    tables={"kinds": {"A": "alpha", "B": "beta"}},
    fields={
        "type": "'thing'",
        "id": "no",
        "amount": "money(sum, currency)",
        "due": "date(due)",
        "kind": {"lookup": "kinds", "key": "kind"},
        "remittance.unstructured": {"list": ["text"]},
        "debtor": {"include": "side", "with": {"name": "payer", "iban": "payer_iban"}},
        "lines": {"each": "items", "fields": {"no": "n", "sub": {"each": "parts", "fields": {"p": "q"}}}},
    },
)
SIDE = mapping("side", fields={"name": "name", "account.iban": "iban"})


def test_a_mapping_and_its_reverse_give_what_came_in() -> None:
    known = {"forth": FORTH, "side": SIDE}
    source = {
        "no": "1", "sum": Decimal("1.50"), "currency": "EUR", "due": "2026-11-24", "kind": "B", "text": "hello",
        "payer": "P", "payer_iban": "DE1",
        "items": [{"n": "1", "parts": [{"q": "x"}, {"q": "y"}]}, {"n": "2", "parts": []}],
    }  # fmt: skip
    forth = compile_named("forth", mappings=known, expression=compile_expression, tables={})
    back = compile_named("forth", mappings=known, expression=compile_expression, tables={}, reverse=True)
    made = forth(source)
    assert made["kind"] == "beta"
    assert back(made) == source
    spec, lost = reversed_mapping(FORTH, tables={}, mappings=known)
    assert spec is not None
    assert [(one.target, one.accepted) for one in lost] == [("type", True)]


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("upper(a)", "read backwards"),
        ("a[0]", "read backwards"),
        ("money(a, upper(b))", "read backwards"),
        ({"value": "a", "default": "x"}, "default"),
        ({"value": "a", "when": "b"}, "only where the condition is met"),
        ({"value": "a", "when": "b", "otherwise": "c"}, "which of its sources"),
        ({"choose": [{"when": "a", "value": "b"}]}, "which of its sources"),
        ({"list": ["a", "b"]}, "several fields"),
        ({"lookup": "two", "key": "a"}, "two keys"),
        ({"lookup": "cost-centres", "key": ["a", "b"], "on": "c"}, "several parts"),
        ({"lookup": "legal-entities", "key": "a", "on": "b"}, "by day or region"),
        ({"each": "a", "fields": {"b": "parent.c"}}, "read backwards"),
        ({"include": "side", "with": "upper(a)"}, "no plain path"),
        ({"include": "side", "with": {"name": "upper(a)", "iban": "b"}}, "read backwards"),
    ],
)
def test_what_cannot_be_carried_back_is_told(field: Any, why: str) -> None:
    tables = {**TABLES, "two": table({"key": "a", "value": "x"}, {"key": "b", "value": "x"}, name="two")}
    spec = mapping("m", reverse=True, fields={"x": field, "id": "id"})
    known = {"m": spec, "side": SIDE}
    told = [p for p in problems(spec, tables=tables, mappings=known) if p.code == "MAP140"]
    assert why in told[0].message
    with pytest.raises(ConfigError) as caught:
        compile_named("m", mappings=known, expression=compile_expression, tables=tables, reverse=True)
    assert caught.value.code == "MAP140"


def test_one_way_says_that_a_loss_is_meant() -> None:
    spec = mapping("m", reverse=True, fields={"id": "id", "x": {"value": "upper(a)", "one_way": True}})
    assert found(spec) == []
    back = compile_named("m", mappings={"m": spec}, expression=compile_expression, tables={}, reverse=True)
    assert back({"id": "1", "x": "A"}) == {"id": "1"}


def test_two_fields_of_one_source_come_back_as_the_one_that_is_there() -> None:
    fields = {
        "iban": {"value": "account", "when": "is_iban(account)"},
        "other": {"value": "account", "when": "!is_iban(account)"},
    }
    spec = mapping("m", reverse=True, fields=fields)
    assert found(spec) == []
    back = compile_named("m", mappings={"m": spec}, expression=compile_expression, tables={}, reverse=True)
    assert back({"other": "12345"}) == {"account": "12345"}
    assert back({"iban": "DE89370400440532013000"}) == {"account": "DE89370400440532013000"}


def test_a_mapping_of_constants_has_no_reverse() -> None:
    spec = mapping("m", fields={"a": "'x'"})
    assert reversed_mapping(spec, tables={}, mappings={})[0] is None
    with pytest.raises(ConfigError) as caught:
        compile_named("m", mappings={"m": spec}, expression=compile_expression, tables={}, reverse=True)
    assert caught.value.code == "MAP140"
    with pytest.raises(ConfigError) as caught:
        compile_named("n", mappings={"m": spec}, expression=compile_expression, tables={})
    assert caught.value.code == "CFG163"


def test_a_reversed_table_goes_from_value_to_key() -> None:
    turned = ValueTable.of(table({"key": "a", "value": "x"}, {"key": "b", "value": "y", "region": "r"})).reversed
    assert (turned.get("x"), turned.get("y"), turned.get("y", region="r")) == ("a", None, "b")


# ---------------------------------------------------------------- anything at all

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list("abck")), inner, max_size=4),
    max_leaves=8,
)
ALL = mapping(
    "all",
    functions={"twice(x)": "concat(x, x)"},
    fields={
        "f": {"value": "twice(a)", "when": "type(a) == 'string'"},
        "c": {"choose": [{"when": "b", "value": "twice(b)"}, {"when": "a == b", "list": ["a"]}, {"otherwise": "c"}]},
        "p": {"include": "side", "with": {"name": "a", "iban": "b"}},
        "q": {"include": "side", "with": "c"},
        "e": {"each": "a", "include": "side"},
        "l": {"lookup": "cost-centres", "key": ["a", "b"], "on": "c", "default": "x"},
        "r": {"lookup": "legal-entities", "key": "k", "reverse": True, "keep": True},
        "o": {"value": "a", "when": "b", "otherwise": "c"},
    },
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_only_refusals_come_out_of_any_source(source: Any) -> None:
    known = {"side": SIDE}
    made = compile_mapping(ALL, expression=compile_expression, tables=TABLES, mappings=known)
    with suppress(Rejected):
        made(source)


SCALARS = st.text(min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {"no": SCALARS, "currency": st.sampled_from(["EUR", "JPY"]), "kind": st.sampled_from("AB"), "text": SCALARS},
        optional={
            "payer": SCALARS,
            "sum": st.integers(0, 10**12).map(Decimal),
            "items": st.lists(st.fixed_dictionaries({"n": SCALARS}), min_size=1, max_size=3),
        },
    )
)
def test_there_and_back_gives_any_source_again(source: dict[str, Any]) -> None:
    known = {"forth": FORTH, "side": SIDE}
    forth = compile_named("forth", mappings=known, expression=compile_expression, tables={})
    back = compile_named("forth", mappings=known, expression=compile_expression, tables={}, reverse=True)
    source = {"sum": Decimal(1), "due": "2026-11-24", **source}
    assert back(forth(source)) == source
