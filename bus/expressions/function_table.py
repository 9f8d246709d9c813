"""The one table of all functions: name, arguments, result, what it does, an example that the tests run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from bus.expressions import accounts, arithmetic, choices, dates, lists, texts
from bus.expressions.values import T

_TYPES = {
    "text": T.TEXT,
    "number": T.NUMBER,
    "boolean": T.BOOLEAN,
    "list": T.LIST,
    "object": T.OBJECT,
    "null": T.NULL,
    "reference": T.REFERENCE,
    "scalar": T.SCALAR,
    "any": T.ANY,
}


def _types(words: str) -> int:
    found = 0
    for word in words.split("|"):
        found |= _TYPES[word.strip()]
    return found


class Parameter(NamedTuple):
    """One argument: name and allowed types."""

    name: str
    types: int


def _nothing_to_verify(_literals: list[Any]) -> None:
    """Most functions have no rule for the values of literal arguments."""


def _no_exception(_literals: list[Any]) -> bool:
    """Most functions that grow may do so whatever is written."""
    return False


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``declared`` is ``x: number, places: number, mode?: text`` or ends with ``values…: any``.

    Attributes:
        call: takes the evaluated arguments; raises Rejected for values that do not fit.
        doc: one sentence.
        example: expression and its result as JSON.
        grows: may produce more than it is given, so its expressions run under the budget …
        unless: … unless this says of its literal arguments (as for ``verify``) that it never does.
        surroundings: ``call`` takes :class:`bus.expressions.choices.Surroundings` first.
        verify: checks literal arguments (None where an argument is no literal) before anything runs.
    """

    name: str
    declared: str
    gives: str
    call: Callable[..., Any]
    doc: str
    example: tuple[str, str]
    grows: bool = False
    unless: Callable[[list[Any]], bool] = _no_exception
    surroundings: bool = False
    verify: Callable[[list[Any]], None] = _nothing_to_verify

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The declared arguments; the last one repeats when :attr:`most` is None."""
        pieces = [piece.split(":") for piece in self.declared.split(",") if piece]
        return tuple(Parameter(name.strip().rstrip("?…"), _types(types)) for name, types in pieces)

    @property
    def least(self) -> int:
        """Fewest arguments."""
        return sum("?:" not in piece for piece in self.declared.split(",") if piece)

    @property
    def most(self) -> int | None:
        """Most arguments, None = any number."""
        return None if "…" in self.declared else len(self.parameters)

    @property
    def result(self) -> int:
        """Types of the result."""
        return _types(self.gives)

    @property
    def signature(self) -> str:
        """``round(x: number, places: number, mode?: text) → number``."""
        return f"{self.name}({self.declared}) → {self.gives}"

    def parameter(self, number: int) -> Parameter:
        """The parameter that takes argument ``number`` (from 0)."""
        parameters = self.parameters
        return parameters[min(number, len(parameters) - 1)]


_F = Function
# A table reads as a table: one row, one function.
# fmt: off
_JMESPATH = (
    _F("abs", "x: number", "number", arithmetic.absolute, "The number without its sign.", ("abs(-1.50)", "1.50")),
    _F("avg", "numbers: list", "number|null", arithmetic.average,
       "Sum divided by count, to 28 digits where the division does not end; null for [].", ("avg(`[1, 2]`)", "1.5")),
    _F("ceil", "x: number", "number", arithmetic.ceiling, "The next whole number upwards.", ("ceil(1.01)", "2")),
    _F("contains", "subject: list|text, search: any", "boolean", lists.contains,
       "Whether a list has an equal item, or a text has that part.", ("contains('ACME GmbH', 'GmbH')", "true")),
    _F("ends_with", "text: text, suffix: text", "boolean", texts.ends_with, "Whether a text ends so.",
       ("ends_with('a.csv', '.csv')", "true")),
    _F("floor", "x: number", "number", arithmetic.floor, "The next whole number downwards.", ("floor(-1.5)", "-2")),
    _F("join", "glue: text, texts: list", "text", texts.join, "The texts of a list with `glue` between them.",
       ("join(', ', ['a', 'b'])", '"a, b"'), grows=True),
    _F("keys", "object: object", "list", lists.keys, "Names of the fields.", ("keys({a: 'x'})", '["a"]')),
    _F("length", "x: text|list|object", "number", lists.length, "Characters, items or fields.", ("length('abc')", "3")),
    _F("map", "expression: reference, items: list", "list", lists.mapped, "The result for each item, nulls included.",
       ('map(&a, `[{"a": 1}, {}]`)', "[1, null]"), grows=True),
    _F("max", "values: list", "any", lists.largest, "The greatest number or text; null for [].",
       ("max(`[1, 2.0]`)", "2.0")),
    _F("max_by", "items: list, key: reference", "any", lists.largest_by, "The item with the greatest key; null for [].",
       ('max_by(`[{"a": 1}, {"a": 2}]`, &a).a', "2")),
    _F("merge", "objects…: object", "object", lists.merged, "One object with all fields; later ones win.",
       ("merge({a: 'x'}, {b: 'y'})", '{"a": "x", "b": "y"}'), grows=True),
    _F("min", "values: list", "any", lists.smallest, "The smallest number or text; null for [].",
       ("min(`[3, 2.5]`)", "2.5")),
    _F("min_by", "items: list, key: reference", "any", lists.smallest_by,
       "The item with the smallest key; null for [].", ('min_by(`[{"a": 1}, {"a": 2}]`, &a).a', "1")),
    _F("not_null", "values…: any", "any", choices.first_of, "The first argument that is not null.",
       ("not_null(`null`, 'x')", '"x"')),
    _F("reverse", "x: text|list", "text|list", lists.backwards, "From the end to the beginning.",
       ("reverse('abc')", '"cba"')),
    _F("sort", "values: list", "list", lists.in_order, "Numbers or texts in order.", ("sort(`[2, 1.5]`)", "[1.5, 2]")),
    _F("sort_by", "items: list, key: reference", "list", lists.in_order_by, "Items in the order of a key.",
       ('sort_by(`[{"d": 2}, {"d": 1}]`, &d)[*].d', "[1, 2]")),
    _F("starts_with", "text: text, prefix: text", "boolean", texts.starts_with, "Whether a text begins so.",
       ("starts_with('PAYRUN_1', 'PAYRUN')", "true")),
    _F("sum", "numbers: list", "number", arithmetic.total, "Exact sum; 0 for [].", ("sum(`[0.1, 0.2]`)", "0.3")),
    _F("to_array", "x: any", "list", lists.to_array, "A list as it is, all else as a list of one.",
       ("to_array('a')", '["a"]')),
    _F("to_number", "x: any", "number|null", arithmetic.to_number, "Number in a text; null where there is none.",
       ("to_number('100.10')", "100.10")),
    _F("to_string", "x: any", "text", texts.to_string, "A text as it is, all else as JSON.",
       ("to_string(1.50)", '"1.50"'), grows=True),
    _F("type", "x: any", "text", lists.type_name, "string, number, boolean, array, object or null.",
       ("type(1.5)", '"number"')),
    _F("values", "object: object", "list", lists.values, "Values of the fields.", ("values({a: 'x'})", '["x"]')),
)
_MONEY = (
    _F("money", "amount: text|number, currency?: text", "object", arithmetic.money,
       "An amount with its currency; refused when it has more decimals than the currency.",
       ("money('100.10 EUR')", '{"value": 100.10, "currency": "EUR"}')),
    _F("minor_units", "currency: text", "number", arithmetic.minor_units, "Decimals of a currency by ISO 4217.",
       ("minor_units('JPY')", "0")),
    _F("add", "numbers…: number", "number", arithmetic.add, "Exact sum.", ("add(0.1, 0.2)", "0.3")),
    _F("subtract", "x: number, y: number", "number", arithmetic.subtract, "Exact difference.",
       ("subtract(1, 0.9)", "0.1")),
    _F("multiply", "numbers…: number", "number", arithmetic.multiply, "Exact product.", ("multiply(1.10, 3)", "3.30")),
    _F("divide", "x: number, y: number, places: number, mode?: text", "number", arithmetic.divide,
       "Quotient rounded to `places` decimals; modes as in round().", ("divide(10, 3, 2)", "3.33"),
       verify=arithmetic.verify_mode(3)),
    _F("round", "x: number, places: number, mode?: text", "number", arithmetic.rounded,
       "Rounded; `mode` is half_even (if left out), half_up, half_down, up, down, ceiling or floor.",
       ("round(2.345, 2)", "2.34"), verify=arithmetic.verify_mode(2)),
    _F("format_amount", "x: number, places: number, mark?: text, group?: text", "text", arithmetic.format_amount,
       "Exactly `places` decimals after `mark` (`.`), `group` (nothing) between thousands; never rounds.",
       ("format_amount(1234.5, 2, ',', '.')", '"1.234,50"')),
)
_DATES = (
    _F("date", "text: text, format?: text", "text", dates.read_date,
       "ISO date of a text that is one already or looks like `format` (%d, %m, %Y, %y); no such day is refused.",
       ("date('24.11.2026', '%d.%m.%Y')", '"2026-11-24"'), verify=dates.verify_form),
    _F("days_between", "start: text, end: text", "number", dates.days_between, "Days from one ISO date to another.",
       ("days_between('2026-02-27', '2026-03-01')", "2")),
    _F("add_days", "day: text, days: number", "text", dates.add_days, "The ISO date so many calendar days later.",
       ("add_days('2026-02-27', 2)", '"2026-03-01"')),
    _F("today", "", "text", choices.today, "Today's ISO date in UTC, by the clock of the bus.",
       ("length(today())", "10"), surroundings=True),
)
_ACCOUNTS = (
    _F("is_iban", "x: any", "boolean", accounts.is_iban,
       "Country, length, structure and check digits of an IBAN; spaces are ignored, null is false.",
       ("is_iban('DE89 3704 0044 0532 0130 00')", "true")),
    _F("iban_country", "iban: any", "text|null", accounts.iban_country,
       "Country code of an IBAN; null for what is none.", ("iban_country('DE89370400440532013000')", '"DE"')),
    _F("is_sepa", "iban: any", "boolean", accounts.is_sepa,
       "Whether an IBAN, also as typed, is of a SEPA country (EPC409-09 8.0); check digits: is_iban(); null is false.",
       ("is_sepa('CH9300762011623852957')", "true")),
    _F("is_bic", "x: any", "boolean", accounts.is_bic, "Form of a BIC by ISO 9362, with a country; null is false.",
       ("is_bic('COBADEFFXXX')", "true")),
    _F("iban_problem", "x: any", "text|null", accounts.iban_problem,
       "What is wrong with an IBAN, national check digits of the account included; null for a right one.",
       ("iban_problem('BE41539007547035')", '"wrong by the national check digits of its account"')),
    _F("is_lei", "x: any", "boolean", accounts.is_lei, "Form and check digits of an LEI (ISO 17442); null is false.",
       ("is_lei('529900T8BM49AURSDO55')", "true")),
    _F("is_creditor_id", "x: any", "boolean", accounts.is_creditor_id,
       "Form and check digits of a SEPA creditor identifier (AT-02); null is false.",
       ("is_creditor_id('DE98ZZZ09999999999')", "true")),
    _F("is_routing_number", "x: any", "boolean", accounts.is_routing_number,
       "Range and check digit of a US routing number; null is false.", ("is_routing_number('021000021')", "true")),
    _F("is_reference", "x: any, kind: text", "boolean", accounts.is_reference,
       "Check digits of a payment reference: `RF` (ISO 11649), or that of BE, CH, FI, NO or SE; null is false.",
       ("is_reference('RF18 5390 0754 7034', 'RF')", "true"), verify=accounts.verify_kind),
    _F("is_uetr", "x: any", "boolean", accounts.is_uetr,
       "Whether it is a UETR as it may be written: a UUID of version 4 in small letters; null is false.",
       ("is_uetr('0a1b2c3d-0000-4000-8000-000000000001')", "true")),
)
_CHOICES = (
    _F("in", "x: scalar, values…: scalar", "boolean", choices.member,
       "Whether `x` equals one of the values; null equals none.", ("in('SE', 'NO', 'SE')", "true")),
    _F("if", "condition: any, then: any, otherwise: any", "any", choices.chosen,
       "One of two values; only the chosen one is evaluated.", ("if(2 > 1, 'yes', 'no')", '"yes"')),
    _F("coalesce", "values…: any", "any", choices.first_of,
       "The first argument that is not null; `a || b` also skips empty text.", ("coalesce(missing, 'x')", '"x"')),
    _F("lookup", "table: text, key: scalar, default?: any, on_date?: text|null", "any", choices.lookup,
       "Row of a value table; without default a key that has no row is refused.",
       ("lookup('country-names', 'XX', 'unknown')", '"unknown"'), surroundings=True),
)
_TEXTS = (
    _F("matches", "text: text|null, pattern: text", "boolean", texts.matches,
       "Whether the RE2 pattern is found anywhere in the text (`^` and `$` tie it to the ends); null is false.",
       ("matches('INV-2026-001', '^INV-[0-9]{4}-')", "true"), verify=texts.verify_pattern),
    _F("replace", "text: text, pattern: text, by: text", "text", texts.replace,
       r"Every match of an RE2 pattern replaced; `\1` is the first group.",
       (r"replace('24.11.', '([0-9]+)\.([0-9]+)\.', '\2/\1')", '"11/24"'), grows=True, unless=texts.never_grows,
       verify=texts.verify_pattern),
    _F("substring", "text: text, start: number, length?: number", "text", texts.substring,
       "Part of a text; 0 is the first, -1 the last character.", ("substring('2026-11-24', 0, 4)", '"2026"')),
    _F("trim", "text: text", "text", texts.trim, "Without white space at both ends.", ("trim(' a ')", '"a"')),
    _F("upper", "text: text", "text", texts.upper, "In capitals.", ("upper('eur')", '"EUR"')),
    _F("lower", "text: text", "text", texts.lower, "In small letters.", ("lower('EUR')", '"eur"')),
    _F("pad_left", "text: text, width: number, fill?: text", "text", texts.pad_left,
       "At least `width` characters, filled up on the left with spaces or `fill`.",
       ("pad_left('42', 5, '0')", '"00042"'), grows=True),
    _F("split_text", "text: text, separator: text", "list", texts.split_text, "The parts between separators.",
       ("split_text('a;b', ';')", '["a", "b"]'), grows=True),
    _F("concat", "values…: text|number", "text", texts.concat, "Texts and numbers one after the other.",
       ("concat('No. ', 7)", '"No. 7"'), grows=True),
    _F("sha256", "text: text", "text", texts.sha256, "SHA-256 of the UTF-8 text in hexadecimal.",
       ("substring(sha256('a'), 0, 8)", '"ca978112"')),
)
# fmt: on
GROUPS: dict[str, tuple[Function, ...]] = {
    "JMESPath": _JMESPATH,
    "Money and numbers": _MONEY,
    "Dates": _DATES,
    "Accounts": _ACCOUNTS,
    "Choices and tables": _CHOICES,
    "Text": _TEXTS,
}
FUNCTIONS: dict[str, Function] = {one.name: one for group in GROUPS.values() for one in group}


def function_table() -> str:
    """All functions as Markdown tables, the text between the marks in ``docs/expressions.md``."""
    lines: list[str] = []
    for title, group in GROUPS.items():
        lines += [f"### {title}", "", "| function | what it gives | example |", "| --- | --- | --- |"]
        for one in group:
            expression, result = (part.replace("|", "\\|") for part in one.example)
            code = f"`` {expression} ``" if "`" in expression else f"`{expression}`"
            declared = one.signature.replace("|", "\\|")
            lines.append(f"| `{declared}` | {one.doc.replace('|', chr(92) + '|')} | {code} → `{result}` |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
