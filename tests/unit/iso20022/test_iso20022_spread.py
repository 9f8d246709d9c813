"""However many processes read a statement file, the lines and the refusals are those of one."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import block, camt053, details, entry, pain001, statement, transaction

from bus import Rejected
from bus.cli.output import json_line
from bus.cli.records import record_line
from transforms.iso20022.document import Iso20022Document, ReadOptions
from transforms.iso20022.spread import spread

GOOD = [entry("1.10", inner=details(f"E2E-{n}"), ref=f"R{n}") + "\n" * (n % 3) for n in range(40)]
BAD = entry("1.105", ref="BAD")
MANY = statement(GOOD, opening="100.00", closing="144.00", name="S1")
NEXT = statement(GOOD[:7], opening="10.00", closing="17.70", name="S2")
NO_ENTRIES = statement([], opening="5.00", closing="5.00", name="S3")
WRONG = statement(GOOD, opening="100.00", closing="144.01", name="S4")

Told = tuple[list[bytes], list[tuple[str, str, str]], str]


def by_one(path: Path, options: ReadOptions) -> Told:
    """Lines, refused records, code of the refusal at the end."""
    lines, refused = [], []
    with path.open("rb") as source:
        try:
            for part in Iso20022Document(source, options).parts("entries"):
                if part.error is None:
                    lines.append(record_line(part.body))
                else:
                    refused.append((part.place, part.error.code, part.error.message))
        except Rejected as error:
            return lines, refused, error.code
    return lines, refused, ""


def by_several(path: Path, options: ReadOptions, piece: int) -> Told:
    lines, refused = b"", []
    try:
        found = spread(path, options, record_line, 2, piece)
        assert found is not None
        for some, bad in found:
            lines += some
            refused += bad
    except Rejected as error:
        return lines.splitlines(keepends=True), refused, error.code
    return lines.splitlines(keepends=True), refused, ""


@pytest.mark.parametrize("piece", [700, 5_000, 1 << 20])
@pytest.mark.parametrize(
    "content",
    [
        camt053(MANY),
        camt053(MANY, NEXT, NO_ENTRIES, NEXT, MANY),
        camt053(MANY, WRONG, NEXT),
        camt053(NEXT, statement([*GOOD, BAD, *GOOD], opening="1.00", closing="90.11")),
        camt053(statement([*GOOD, entry("x"), *GOOD])),
        camt053(MANY, NEXT).replace(b"R7<", b"R7&unknown;<"),
        camt053(MANY, NEXT).replace(b"R33<", b"R33\x01<"),
        camt053(MANY)[:-400],
        camt053(MANY).replace(
            b"<NtryRef>R9</NtryRef>", b"<NtryRef>R9</NtryRef><SplmtryData><Ntry></Ntry></SplmtryData>"
        ),
        camt053(MANY).replace(b"</Document>", b"</Document>trailing"),
        camt053(NEXT),
    ],
    ids=["one", "several", "balance", "bad", "unprovable", "entity", "control", "cut", "nested", "after", "small"],
)
def test_lines_and_refusals_are_those_of_one_process(tmp_path: Path, content: bytes, piece: int) -> None:
    path = tmp_path / "statement.xml"
    path.write_bytes(content)
    options = ReadOptions()
    lines, refused, code = by_one(path, options)
    some_lines, some_refused, some_code = by_several(path, options, piece)
    assert (some_refused, some_code) == (refused, code)
    # Before a file is refused as a whole, some records more may have been told.
    assert some_lines == lines or (code and some_lines[: len(lines)] == lines)
    assert len(some_lines) >= 7 or code


def test_entries_are_numbered_on_within_their_statement(tmp_path: Path) -> None:
    path = tmp_path / "statement.xml"
    path.write_bytes(camt053(MANY, NEXT))
    lines, _, _ = by_several(path, ReadOptions(), 2_000)
    told = [(record["statement_id"], record["index"]) for record in map(json.loads, lines)]
    assert told == [("S1", n) for n in range(40)] + [("S2", n) for n in range(7)]


@pytest.mark.parametrize(
    "content",
    [
        pain001([block([transaction()], "1", "10.00")], "1", "10.00"),
        camt053(MANY).replace(b"</Stmt>", b"<!-- not plain --></Stmt>"),
    ],
)
def test_what_cannot_be_shared_is_left_to_one_process(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.xml"
    path.write_bytes(content)
    assert spread(path, ReadOptions(), record_line, 2) is None


_TEXT = st.one_of(
    st.text(), st.sampled_from(["E2E-5", "5E-7", "-1.5E+20", 'x"2E-9"', "\ud800", "\u2028", "\x00", "\x7f"])
)
_PLAIN: Any = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        _TEXT,
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@given(_PLAIN)
def test_the_fast_line_is_the_plain_one(record: Any) -> None:
    assert record_line(record) == json_line(record)


def test_small_and_large_decimals_are_written_out() -> None:
    record = {"rate": Decimal("5E-7"), "id": "E2E-50", "sum": Decimal("1E+3")}
    assert record_line(record) == b'{"rate":"0.0000005","id":"E2E-50","sum":"1000"}\n'
