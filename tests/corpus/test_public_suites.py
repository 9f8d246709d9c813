"""Public suites of JSON, XML, CSV and naughty strings: wrong is refused, right is kept, nothing breaks."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, cast

import pytest

from bus import Rejected, WriteContext
from bus.expressions import compile_expression
from bus.message import Headers, Message, decode, encode
from bus.registry import Registry
from bus.spec import FormatSpec
from bus.testing.steps import StepBench
from tests.conftest import needs
from tests.corpus import corpora
from tests.fuzz.entries import entries
from tests.fuzz.worker import outcome
from transforms import _xml
from transforms._plain_xml import plain
from transforms.csv import CsvSpec
from transforms.fixed_width import FixedWidthSpec
from transforms.iso20022 import Iso20022Spec
from transforms.json import JsonSpec, parse
from transforms.mapping import MappingSpec, compile_mapping
from transforms.mt101 import Mt101Spec
from transforms.nacha import NachaSpec
from transforms.template.sandbox import Environment, render

T = TypeVar("T")
CONTEXT = WriteContext("ab" * 16, 1_795_000_000_000)


def needed(load: Callable[[], T]) -> T:
    """What a suite holds; skips on a laptop that cannot fetch it, fails where it must be there."""
    try:
        return load()
    except corpora.Missing as why:
        needs(str(why))
        raise


def refusal(read: Callable[[], object]) -> str:
    """Code of the refusal, or an empty text; any other error fails the test."""
    try:
        read()
    except Rejected as error:
        return error.code
    return ""


# ---------------------------------------------------------------- JSON

DUPLICATE_KEYS = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""Right by the grammar; refused all the same, because an amount that stands there twice must not be chosen from."""


def test_json_that_is_right_is_read_and_wrong_json_is_refused() -> None:
    cases = needed(corpora.json_cases)
    assert len(cases) == 318
    codes = {name: refusal(lambda text=text: parse(text.encode())) for name, text in cases.items()}
    assert {name for name, code in codes.items() if name.startswith("y_") and code} == DUPLICATE_KEYS
    assert {codes[name] for name in DUPLICATE_KEYS} == {"VAL341"}
    assert [name for name, code in codes.items() if name.startswith("n_") and not code] == []


def test_json_numbers_keep_every_digit() -> None:
    cases = needed(corpora.json_cases)
    assert parse(cases["i_number_too_big_pos_int.json"].encode()) == [100000000000000000000]
    assert str(parse(cases["y_number_real_fraction_exponent.json"].encode())[0]) == "1.23456E+80"


# ---------------------------------------------------------------- XML

CONTROLS = {f"ibm-1-1-not-wf-P02-ibm02n{number}.xml" for number in range(32, 64) if number != 58}
"""Wrong in XML 1.1, which forbids the control characters above 7F; XML 1.0, as which all is read, has them."""
LATER_NAMES = {"rmt-016", "rmt-019"}
"""Names that the fifth edition of XML 1.0 allows; the suite is about the four before."""
EMPTY_CDATA = {"not-wf-sa-048", "not-wf-sa-051", "not-wf-sa-105"}
"""``<![CDATA[]]>`` without a content outside of the root: nothing that could be lost."""
NAMED_ONLY = {"o-p15pass1", "o-p16pass1", "o-p18pass1"}
"""``<!DOCTYPE`` in a comment, a processing instruction and a CDATA section: there it is a text like any other."""
STRAY_COLONS = {"o-p04pass1": "VAL400", "o-p05pass1": "VAL400"}
"""Names such as ``::._-0``, which namespaces forbid: every message read here has namespaces."""


def read_xml(data: bytes) -> object:
    """As every format that is XML begins."""
    source = plain(io.BytesIO(data), 10_000_000)
    source.file.seek(source.start)
    return _xml.parse(source.file.read(), _xml.parser(), source.line - 1)


def has_doctype(data: bytes) -> bool:
    return any("<!DOCTYPE".encode(codec) in data for codec in ("ascii", "utf-16-le", "utf-16-be"))


@cache
def xml_verdicts() -> list[tuple[corpora.XmlCase, str]]:
    return [(case, refusal(lambda data=case.data: read_xml(data))) for case in needed(corpora.xml_cases)]


