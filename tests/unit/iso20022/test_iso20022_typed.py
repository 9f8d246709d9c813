"""Values known to be right without libxml2: never one that it would not take, whatever its type."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import camt053, details, entry, statement
from lxml import etree
from schema_documents import Maker
from test_iso20022_known_shapes import ENTRIES, ODD, TWELVE, result

from bus import Finding
from transforms.iso20022 import schemas, stream
from transforms.iso20022.generate import SCHEMAS
from transforms.iso20022.model import _Loader
from transforms.iso20022.names import FAMILIES, namespace
from transforms.iso20022.simple import Simple
from transforms.iso20022.stream import Segment
from transforms.iso20022.typed import right

pytestmark = pytest.mark.skipif(
    not any(SCHEMAS.glob("*.xsd")), reason="built by: python transforms/iso20022/generate.py"
)
XS = "{http://www.w3.org/2001/XMLSchema}"
MESSAGES = (
    "camt.053.001.08",
    "camt.053.001.02",
    "camt.054.001.08",
    "pain.001.001.09",
    "pain.008.001.08",
    "pacs.008.001.08",
)
VALUES = [
    *(
        "",
        " ",
        "\n",
        "0",
        "1.",
        ".5",
        "+1",
        "-1",
        "1e5",
        "1.12345",
        "1.123456",
        "0" * 18,
        "0" * 19,
        "9" * 18,
        "1.5 ",
        "\u0661",
    ),
    *(
        "2026-02-28",
        "2026-02-29",
        "2024-02-29",
        "1900-02-29",
        "2000-02-29",
        "2026-02-30",
        "2026-04-31",
        "2026-12-31",
        "0000-01-01",
    ),
    *("2026-11-24Z", "2026-11-24+13:59", "2026-11-24+14:00", "2026-11-24-14:01", " 2026-11-24", "2026-11-24T24:00:00"),
    *("2026-11-24T10:00:00", "2026-11-24T10:00:60", "2026-11-24T23:59:59.123456789Z", "2026-11-24T10:00", "10:00:00"),
    *("true", "TRUE", "EUR", "eur", "EURO", "DE", "CRDT", "crdt", "BOOK", "ESSESESSXXX", "DE89370400440532013000", "Z"),
    *(f"{'x' * n}" for n in (4, 5, 34, 35, 36, 70, 71, 105, 106, 139, 140, 141, 500, 501)),
    *(
        "中" * 35,
        "𐍈" * 140,
        "𐍈" * 141,
        "&" * 35,
        "&" * 140,
        "&" * 141,
        '"' * 35,
        "a\tb",
        "a\nb",
        "a  b",
        "+49-30",
        "+1-",
    ),
]


def simple_types() -> Iterator[tuple[Simple, Callable[[str], bool]]]:
    """The types of some messages, each with the verdict of libxml2 on a text."""
    for message in MESSAGES:
        source = schemas.source(message)
        loader = _Loader(source)
        names = [str(one.get("name")) for one in source.iter(f"{XS}simpleType")]
        for name in names:
            etree.SubElement(source, f"{XS}element", name=f"v-{name}", type=name)
        rules = etree.XMLSchema(source)

        for name in names:
            element = etree.Element(f"{{{namespace(message)}}}v-{name}")
            yield loader._simple(name), partial(_is_valid, rules, element)


def _is_valid(rules: etree.XMLSchema, element: etree._Element, text: str) -> bool:
    element.text = text
    return rules.validate(element)


def changed(text: str, chance: random.Random) -> str:
    """With a character more, less, or another one."""
    at = chance.randrange(len(text) + 1)
    return (
        text[:at] + chance.choice(["", "0", "9", "A", "a", "-", ".", " ", "é", "Z"]) + text[at + chance.randrange(2) :]
    )


@pytest.mark.parametrize("ends", ["<", '"'])
def test_what_is_known_to_be_right_is_right_for_libxml2(ends: str) -> None:
    maker = Maker(MESSAGES[0])
    chance = random.Random(20022)  # noqa: S311 - repeatable, not secret
    verdicts: Counter[tuple[bool, bool]] = Counter()
    without: set[str] = set()
    for simple, is_valid in simple_types():
        expression = right(simple, ends)
        if expression is None:
            without.add(simple.base)
            continue
        is_known = re.compile(f"(?:{expression}){ends}").fullmatch
        made = [maker._text(simple) for _ in range(8)]
        for value in [*made, *VALUES, *(changed(one, chance) for one in [*made, *simple.codes[:8]] for _ in range(8))]:
            known = is_known(escape(value, {'"': "&quot;"} if ends == '"' else {}) + ends) is not None
            valid = is_valid(value)
            assert valid or not known, (simple, value)
            verdicts[known, valid] += 1
        assert any(is_known(one + ends) for one in made if one.isalnum()) or not any(map(str.isalnum, made)), simple
    assert without <= {"time", "gYear", "gYearMonth", "base64Binary", "dateTime"}
    # Little of what is right needs a second look.
    assert verdicts[False, True] < verdicts[True, True] / 20
    assert verdicts[False, False] > 1_000


@settings(max_examples=300, deadline=None)
@given(
    st.integers(700, len(TWELVE) - 40),
    st.integers(0, 3),
    st.sampled_from([*ODD, *(escape(v).encode() for v in VALUES)]),
    st.booleans(),
    st.sampled_from(["strict", "report"]),
)
def test_a_change_is_found_as_libxml2_finds_it(at: int, less: int, more: bytes, whole: bool, validate: str) -> None:  # noqa: FBT001
    """Anywhere in a file, or in place of a whole value; with the rest of the file valid."""
    begin, end = (TWELVE.rindex(b">", 0, at) + 1, TWELVE.index(b"<", at)) if whole else (at, at + less)
    content = TWELVE[:begin] + more + TWELVE[max(begin, end) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.iso20022.stream._BLOCK_OF_TREES", 700)
        quick = result(content, validate=validate)
        patch.setattr("transforms.iso20022.stream.is_text", lambda _: False)
        assert quick == result(content, validate=validate)


@pytest.mark.parametrize("message", MESSAGES)
def test_documents_made_from_the_schema_have_the_same_findings(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid and broken ones, whose records are repeated with other values, so that their shapes are known."""
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK_OF_TREES", 4_000)
    is_text = stream.is_text
    maker = Maker(message, 7)
    name = FAMILIES[message[:8]].record
    for n in range(24):
        document = maker.valid(0.15) if n % 3 else maker.broken()[1]
        for record in list(document.iter(f"{{*}}{name}")):
            repeat(record, maker.chance)
        content = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
        for validate in ("report", "strict"):
            monkeypatch.setattr("transforms.iso20022.stream.is_text", is_text)
            quick = result(content, validate=validate)
            monkeypatch.setattr("transforms.iso20022.stream.is_text", lambda _: False)
            assert quick == result(content, validate=validate)


