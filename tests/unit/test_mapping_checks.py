"""What `bus check` says of mappings: fields that the source lacks, types that do not fit, conditions never met."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.codes import codes
from bus.config import Problem, load_landscape

ROUTE = """\
route: lines
from: {file: {path: in}}
steps:
  - parse: {csv: {columns: [id, amount, currency, day, country]}}
  - split: {each: rows}
  - translate: {mapping: m}
to: none
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"bus.yaml": "name: test\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def told(folder: Path, files: dict[str, str]) -> list[Problem]:
    problems = load_landscape(write(folder, files)).problems
    assert not [p for p in problems if p.code.startswith(("CFG10", "CFG18"))], "the files of the test are not clear"
    found = [p for p in problems if p.code.startswith(("MAP", "CFG12"))]
    assert all(problem.code in codes() and problem.line > 0 for problem in found)
    return found


def places(folder: Path, mapping: str, **more: str) -> list[tuple[str, int, int]]:
    return [(p.code, p.line, p.column) for p in told(folder, {"m.mapping.yaml": mapping, **more})]


def test_a_field_that_the_declared_columns_lack(tmp_path: Path) -> None:
    mapping = "mapping: m\nfields:\n  a: concat(id, countri)\n  b: id\n  c: \"currency == 'EUR' && other\"\n"
    found = told(tmp_path, {"m.mapping.yaml": mapping, "lines.route.yaml": ROUTE})
    assert [(p.code, p.line, p.column, p.length, p.hint) for p in found] == [
        ("MAP138", 3, 17, 7, "did you mean `country`?"),
        ("MAP138", 5, 28, 5, "known: `amount`, `country`, `currency`, `day`, `id`"),
    ]
    assert (
        places(
            tmp_path,
            mapping,
            **{"lines.route.yaml": ROUTE.replace("columns: [id, amount, currency, day, country]", "")},
        )
        == []
    )


def test_a_body_that_steps_have_changed_may_have_more_fields(tmp_path: Path) -> None:
    enriched = ROUTE.replace("  - translate", "  - enrich: {table: t, key: country, into: bank}\n  - translate")
    table = {"t.table.yaml": "table: t\nrows: [{key: DE, value: x}]\n"}
    assert places(tmp_path, "mapping: m\nfields: {a: bank}\n", **{"lines.route.yaml": enriched}, **table) == []
    payment = "mapping: m\nfrom: payment\nfields: {a: bank, b: amount.valeu}\n"
    assert places(tmp_path, payment, **{"lines.route.yaml": enriched}, **table) == [("MAP138", 3, 29)]


def test_what_comes_from_another_route_may_have_more_fields_unless_the_mapping_says_all(tmp_path: Path) -> None:
    route = {"next.route.yaml": "route: next\nfrom: {channel: q}\nsteps: [{translate: {mapping: m}}]\nto: none\n"}
    assert places(tmp_path, "mapping: m\nfrom: payment-status\nfields: {a: instruction.amount}\n", **route) == []
    exact = "mapping: m\nsource: {columns: [x]}\nfields: {a: instruction.amount}\n"
    assert places(tmp_path, exact, **route) == [("MAP138", 3, 13)]


@pytest.mark.parametrize(
    ("fields", "code", "hint"),
    [
        ("{a: creditor.nmae}", "MAP138", "did you mean `name`?"),
        ("{a: 'remittance.unstructured[0].x'}", "MAP138", "ask the object"),
        ("{a: id.x}", "MAP138", "ask the object"),
        ("{a: {each: charges_, fields: {b: c}}}", "MAP138", ""),
        ("{a: {value: id, when: \"charge_bearer == 'SLEEV'\"}}", "MAP139", "`SLEV`"),
        ("{a: \"amount.value == '1'\"}", "MAP139", "to_number()"),
        ("{a: 'amount == execution_date'}", "MAP139", "alike"),
        ("{a: {value: id, when: \"'x'\"}}", "MAP139", "take the condition out"),
        ("{a: {value: id, when: '`false`'}}", "MAP139", "delete the field"),
        ("{a: 'sort_by(remittance.structured, &referenc)'}", "MAP138", "did you mean `reference`?"),
        ("{a: 'remittance.structured[?tipe].reference'}", "MAP138", "did you mean `type`?"),
        ("{a: {choose: [{when: nope, value: id}, {otherwise: nope_too}]}}", "MAP138", ""),
        ("{a: {lookup: t, key: nope, on: id}}", "MAP138", ""),
        ("{a: {include: part, with: {x: nope}}}", "MAP138", ""),
        ("{a: {list: [nope]}}", "MAP138", ""),
    ],
)
def test_what_a_canonical_source_never_has(tmp_path: Path, fields: str, code: str, hint: str) -> None:
    files = {
        "part.mapping.yaml": "mapping: part\nfields: {x: x}\n",
        "t.table.yaml": "table: t\nrows: [{key: A, value: B}]\n",
    }
    found = told(tmp_path, {"m.mapping.yaml": f"mapping: m\nfrom: payment\nfields: {fields}\n", **files})
    found = [problem for problem in found if problem.code != "MAP136"]
    assert found[0].code == code
    assert hint in found[0].hint
    assert found[0].line == 3