def test_xml_that_is_not_well_formed_is_refused() -> None:
    accepted = {case.name for case, code in xml_verdicts() if case.kind == "not-wf" and not code}
    assert accepted == CONTROLS | LATER_NAMES | EMPTY_CDATA


def test_xml_with_a_document_type_is_refused_and_all_other_is_read() -> None:
    count = 0
    for case, code in xml_verdicts():
        count += 1
        if has_doctype(case.data) and case.name not in NAMED_ONLY:
            assert code, case.name
        elif case.kind in ("valid", "invalid"):
            assert code == STRAY_COLONS.get(case.name, ""), case.name
    assert count > 2500


def test_no_reader_of_xml_breaks_on_the_suite() -> None:
    run = entries()["ofx"].run
    wrong = {case.name: found for case in needed(corpora.xml_cases)[::9] if (found := outcome(run, case.data))}
    assert wrong == {}


# ---------------------------------------------------------------- CSV

CHANGED_CASES = {"location_coordinates"}
"""The file and its expected records tell different phone numbers: a fault of the suite."""


@pytest.mark.parametrize("line_end", ["lf", "crlf"])
def test_csv_is_read_as_the_suite_says_and_written_again(line_end: str) -> None:
    cases = needed(corpora.csv_cases)
    assert len(cases) == 12
    for name, (data, records) in cases.items():
        form = CsvSpec.model_validate({"line_end": line_end}).build()
        found = [part.body for part in form.read(io.BytesIO(data)).parts("rows")]
        if name not in CHANGED_CASES:
            assert found == records, name
        spec = CsvSpec.model_validate({"line_end": line_end, "columns": list(found[0])})
        target = io.BytesIO()
        spec.build().write(found, target, CONTEXT)
        assert [part.body for part in spec.build().read(io.BytesIO(target.getvalue())).parts("rows")] == found, name


# ---------------------------------------------------------------- naughty strings

IBAN, OTHER_IBAN = "DE89370400440532013000", "NL91ABNA0417164300"
FIXED = {"records": {"row": {"fields": [{"name": "text", "width": "5000"}, {"name": "n", "width": "3"}]}}}
NACHA = {
    "destination": "231380104", "destination_name": "BANK", "origin": "121042882", "origin_name": "COMPANY",
    "company_id": "121042882", "company_name": "COMPANY", "odfi": "12104288", "cut_names": True,
}  # fmt: skip


