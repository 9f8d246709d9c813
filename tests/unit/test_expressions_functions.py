"""Every function: its documented example, good arguments, bad arguments; and the table in the docs."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import schwifty
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ConfigError, Rejected
from bus.expressions import compile_expression, function_table
from bus.expressions.accounts import SEPA
from bus.expressions.function_table import FUNCTIONS

DOCS = Path(__file__).parents[2] / "docs" / "expressions.md"
TABLES = {"country-names": {"DE": "Germany", "7": "seven"}}


class Dated:
    """A value table with effective dates."""

    def get(self, key: Any, on_date: str | None = None) -> Any:
        return {"EUR": "old" if on_date is not None and on_date < "2026-01-01" else "new"}.get(key)


class StoppedClock:
    def now(self) -> int:
        return 1_795_564_799_999  # 2026-11-24T23:59:59.999Z


def result(text: str, body: Any = None, tables: Any = None) -> Any:
    return compile_expression(text, tables=tables or TABLES, clock=StoppedClock())(body)


def code(text: str, body: Any = None, tables: Any = None) -> str:
    """The code with which an expression is refused, when it is compiled or when it runs."""
    with pytest.raises((ConfigError, Rejected)) as refusal:
        result(text, body, tables)
    return str(refusal.value.code)


def exactly(value: Any) -> Any:
    """The value with its numbers as they are written, so that 1.5 is not 1.50."""
    if isinstance(value, list):
        return [exactly(item) for item in value]
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return f"{value} {type(value).__name__}"


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_example(name: str) -> None:
    text, expected = FUNCTIONS[name].example
    assert exactly(result(text, {})) == exactly(json.loads(expected, parse_float=Decimal))


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_number_of_arguments_is_checked(name: str) -> None:
    function = FUNCTIONS[name]
    many = ["&a" if "reference" in piece else "a" for piece in function.declared.split(",")] + ["a"] * 9
    if function.most is not None:
        assert code(f"{name}({', '.join(many[: function.most + 1])})") == "CFG123"
    if function.least:
        assert code(f"{name}({', '.join(many[: function.least - 1])})") == "CFG123"


def test_the_docs_hold_the_present_table() -> None:
    between = DOCS.read_text("utf-8").split("<!-- functions: begin -->\n")[1].split("<!-- functions: end -->")[0]
    how = "python -c 'from bus.expressions import function_table; print(function_table())'"
    assert between == function_table(), f"put the output of `{how}` between the marks"


# ---------------------------------------------------------------- good arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(`[0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1]`)", Decimal("1.0")),
        ("sum(`[]`)", 0),
        ("sum(`[1, 2]`)", 3),
        ("sum(`[12345678901234567890123456789.01, 0.01]`)", Decimal("12345678901234567890123456789.02")),
        ("avg(`[]`)", None),
        ("avg(`[1, 2, 2]`)", Decimal("1.666666666666666666666666667")),
        ("abs(-12345678901234567890123456789.01)", Decimal("12345678901234567890123456789.01")),
        ("abs(-3)", 3),
        ("ceil(-1.5)", -1),
        ("floor(2)", 2),
        ('max(`["2026-01-02", "2026-01-10"]`)', "2026-01-10"),
        ("min(`[]`)", None),
        ("max_by(`[]`, &a)", None),
        ("to_number('1e3')", Decimal("1E+3")),
        ("to_number('0012')", None),
        ("to_number('1_000')", None),
        ("to_number(' 1')", None),
        ("to_number('\u0663')", None),
        ("to_number('NaN')", None),
        ("to_number(`true`)", None),
        ("to_number(5)", 5),
        ('to_string(`{"a": [1.10, null, "ü"]}`)', '{"a":[1.10,null,"ü"]}'),
        ("contains(`[1, 2]`, 1.0)", True),
        ("contains(`[1]`, `true`)", False),
        ("contains('abc', 5)", False),
        ('contains(`[[1, {"a": 2}]]`, `[1, {"a": 2.0}]`)', True),
        ("contains(`[\"a\", 1]`, 'a')", True),
        ("money(100, 'JPY')", {"value": Decimal(100), "currency": "JPY"}),
        ("money('100.1', 'EUR').value", Decimal("100.1")),
        ("multiply(2, 3)", 6),
        ("multiply(0.1, 0.1)", Decimal("0.01")),
        ("add(1, 2, 3)", 6),
        ("subtract(5, 7)", -2),
        ("divide(1, 8, 2)", Decimal("0.12")),
        ("divide(1, 8, 2, 'half_up')", Decimal("0.13")),
        ("divide(2, 3, 20)", Decimal("0.66666666666666666667")),
        ("divide(10, 5, 0)", Decimal(2)),
        ("round(2.5, 0, 'up')", Decimal(3)),
        ("round(1250, -2)", Decimal("1.2E+3")),
        ("round(-2.345, 2, 'floor')", Decimal("-2.35")),
        ("format_amount(1234567.8, 2)", "1234567.80"),
        ("format_amount(-1234567, 0, '.', ' ')", "-1 234 567"),
        ("minor_units('BHD')", 3),
        ("date('241126', '%d%m%y')", "2026-11-24"),
        ("date('991231', '%y%m%d')", "1999-12-31"),
        ("date('2024-02-29')", "2024-02-29"),
        ("days_between('2026-12-31', '2026-01-01')", -364),
        ("add_days('2026-01-01', -1)", "2025-12-31"),
        ("today()", "2026-11-24"),
        ("iban_country('GB29 NWBK 6016 1331 9268 19')", "GB"),
        ("iban_country('12345')", None),
        ("iban_country(`null`)", None),
        ("is_bic('COBADEFF')", True),
        ("is_bic('COBADEFFX')", False),
        ("is_bic('cobadeff')", False),
        ("in('x', 'y')", False),
        ("in(`null`, 'y')", False),
        ("in(2, 1, 2.0)", True),
        ("in(`true`, `true`)", True),
        ("if(`0`, 'yes', 'no')", "yes"),
        ("if(missing, upper(missing), 'no')", "no"),
        ("coalesce(`null`, `false`)", False),
        ("coalesce('a', upper(missing))", "a"),
        ("coalesce(`null`)", None),
        ("lookup('country-names', 'DE')", "Germany"),
        ("lookup('country-names', 7)", "seven"),
        ("lookup('country-names', missing, 'none')", "none"),
        ("lookup('country-names', 'XX', `null`)", None),
        ("matches('abc', 'b')", True),
        ("matches('abc', '^b')", False),
        ("matches(`null`, 'b')", False),
        ("matches('Zürich', '^Z.rich$')", True),
        ("replace('a.b.c', '[.]', '-')", "a-b-c"),
        ("replace('abc', '', '-')", "-a-b-c-"),
        (r"replace('ab', '(a)(x)?', '<\1\2>')", "<a>b"),
        (r"replace('a', 'a', 'ü\\b')", "ü\\b"),
        ("substring('abc', 1)", "bc"),
        ("substring('abc', -2, 1)", "b"),
        ("substring('abc', -5)", "abc"),
        ("substring('abc', 7)", ""),
        ("substring('abc', 0, 0)", ""),
        ("pad_left('abc', 2)", "abc"),
        ("split_text('abc', ';')", ["abc"]),
        ("concat('a', 1.50, 10)", "a1.5010"),
        ("concat(`1e3`)", "1000"),
        ("join('', `[]`)", ""),
        ("sha256('')", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("type(`null`)", "null"),
        ("reverse(`[1, 2]`)", [2, 1]),
    ],
)
def test_results(text: str, expected: Any) -> None:
    assert exactly(result(text)) == exactly(expected)


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("text", "body", "expected"),
    [
        ("sum(@)", [1, "2"], "VAL221"),
        ("sum(@)", [1, True], "VAL221"),
        ("sum(@)", [0.1], "VAL221"),
        ("sum(@)", None, "VAL221"),
        ("avg(@)", ["a"], "VAL221"),
        ("max(@)", [1, "a"], "VAL221"),
        ("sort(@)", [None], "VAL221"),
        ("sort(@)", ["a", {}], "VAL221"),
        ("sort_by(@, &a)", [{"a": 1}, {"a": "x"}], "VAL221"),
        ("min_by(@, &a)", [{"b": 1}], "VAL221"),
        ("join(',', @)", ["a", 1], "VAL221"),
        ("type(@)", 0.5, "VAL221"),
        ("to_string(@)", object(), "VAL221"),
        ("upper(@)", None, "VAL221"),
        ("upper(@)", 5, "VAL221"),
        ("abs(@)", True, "VAL221"),
        ("concat('a', @)", None, "VAL221"),
        ("concat('a', @)", Decimal("1e9999"), "VAL224"),
        ("floor(@)", Decimal("1e999999"), "VAL224"),
        ("ceil(@)", Decimal("NaN"), "VAL224"),
        ("abs(@) > 0", Decimal("NaN"), "VAL224"),
        ("add(@, 1)", Decimal("1e200"), "VAL224"),
        ("sum([@, `0.1`])", Decimal("1e200"), "VAL224"),
        ("multiply(@, @, @)", 10**40 + 1, "VAL224"),
        ("divide(@, 0, 2)", 1, "VAL230"),
        ("divide(1, @, 2)", Decimal(0), "VAL230"),
        ("divide(1, 3, @)", 99, "VAL229"),
        ("divide(1, 3, @)", Decimal("0.5"), "VAL229"),
        ("round(1, 1, @)", "sideways", "VAL229"),
        ("format_amount(@, 2)", Decimal("1.234"), "VAL224"),
        ("format_amount(1, @)", -1, "VAL229"),
        ("to_number(@)", "9" * 200, "VAL224"),
        ("to_number(@)", "1e999999999", "VAL224"),
        ("money(@)", "100.105 EUR", "VAL213"),
        ("money(@)", "100.10 XXY", "VAL211"),
        ("money(@)", "a EUR", "VAL212"),
        ("money(@)", 100, "VAL229"),
        ("minor_units(@)", "EURO", "VAL211"),
        ("date(@)", "2026-02-30", "VAL223"),
        ("date(@)", "20261124", "VAL223"),
        ("date(@)", "2026-11-24T00:00:00", "VAL223"),
        ("date(@)", "\u0662\u0660\u0662\u0666-11-24", "VAL223"),
        ("date(@, '%d.%m.%Y')", "1.2.2026", "VAL223"),
        ("date(@, '%d.%m.%Y')", "30.02.2026", "VAL223"),
        ("date(@, '%d.%m.%Y')", "30.01.2026 ", "VAL223"),
        ("date('2026', @)", "%Y", "VAL229"),
        ("add_days('2026-01-01', @)", 10**9, "VAL229"),
        ("add_days('9999-12-31', @)", 1, "VAL223"),
        ("days_between(@, '2026-01-01')", "yesterday", "VAL223"),
        ("is_sepa(@)", 5, "VAL221"),
        ("is_iban(@)", [], "VAL221"),
        ("in(@, 'a')", 5, "VAL220"),
        ("in(@, 5)", "a", "VAL220"),
        ("in(@, 5, 'a')", "a", "VAL220"),
        ("in(@, 'a', 5)", {}, "VAL221"),
        ("lookup('country-names', @)", "XX", "VAL226"),
        ("lookup('country-names', @)", None, "VAL226"),
        ("lookup(@, 'XX')", "nowhere", "VAL227"),
        ("lookup('country-names', 'DE', 'x', @)", "2026-01-01", "VAL227"),
        ("matches('a', @)", "(", "VAL228"),
        ("matches('a', @)", "(?=a)", "VAL228"),
        ("matches(@, 'a')", "\ud800", "VAL229"),
        ("replace(@, 'a', 'b')", "\ud800", "VAL229"),
        ("sha256(@)", "\ud800", "VAL229"),
        ("replace('a', 'a', @)", r"\1", "VAL229"),
        ("split_text('a', @)", "", "VAL229"),
        ("pad_left('a', 3, @)", "", "VAL229"),
        ("pad_left('a', @)", 10**9, "VAL229"),
        ("substring('a', @)", Decimal("0.5"), "VAL229"),
    ],
)
def test_refusals_when_it_runs(text: str, body: Any, expected: str) -> None:
    assert code(text, body) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abs('1')", "CFG124"),
        ("upper(5)", "CFG124"),
        ("sum('abc')", "CFG124"),
        ("sort_by(a, b)", "CFG124"),
        ("length(&a)", "CFG124"),
        ("in('a', 5)", "CFG124"),
        ("in([a], 'x')", "ok"),
        ("in(`[]`, 'x')", "CFG124"),
        ("matches(a, '(')", "CFG127"),
        ("replace(a, 'b', '\\1')", "CFG127"),
        ("date('2026-02-30')", "CFG127"),
        ("date(a, '%d.%m')", "CFG127"),
        ("date(a, '%d.%m.%Q')", "CFG127"),
        ("round(a, 2, 'nearest')", "CFG127"),
        ("lookup('country-name', a)", "CFG125"),
    ],
)
def test_refusals_when_it_is_checked(text: str, expected: str) -> None:
    if expected == "ok":
        compile_expression(text)
    else:
        assert code(text) == expected


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(Rejected) as refusal:
        result("upper(password)", {"password": ["hunter2"]})
    assert "hunter2" not in str(refusal.value)
    assert str(refusal.value).startswith("VAL221 upper() takes text as argument 1, `password` is a list")


def test_lookup_by_date() -> None:
    tables = {"rates": Dated()}
    assert result("lookup('rates', 'EUR')", None, tables) == "new"
    assert result("lookup('rates', 'EUR', 'none', '2025-05-05')", None, tables) == "old"
    assert result("lookup('rates', 'USD', 'none', `null`)", None, tables) == "none"


def test_without_tables_a_lookup_is_checked_when_it_runs() -> None:
    expression = compile_expression("lookup('t', a)")
    with pytest.raises(Rejected) as refusal:
        expression({"a": "x"})
    assert refusal.value.code == "VAL227"


def test_today_without_a_clock_asks_the_machine() -> None:
    assert compile_expression("today() > '2026-01-01'")(None) is True


# ---------------------------------------------------------------- accounts


@pytest.mark.parametrize("country", sorted(SEPA))
def test_sepa_lengths_are_those_of_the_iban_registry(country: str) -> None:
    assert schwifty.IBAN(f"{country}00", allow_invalid=True).spec.iban_length == SEPA[country]


def test_sepa_has_the_countries_of_the_epc_list() -> None:
    eu = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
    others = "IS LI NO AD AL CH GB MC MD ME MK RS SM VA GI"
    assert set(SEPA) == set(f"{eu} {others}".split())
    assert len(SEPA) == 42


@pytest.mark.parametrize(
    ("iban", "sepa", "valid"),
    [
        ("DE89370400440532013000", True, True),
        ("DE89 3704 0044 0532 0130 00", True, True),
        ("DE88370400440532013000", True, False),
        ("DE8937040044053201300", False, False),
        ("RS35260005601001611379", True, True),
        ("US64SVBKUS6S3300958879", False, False),
        ("TR330006100519786457841326", False, True),
        ("FO6264600001631634", False, True),
        ("de89370400440532013000", True, False),
        ("NO9386011117947", True, True),
        ("NO9386O11117947", True, False),
        ("", False, False),
        (None, False, False),
    ],
)
def test_ibans(iban: str | None, *, sepa: bool, valid: bool) -> None:
    assert result("[is_sepa(@.i), is_iban(@.i)]", {"i": iban}) == [sepa, valid]


@given(st.text("ab ,&#", max_size=20), st.text("ab ,&#", min_size=1, max_size=3), st.text("ab.", max_size=4))
def test_replacing_plain_text_is_the_same_as_by_a_pattern(text: str, plain: str, by: str) -> None:
    short = compile_expression(f"replace(@, '{plain}', '{by}')")
    pattern = compile_expression(f"replace(@, '(?:{plain})', '{by}')")
    assert short(text) == pattern(text)


@given(st.from_regex(r"(DE|FR|NO|XX|GB)[0-9]{2}[0-9A-Z]{11,24}", fullmatch=True))
def test_is_iban_agrees_with_schwifty(text: str) -> None:
    assert result("is_iban(@)", text) == schwifty.IBAN(text, allow_invalid=True).is_valid


# ---------------------------------------------------------------- exactness

AMOUNTS = st.decimals(min_value=-(10**15), max_value=10**15, places=5)


@given(st.lists(AMOUNTS, max_size=30))
def test_sum_does_not_depend_on_the_order(values: list[Decimal]) -> None:
    assert (
        result("sum(@)", values)
        == result("sum(reverse(@))", values)
        == sum(map(int, (v * 10**5 for v in values))) / (Decimal(10) ** 5)
    )


@given(AMOUNTS, AMOUNTS.filter(bool), st.integers(0, 6))
def test_divide_is_the_nearest_number(left: Decimal, right: Decimal, places: int) -> None:
    quotient = result("divide(l, r, p)", {"l": left, "r": right, "p": places})
    step = Decimal(1).scaleb(-places)
    assert abs(quotient * right - left) * 2 <= step * abs(right)