REST = "  debtor.name: a\n  creditor.name: a\n  execution_date: date(a)\n"


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("amount: a", "MAP141", "money(VALUE, CURRENCY)"),
        ("amount: '{value: n}'", "MAP141", "money(VALUE, CURRENCY)"),
        ("amount: money(f, a)", "MAP143", "decimal"),
        ("amount.value: f\n  amount.currency: a", "MAP143", "decimal"),
        ("amount.value: a\n  amount.currency: a", "MAP141", "to_number(FIELD)"),
        ("amount.value: n\n  amount.currency: n", "MAP141", "to_string(FIELD)"),
        ("amount: money(n, a)\n  invoice: money(n, a)", "MAP141", "`.value`"),
        ("amount: money(n, a)\n  remittance.unstructured: a", "MAP141", "{list: [FIELD]}"),
        ("amount: money(n, a)\n  charge_bearer: \"if(a, 'SLEV', 'SLAV')\"", "MAP141", "'SLEV'"),
        ("amount: money(n, a)\n  invoice: {value: n, when: a, otherwise: a}", "MAP141", "to_string(FIELD)"),
        ("amount: money(n, a)\n  invoice: {choose: [{when: a, value: n}, {otherwise: a}]}", "MAP141", "to_string"),
        ("amount: money(n, a)\n  remittance.structured: {each: a, fields: {reference: x}}", "MAP141", ""),
        ("amount: money(n, a)\n  remittance.structured: {each: l, fields: {reference: n}}", "MAP141", "to_string"),
        ("amount: money(n, parent)", "MAP138", ""),
    ],
)
def test_values_that_do_not_fit_their_target(tmp_path: Path, line: str, code: str, hint: str) -> None:
    schema = """{"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "number"},
      "f": {"type": "number", "format": "double"}, "l": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
      "$defs": {"item": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}}}"""
    mapping = f"mapping: m\nto: payment\nsource: {{schema: row.schema.json}}\nfields:\n  {line}\n{REST}"
    (found,) = told(tmp_path, {"m.mapping.yaml": mapping, "row.schema.json": schema})
    assert found.code == code
    assert hint in found.hint
    assert found.line in (5, 6)


def test_what_fits_is_not_told(tmp_path: Path) -> None:
    sample = """{"n": 1.50, "s": "x", "d": "2026-11-24", "items": [{"p": 1}, {"q": "x"}],
      "money": {"value": 1, "currency": "EUR"}}"""
    mapping = """\
mapping: m
to: payment
source: {sample: samples/one.json}
fields:
  amount: money(n, s)
  debtor.name: {value: n, default: x}
  creditor.name: items[0].q || to_string(n)
  execution_date: d
  invoice: "join(',', items[*].q)"
  charge_bearer: "if(money.value > 1, 'SLEV', 'SHAR')"
  remittance.unstructured: {list: [s, "items[-1].q"]}
"""
    assert places(tmp_path, mapping, **{"samples/one.json": sample}) == [("MAP141", 6, 24)]
    assert places(tmp_path, mapping.replace("{value: n, default: x}", "s"), **{"samples/one.json": sample}) == []