def repeat(record: etree._Element, chance: random.Random) -> None:
    """Put copies of a record behind it, now and then with another value in one place."""
    for _ in range(16):
        copy = deepcopy(record)
        leaf = chance.choice([one for one in copy.iter() if not len(one)])
        if chance.random() < 0.15:
            leaf.text = chance.choice(VALUES)
        record.addnext(copy)


def test_libxml2_looks_only_at_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK_OF_TREES", 2_000)
    seen: list[bytes] = []
    check = schemas.violations

    def violations(segment: Segment, message: str) -> Iterator[Finding]:
        seen.append(segment.text.encode())
        return check(segment, message)

    monkeypatch.setattr("transforms.iso20022.schemas.violations", violations)
    leap = entry("1.00", ref="odd", booked="2026-11-24+14:00", inner=details())
    content = camt053(statement([*ENTRIES * 5, leap, *ENTRIES * 5]))
    assert result(content, validate="strict")[-1] == []
    first, odd, last = seen
    assert b"GrpHdr" in first
    assert b"odd" in odd
    assert b"</Document>" in last


def test_what_a_shape_lacks_is_found_in_each_of_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK_OF_TREES", 2_000)
    *_, findings = result(camt053(statement([*ENTRIES, *[entry(status="")] * 30])), validate="report")
    assert [finding.message for finding in findings] == [findings[0].message] * 30