def payment(text: str) -> dict[str, Any]:
    """A right payment with the text as name, reference and remittance."""
    return {
        "type": "payment",
        "end_to_end_id": "E2E-1",
        "debtor": {"name": "ACME GmbH", "account": {"iban": IBAN}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {"name": text, "account": {"iban": OTHER_IBAN}, "agent": {"bic": "ABNANL2AXXX"}},
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "remittance": {"unstructured": [text], "structured": []},
    }


def domestic(text: str) -> dict[str, Any]:
    """The same for the United States."""
    account = {"account": {"other": "744567899"}, "agent": {"clearing_system": "USABA", "member_id": "231380104"}}
    return payment(text) | {
        "debtor": {"name": "EXAMPLE MFG"},
        "creditor": {"name": text, **account},
        "amount": {"value": Decimal("100.10"), "currency": "USD"},
    }


def carried(spec: Any, body: Any, each: str, bench: Any = None) -> Any:
    """What comes back of a body that was written, or the code with which it was refused."""
    target = io.BytesIO()
    try:
        spec.build(bench).write([body], target, CONTEXT)
    except Rejected as error:
        return error.code
    parts = list(spec.build().read(io.BytesIO(target.getvalue())).parts(each))
    assert [part.error for part in parts] == [None], "what was written can be read"
    return parts[0].body


@pytest.mark.parametrize(
    "spec",
    [
        CsvSpec(columns=("text", "n")),
        CsvSpec(columns=("text", "n"), delimiter=";", line_end="crlf"),
        JsonSpec(document="list"),
        JsonSpec(lines=True),
        FixedWidthSpec.model_validate(FIXED | {"encoding": "utf-8"}),
    ],
    ids=["csv", "csv-crlf", "json", "json-lines", "fixed-width"],
)
def test_naughty_texts_come_back_as_they_were_or_are_refused(spec: Any) -> None:
    texts = needed(corpora.naughty_strings)
    assert len(texts) > 400
    kept = 0
    for text in texts:
        if text.startswith("\ufeff") and isinstance(spec, FixedWidthSpec):
            continue  # at the beginning of a file it is a byte order mark, which has to be declared (VAL305)
        found = carried(spec, {"text": text, "n": "1"}, "rows")
        if isinstance(found, dict):
            kept += 1
            fixed = isinstance(spec, FixedWidthSpec)
            assert found["text"] == (text.rstrip(" ") if fixed else text), repr(text)
            assert found["n"] == "1", "nothing spills into the next field"
    assert kept > len(texts) * 0.8


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        (Iso20022Spec(message="pain.001.001.09"), payment),
        (Iso20022Spec(message="pain.001.001.03", charset="any"), payment),
        (Mt101Spec(), payment),
        (NachaSpec.model_validate(NACHA), domestic),
    ],
    ids=["pain.001.001.09", "pain.001.001.03", "mt101", "nacha"],
)
def test_naughty_names_and_narratives_change_nothing_else_of_a_payment(spec: Any, make: Callable[[str], Any]) -> None:
    kept = 0
    for text in needed(corpora.naughty_strings):
        found = carried(spec, make(text), "payments", StepBench())
        if isinstance(found, dict):
            kept += 1
            wanted = make("plain")
            assert found["amount"] == wanted["amount"], repr(text)
            for party in ("debtor", "creditor"):
                account = wanted[party].get("account")
                assert account is None or found[party]["account"].items() >= account.items(), repr(text)
            assert len(found["remittance"]["unstructured"]) <= 1, repr(text)
    assert kept > 50


def test_naughty_texts_in_files_break_no_reader() -> None:
    """As a whole file, and in the place of a name in good ones."""
    texts = needed(corpora.naughty_strings)
    good = io.BytesIO()
    Iso20022Spec(message="pain.001.001.09").build(StepBench()).write([payment("NAME HERE")], good, CONTEXT)
    message = io.BytesIO()
    Mt101Spec().build().write([payment("NAME HERE")], message, CONTEXT)
    for name, content in (("iso20022", good.getvalue()), ("mt101", message.getvalue())):
        run = entries()[name].run
        for text in texts[::3]:
            assert outcome(run, content.replace(b"NAME HERE", text.encode("utf-8", "replace"))) is None, repr(text)
    for name in Registry().keys("format"):
        run = entries()[name].run
        for text in texts[::9]:
            assert outcome(run, text.encode("utf-8", "replace")) is None, (name, text)


def test_naughty_file_names_headers_keys_and_values() -> None:
    """Names of files when a format is looked for, headers and properties of messages, values of a mapping."""
    spec = MappingSpec.model_validate({"mapping": "m", "fields": {"a": "b", "c": "join('-', [b, b])"}})
    mapped = compile_mapping(spec, expression=compile_expression)
    registry = Registry()
    formats = [cast("type[FormatSpec]", registry.spec("format", key)) for key in registry.keys("format")]
    for text in needed(corpora.naughty_strings):
        assert all(0 <= spec.detect(b"1;2;3\n", text) <= 1 for spec in formats)
        message = Message(Headers("0" * 32, "1" * 32, name=text), {text: text}, {text: text})
        assert decode(encode(message)) == message
        assert mapped({"b": text}) == {"a": text, "c": f"{text}-{text}"} or text == ""
        for name in ("expression", "template"):
            assert outcome(entries()[name].run, text.encode("utf-8", "replace")) is None, repr(text)
    for text in needed(corpora.naughty_strings)[::8]:
        assert outcome(entries()["config-table"].run, text.encode("utf-8", "replace")) is None, repr(text)


def test_naughty_values_in_a_template_stay_text() -> None:
    texts = needed(corpora.naughty_strings)
    environment = Environment({"x.txt": "[{{ a }}]"}, markup=False)
    for text in texts:
        assert render(environment, "x.txt", {"a": text}, 100_000) == f"[{text}]"