def test_a_text_for_a_date_is_a_warning(tmp_path: Path) -> None:
    mapping = f"mapping: m\nto: payment\nsource: {{columns: [a, n, c]}}\nfields:\n  amount: money(n, c)\n{REST}"
    assert places(tmp_path, mapping) == []
    (found,) = told(tmp_path, {"m.mapping.yaml": mapping.replace("date(a)", "a")})
    assert (found.code, found.severity, found.line, found.hint) == (
        "MAP142",
        "warning",
        8,
        "write date(FIELD), or date(FIELD, '%d.%m.%Y')",
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{sample: missing.json}", "cannot be read"),
        ("{sample: ../x.json}", "not below"),
        ("{sample: broken.json}", "is not JSON"),
        ("{schema: list.json}", "is no JSON Schema"),
    ],
)
def test_files_of_shapes_that_cannot_be_used(tmp_path: Path, source: str, text: str) -> None:
    mapping = f"mapping: m\nsource: {source}\nfields: {{a: b}}\n"
    (found,) = told(tmp_path, {"m.mapping.yaml": mapping, "broken.json": "{", "list.json": "[]"})
    assert (found.code, found.line) == ("MAP145", 2)
    assert text in found.message


def test_a_source_is_one_thing(tmp_path: Path) -> None:
    found = told(tmp_path, {"m.mapping.yaml": "mapping: m\nsource: {columns: [a], sample: x}\nfields: {a: b}\n"})
    assert [problem.code for problem in found] == ["MAP101"]


def test_functions_are_known_in_the_mapping_that_names_them_alone(tmp_path: Path) -> None:
    mapping = (
        "mapping: m\nfunctions: {\"clean(x)\": \"replace(x, ' ', '')\"}\n"
        "fields:\n  a: clean(b)\n  c: claen(b)\n  d: clean(a, b)\n"
    )
    assert places(tmp_path, mapping) == [("CFG122", 5, 6), ("CFG123", 6, 6)]
    other = told(tmp_path, {"m.mapping.yaml": "mapping: m\nfields: {a: clean(b)}\n"})
    assert [problem.code for problem in other] == ["CFG122"]
    inherited = {
        "n.mapping.yaml": "mapping: n\nextends: m\nfields: {a: clean(z)}\n",
        "m.mapping.yaml": mapping.replace("  c: claen(b)\n  d: clean(a, b)\n", ""),
    }
    assert told(tmp_path, inherited) == []


def test_what_a_function_gives_is_known(tmp_path: Path) -> None:
    head = "mapping: m\nto: payment\nsource: {columns: [a, n, c]}\n"
    functions = "functions:\n  eur(x): money(x, 'EUR')\n  twice(x): concat(x, x)\n"
    mapping = f"{head}{functions}fields:\n  amount: twice(n)\n{REST}"
    (found,) = told(tmp_path, {"m.mapping.yaml": mapping.replace("  eur(x): money(x, 'EUR')\n", "")})
    assert (found.code, found.line, found.hint) == ("MAP141", 7, "write money(VALUE, CURRENCY)")
    assert (
        told(
            tmp_path,
            {"m.mapping.yaml": mapping.replace("  twice(x): concat(x, x)\n", "").replace("twice(n)", "eur(n)")},
        )
        == []
    )


def test_a_table_that_nothing_names(tmp_path: Path) -> None:
    tables = "tables:\n  used: {rows: [{key: A, value: B}]}\n  idle: {rows: [{key: A, value: B}]}\n"
    files = {"t.table.yaml": tables, "m.mapping.yaml": "mapping: m\nfields: {a: {lookup: used, key: x}}\n"}
    assert [(p.code, p.path, p.line, p.severity) for p in told(tmp_path, files)] == [
        ("MAP136", "t.table.yaml", 3, "warning")
    ]
    twice = load_landscape(
        write(tmp_path, {**files, "u.table.yaml": "table: used\nrows: [{key: A, value: B}]\n"})
    ).problems
    assert [(p.code, p.path) for p in twice if p.severity == "error"] == [("CFG153", "u.table.yaml")]


def test_a_route_uses_in_reverse_only_what_is_made_for_it(tmp_path: Path) -> None:
    route = ROUTE.replace("{mapping: m}", "{mapping: m, reverse: true}")
    files = {"lines.route.yaml": route, "m.mapping.yaml": "mapping: m\nfields: {a: b}\n"}
    assert [(p.code, p.path, p.line) for p in told(tmp_path, files)] == [("MAP144", "lines.route.yaml", 6)]
    ready = "mapping: m\nreverse: true\nfields: {a: b, c: upper(d)}\n"
    assert [(p.code, p.path, p.line) for p in told(tmp_path, {**files, "m.mapping.yaml": ready})] == [
        ("MAP140", "m.mapping.yaml", 3)
    ]


def test_fixed_width_fields_are_known_with_their_types(tmp_path: Path) -> None:
    fields = "[{name: no, width: 4}, {name: sum, width: 9, type: amount, decimals: 2}]"
    route = ROUTE.replace(
        "csv: {columns: [id, amount, currency, day, country]}",
        f"fixed-width: {{records: {{line: {{fields: {fields}}}}}}}",
    )
    found = told(
        tmp_path, {"lines.route.yaml": route, "m.mapping.yaml": "mapping: m\nfields: {a: nr, b: \"sum == 'x'\"}\n"}
    )
    assert [(p.code, p.line) for p in found] == [("MAP138", 2), ("MAP139", 2)]


def test_the_version_of_a_route_covers_all_that_its_mapping_is_made_of(tmp_path: Path) -> None:
    from bus.config import landscape_from_sources, route_hash, sources  # noqa: PLC0415 - only here

    files = {
        "lines.route.yaml": ROUTE,
        "m.mapping.yaml": "mapping: m\nextends: base\nfields: {a: {include: part}}\n",
        "base.mapping.yaml": "mapping: base\nfields: {b: {lookup: codes, key: id}}\n",
        "part.mapping.yaml": "mapping: part\nfields: {c: id}\n",
        "other.mapping.yaml": "mapping: other\nfields: {c: id}\n",
        "t.table.yaml": "tables: {codes: {rows: [{key: A, value: B}]}, more: {rows: []}}\n",
    }
    landscape = load_landscape(write(tmp_path, files)).require()
    first = route_hash(landscape, landscape.routes["lines"])
    texts = sources(landscape, landscape.routes["lines"])
    assert set(texts) == set(files) - {"other.mapping.yaml"}
    again = landscape_from_sources(texts)
    assert route_hash(again, again.routes["lines"]) == first
    for name, old, new in (("part.mapping.yaml", "c: id", "c: day"), ("t.table.yaml", "value: B", "value: C")):
        changed = load_landscape(write(tmp_path, {**files, name: files[name].replace(old, new)})).require()
        assert route_hash(changed, changed.routes["lines"]) != first


def test_an_outlet_is_not_called_like_a_route(tmp_path: Path) -> None:
    """What the route takes in would go straight to the outlet."""
    files = {"bus.yaml": "outlets:\n  lines: {endpoint: {file: {path: out}}}\n", "lines.route.yaml": ROUTE}
    problems = load_landscape(write(tmp_path, files)).problems
    assert [(p.path, p.line, p.message) for p in problems if p.code == "CFG158"] == [
        ("bus.yaml", 2, "the outlet name `lines` is also the name of a route")
    ]


def test_what_a_part_is_made_of_is_told_where_it_is_used(tmp_path: Path) -> None:
    files = {
        "m.mapping.yaml": "mapping: m\nfields:\n  a: {include: part}\n",
        "part.mapping.yaml": "mapping: part\nextends: gone\nfields: {b: c}\n",
    }
    assert [(p.code, p.path, p.line) for p in told(tmp_path, files)] == [
        ("MAP130", "m.mapping.yaml", 3),
        ("MAP130", "part.mapping.yaml", 2),
    ]
    files["gone.mapping.yaml"] = "mapping: gone\nfields: {x: {include: part}}\n"
    assert {(p.code, p.path) for p in told(tmp_path, files)} == {
        ("MAP131", "m.mapping.yaml"),
        ("MAP131", "part.mapping.yaml"),
        ("MAP131", "gone.mapping.yaml"),
    }


def test_a_mapping_with_a_mistake_is_told_once(tmp_path: Path) -> None:
    files = {
        "m.mapping.yaml": "mapping: m\nextends: base\nfields: {a: b}\n",
        "base.mapping.yaml": "mapping: base\nfields: {a: 'x ==='}\n",
    }
    assert [(p.code, p.path) for p in told(tmp_path, files)] == [("CFG121", "base.mapping.yaml")]


def test_the_last_choice_is_checked_at_its_place(tmp_path: Path) -> None:
    choices = "    choose:\n      - {when: a, value: a}\n      - {otherwise: nope(b)}\n"
    mapping = f"mapping: m\nsource: {{columns: [a]}}\nfields:\n  x:\n{choices}"
    assert places(tmp_path, mapping) == [("CFG122", 7, 21), ("MAP138", 7, 26)]
