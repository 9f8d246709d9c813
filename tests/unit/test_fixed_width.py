"""Fixed-width files: every field type both ways, strict lengths, header, trailer and control totals."""

from __future__ import annotations

import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import Part, Rejected, WriteContext
from bus.codes import codes
from transforms.fixed_width import FixedWidthSpec

CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 1_795_507_200_000, {"run": "R-7", "bank": "NORTH"})

COUNT = {"name": "count", "width": "5", "type": "number"}
PAYMENT = [
    {"width": "2", "value": "10"},
    {"name": "id", "width": "6"},
    {"name": "amount", "width": "10", "type": "amount", "decimals": "2"},
    {"name": "currency", "width": "3"},
    {"name": "day", "width": "6", "type": "date", "format": "YYMMDD", "optional": "true"},
]
LAYOUT: dict[str, Any] = {
    "records": {
        "head": {
            "role": "header",
            "starts": "01",
            "fields": [
                {"width": "2", "value": "01"},
                {"name": "run", "width": "8"},
                {"name": "created_on", "width": "8", "type": "date"},
            ],
        },
        "payment": {"starts": "10", "fields": PAYMENT},
        "note": {"starts": "11", "fields": [{"width": "2", "value": "11"}, {"name": "text", "width": "20"}]},
        "end": {
            "role": "trailer",
            "starts": "99",
            "fields": [
                {"width": "2", "value": "99"},
                COUNT,
                {"name": "sum", "width": "12", "type": "amount", "decimals": "2"},
                {"name": "currency", "width": "3"},
            ],
        },
    },
    "totals": {"count": "count", "sum": "sum", "of": "amount", "currency": "currency", "in": "currency"},
}  # fmt: skip
HEAD = "01R-7     20261124\n"
ROWS = "10P-1   0000010010EUR261124\n10P-2   0000005000USD      \n10P-3   0000020010EUR261125\n"
END = "9900002000000030020EUR\n9900001000000005000USD\n"


def simple(*fields: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"records": {"row": {"fields": list(fields)}}, **options}


def read(data: bytes | str, layout: dict[str, Any], each: str = "rows") -> list[Part]:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return list(FixedWidthSpec.model_validate(layout).build().read(io.BytesIO(raw)).parts(each))


def refused(data: bytes | str, layout: dict[str, Any], each: str = "rows") -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, layout, each)
    assert caught.value.code in codes()
    return caught.value


def written(bodies: list[Any], layout: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    FixedWidthSpec.model_validate(layout).build().write(bodies, target, CONTEXT)
    return target.getvalue()


def unwritable(bodies: list[Any], layout: dict[str, Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(bodies, layout)
    assert caught.value.code in codes()
    return caught.value


# ---------------------------------------------------------------- reading


def test_a_whole_file() -> None:
    document = FixedWidthSpec.model_validate(LAYOUT).build().read(io.BytesIO((HEAD + ROWS + END).encode()))
    assert document.head == {"run": "R-7", "created_on": "2026-11-24"}
    parts = list(document.parts("rows"))
    assert [p.body for p in parts] == [
        {"record": "payment", "id": "P-1", "amount": Decimal("100.10"), "currency": "EUR", "day": "2026-11-24"},
        {"record": "payment", "id": "P-2", "amount": Decimal("50.00"), "currency": "USD", "day": None},
        {"record": "payment", "id": "P-3", "amount": Decimal("200.10"), "currency": "EUR", "day": "2026-11-25"},
    ]
    assert (parts[0].place, parts[0].raw) == ("line 2", b"10P-1   0000010010EUR261124\n")


def test_records_of_one_kind() -> None:
    data = HEAD + "11" + "hello".ljust(20) + "\n" + ROWS + END
    assert [p.body for p in read(data, LAYOUT, "note")] == [{"record": "note", "text": "hello"}]
    assert len(read(data, LAYOUT, "payment")) == 3
    assert refused(data, LAYOUT, "end").code == "VAL301"


def test_a_bad_record_is_its_own_error_and_the_others_go_on() -> None:
    layout = {**LAYOUT, "totals": None}
    data = HEAD + "10P-1   00000100x0EUR261124\n10P-2   0000005000USD\n77\n10P-4   0000005000USD991332\n" + ROWS + END
    parts = read(data, layout)
    assert [p.error.code if p.error else None for p in parts] == ["VAL362", "VAL361", "VAL360", "VAL362", *[None] * 3]
    assert [p.error.place for p in parts if p.error] == ["line 2, column 9", "line 3", "line 4", "line 5, column 22"]
    assert parts[0].body == {
        "record": "payment", "id": "P-1", "amount": "00000100x0", "currency": "EUR", "day": "2026-11-24",
    }  # fmt: skip
    assert parts[2].raw == b"77\n"
    assert "P-1" not in str(parts[0].error)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        ("", "VAL302", "empty"),
        (ROWS + END, "VAL365", "line 1"),
        (HEAD + HEAD + ROWS + END, "VAL365", "second header"),
        ("01R-7     20261324\n" + ROWS + END, "VAL362", "no day of the calendar"),
        (HEAD + ROWS, "VAL320", "no trailer"),
        (HEAD + ROWS + "9900002000000030020EUR\n", "VAL320", "USD"),
        (HEAD + ROWS + END + ROWS, "VAL323", "line 7"),
        (HEAD + ROWS + END + END, "VAL322", "EUR"),
        (HEAD + ROWS + END.replace("00002", "00003"), "VAL321", "3 records, there are 2"),
        (HEAD + ROWS + END.replace("30020", "30021"), "VAL321", "a sum of 300.21, the records make 300.20"),
        (HEAD + ROWS + END.replace("00002", "0000x"), "VAL362", "`count`"),
        (HEAD + "10P-1   00000100x0EUR261124\n" + ROWS + END, "VAL324", "line 2"),
        (HEAD + "10P-1   000001001\n" + ROWS + END, "VAL324", "line 2"),
        (HEAD + "77\n" + ROWS + END, "VAL324", "line 2"),
        (HEAD + "10P-1   0000010010   261124\n" + ROWS + END, "VAL324", "line 2"),
        (HEAD + "\0\n" + ROWS + END, "VAL304", "line 2"),
    ],
)
def test_the_file_is_refused(data: str, code: str, said: str) -> None:
    error = refused(data, LAYOUT)
    assert error.code == code
    assert said in error.message


def test_bad_records_count_in_control_totals() -> None:
    bad = "10P-4   0000000100EUR991332\n10P-5\xff  0000000200EUR261124surplus\n"
    end = END.replace("00002000000030020", "00004000000030320")
    assert [p.error.code for p in read(HEAD + bad + ROWS + end, LAYOUT) if p.error] == ["VAL362", "VAL361"]


def test_a_number_that_is_cut_off_is_no_number() -> None:
    parts = read(HEAD + "10P-1   000001001\n" + ROWS + END, {**LAYOUT, "totals": None})
    assert parts[0].error is not None
    assert parts[0].body["amount"] == "000001001"


def test_count_of_all_records() -> None:
    layout = {**LAYOUT, "totals": {"count": "count", "counting": "all"}}
    assert len(read(HEAD + ROWS + "9900005000000000000   \n\x1a", layout)) == 3
    assert refused(HEAD + ROWS + "9900003000000000000   \n", layout).code == "VAL321"


def test_blocks_without_line_ends_and_ebcdic() -> None:
    layout = simple(
        {"name": "a", "width": 4}, {"name": "n", "width": 3, "type": "number"}, line_end="none", encoding="cp500"
    )
    data = "AB  001CD  002".encode("cp500")
    parts = read(data, layout)
    assert [p.body for p in parts] == [{"record": "row", "a": "AB", "n": 1}, {"record": "row", "a": "CD", "n": 2}]
    assert [p.place for p in parts] == ["record 1", "record 2"]
    assert written([p.body for p in parts], layout) == data
    assert refused(data[:-1], layout).code == "VAL364"


def test_trimmed_lines() -> None:
    fields = ({"name": "a", "width": 3}, {"name": "b", "width": 5})
    assert read("x\n", simple(*fields))[0].error is not None
    assert read("x\n", simple(*fields, trimmed=True))[0].body == {"record": "row", "a": "x", "b": ""}
    assert read("xxxyyyyyz\n", simple(*fields, trimmed=True))[0].error is not None


def test_undecodable_records() -> None:
    assert [p.error.code for p in read(b"\xff\n", simple({"name": "a", "width": 1}, encoding="ascii")) if p.error] == [
        "VAL306"
    ]


def test_patterns_tell_records() -> None:
    field = [{"name": "a", "width": 3}]
    layout = {"records": {"x": {"match": "^X[0-9]", "fields": field}, "other": {"fields": field}}}
    assert [p.body["record"] for p in read("X1 \nXX \n", layout)] == ["x", "other"]


def test_whole_gives_all_or_the_first_error() -> None:
    layout = FixedWidthSpec.model_validate(simple({"name": "n", "width": 1, "type": "number"})).build()
    assert layout.read(io.BytesIO(b"1\n2\n")).whole() == [{"record": "row", "n": 1}, {"record": "row", "n": 2}]
    with pytest.raises(Rejected, match="VAL362"):
        layout.read(io.BytesIO(b"1\nx\n")).whole()


def test_french_statements_are_read_by_a_layout_alone() -> None:
    folder = os.environ.get("GIROBUS_SAMPLES")
    if not folder:
        pytest.skip("GIROBUS_SAMPLES is not set")
    amount = {"name": "amount", "width": 14, "start": 91, "type": "amount", "decimals": 2, "sign": "overpunch"}
    day = {"name": "day", "width": 6, "start": 35, "type": "date", "format": "DDMMYY"}
    layout = {
        "length": 120,
        "records": {
            "old": {"starts": "01", "fields": [day, amount]},
            "entry": {"starts": "04", "fields": [day, {"name": "text", "width": 31, "start": 49}, amount]},
            "more": {"starts": "05", "fields": [{"name": "text", "width": 70, "start": 49}]},
            "new": {"starts": "07", "fields": [day, amount]},
        },
    }
    parts = read((Path(folder) / "cfonb-pennylane" / "example.txt").read_bytes(), layout)
    assert not [p.error for p in parts if p.error]
    balance = Decimal(0)
    for part in parts:
        if part.body["record"] == "old":
            balance = part.body["amount"]
        elif part.body["record"] == "entry":
            balance += part.body["amount"]
        elif part.body["record"] == "new":
            assert part.body["amount"] == balance


# ---------------------------------------------------------------- fields both ways


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({"type": "text", "width": 5}, "ab   ", "ab"),
        ({"type": "text", "width": 5, "align": "right"}, "   ab", "ab"),
        ({"type": "text", "width": 5, "pad": "*"}, "ab***", "ab"),
        ({"type": "text", "width": 5}, "  a b", "  a b"),
        ({"type": "text", "width": 2}, "  ", ""),
        ({"type": "number", "width": 4}, "0042", 42),
        ({"type": "number", "width": 4, "pad": " "}, "  42", 42),
        ({"type": "number", "width": 4, "pad": " ", "align": "left"}, "42  ", 42),
        ({"type": "number", "width": 4, "optional": "true"}, "    ", None),
        ({"type": "number", "width": 4, "decimals": 1}, "0042", Decimal("4.2")),
        ({"type": "amount", "width": 6}, "000042", Decimal(42)),
        ({"type": "amount", "width": 6, "decimals": 2}, "000042", Decimal("0.42")),
        ({"type": "amount", "width": 6, "decimals": 2, "point": ","}, "001,50", Decimal("1.50")),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "leading"}, "-00150", Decimal("-1.50")),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "leading"}, "+00150", Decimal("1.50")),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "leading", "pad": " "}, "  -150", Decimal("-1.50")),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "trailing"}, "00150-", Decimal("-1.50")),
        ({"type": "amount", "width": 6, "sign": "trailing", "plus": "C", "minus": "D"}, "00150D", Decimal(-150)),
        ({"type": "amount", "width": 6, "sign": "trailing", "plus": " "}, "00150 ", Decimal(150)),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "overpunch"}, "00012}", Decimal("-1.20")),
        ({"type": "amount", "width": 6, "decimals": 2, "sign": "overpunch"}, "00012C", Decimal("1.23")),
        ({"type": "date", "width": 8}, "20261124", "2026-11-24"),
        ({"type": "date", "width": 6, "format": "DDMMYY"}, "241168", "2068-11-24"),
        ({"type": "date", "width": 6, "format": "YYMMDD"}, "691124", "1969-11-24"),
        ({"type": "date", "width": 10, "format": "DD.MM.YYYY"}, "24.11.2026", "2026-11-24"),
        ({"type": "date", "width": 8, "optional": "true"}, "        ", None),
        ({"type": "date", "width": 8, "optional": "true", "pad": "0"}, "00000000", None),
        ({"value": "X", "width": 3}, "X  ", "X"),
    ],
)
def test_fields_both_ways(field: dict[str, Any], text: str, value: Any) -> None:
    layout = simple({"name": "f", **field})
    parts = read(f"{text}\n", layout)
    assert parts[0].error is None
    assert parts[0].body["f"] == value
    assert type(parts[0].body["f"]) is type(value)
    assert written([parts[0].body], layout) == f"{text}\n".encode()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"type": "number", "width": 4}, "    "),
        ({"type": "number", "width": 4}, "4 2 "),
        ({"type": "number", "width": 4}, "-042"),
        ({"type": "number", "width": 2}, "²²"),
        ({"type": "amount", "width": 5, "point": ".", "decimals": 2}, "1.234"),
        ({"type": "amount", "width": 5, "point": ".", "decimals": 2}, "1.²  "),
        ({"type": "amount", "width": 5, "sign": "leading"}, "00042"),
        ({"type": "amount", "width": 5, "sign": "trailing"}, "00042"),
        ({"type": "amount", "width": 5, "sign": "overpunch"}, "0004S"),
        ({"type": "date", "width": 8}, "        "),
        ({"type": "date", "width": 8}, "20260230"),
        ({"type": "date", "width": 8}, "2026-1-1"),
        ({"value": "X", "width": 1}, "Y"),
    ],
)
def test_texts_that_are_not_of_their_type(field: dict[str, Any], text: str) -> None:
    error = read(f"{text}\n", simple({"name": "f", **field}))[0].error
    assert error is not None
    assert (error.code, error.place) == ("VAL362", "line 1, column 1")


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ({"type": "text", "width": 3}, "abcd", "VAL370"),
        ({"type": "text", "width": 3}, "a\nb", "VAL370"),
        ({"type": "text", "width": 3}, ["a"], "VAL370"),
        ({"type": "text", "width": 3, "pad": "0", "align": "right"}, "01", "VAL370"),
        ({"type": "text", "width": 3}, "€", "VAL333"),
        ({"type": "text", "width": 3}, None, "VAL331"),
        ({"type": "number", "width": 3}, 1000, "VAL370"),
        ({"type": "number", "width": 3}, -1, "VAL370"),
        ({"type": "number", "width": 3}, 1.0, "VAL370"),
        ({"type": "number", "width": 3}, "x", "VAL370"),
        ({"type": "number", "width": 3}, Decimal("1.5"), "VAL370"),
        ({"type": "amount", "width": 3, "decimals": 2}, Decimal("1.234"), "VAL370"),
        ({"type": "amount", "width": 3, "decimals": 2}, Decimal(10), "VAL370"),
        ({"type": "amount", "width": 3, "sign": "leading"}, Decimal(100), "VAL370"),
        ({"type": "date", "width": 8}, "20261124", "VAL370"),
        ({"type": "date", "width": 8}, "2026-02-30", "VAL370"),
        ({"type": "date", "width": 8}, ["2026-02-28"], "VAL370"),
        ({"type": "date", "width": 6, "format": "YYMMDD"}, "1950-01-01", "VAL370"),
        ({"value": "X", "width": 1}, "Y", "VAL370"),
    ],
)
def test_values_that_do_not_fit_are_refused(field: dict[str, Any], value: Any, code: str) -> None:
    error = unwritable([{"f": value}], simple({"name": "f", **field}))
    assert error.code == code


def test_numbers_are_written_from_texts_and_with_zeros_to_spare() -> None:
    layout = simple({"name": "f", "type": "amount", "width": 6, "decimals": 2})
    assert written([{"f": "1.5"}, {"f": Decimal("1.50000")}, {"f": 2}], layout) == b"000150\n000150\n000200\n"


def test_text_is_cut_only_where_it_says_so() -> None:
    assert written([{"f": "abcd"}], simple({"name": "f", "width": 3, "cut": "true"})) == b"abc\n"


def test_gaps_and_fillers() -> None:
    layout = simple(
        {"name": "a", "width": 2}, {"width": 2, "pad": "*"}, {"name": "b", "width": 1, "start": 7}, length=9
    )
    assert written([{"a": "x", "b": "y"}], layout) == b"x **  y  \n"
    assert read("x ????y??\n", layout)[0].body == {"record": "row", "a": "x", "b": "y"}


# ---------------------------------------------------------------- writing


def test_a_file_written_is_the_file_read() -> None:
    layout = {**LAYOUT, "line_end": "crlf"}
    bodies = [p.body for p in read(HEAD + ROWS + END, LAYOUT)]
    assert written(bodies, layout) == (HEAD + ROWS + END).replace("\n", "\r\n").encode()
    layout = {**LAYOUT, "totals": {"count": "count", "counting": "all"}}
    layout["records"] = {k: v for k, v in LAYOUT["records"].items() if k != "end"} | {
        "end": {"role": "trailer", "starts": "99", "fields": [{"width": 2, "value": "99"}, COUNT]}
    }  # fmt: skip
    assert written(bodies, layout).endswith(b"\n9900005\n")


@pytest.mark.parametrize(
    ("bodies", "code"),
    [
        (["text"], "VAL335"),
        ([{"id": "x"}], "VAL360"),
        ([{"record": "end"}], "VAL360"),
        ([{"record": "payment", "iban": "x"}], "VAL330"),
        ([{"record": "payment", "id": "x", "amount": 1}], "VAL331"),
        ([{"record": "payment", "id": "x", "amount": 1, "currency": ""}], "VAL334"),
        ([], "VAL334"),
    ],
)
def test_records_that_cannot_be_written(bodies: list[Any], code: str) -> None:
    assert unwritable(bodies, LAYOUT).code == code


def test_header_fields_come_from_the_message() -> None:
    layout = {**LAYOUT, "totals": None, "records": {**LAYOUT["records"]}}
    del layout["records"]["end"]
    layout["records"]["head"] = {"role": "header", "fields": [{"name": "nowhere", "width": 3}]}
    assert unwritable([], layout).code == "VAL331"


TEXT = st.text("abcÄ .-", max_size=6).map(lambda text: text.rstrip(" "))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXT, st.decimals(-99999, 99999, places=2), st.dates()), max_size=6))
def test_whatever_is_written_is_read_back(rows: list[tuple[str, Decimal, Any]]) -> None:
    layout = simple(
        {"name": "t", "width": 6},
        {"name": "a", "width": 8, "type": "amount", "decimals": 2, "sign": "overpunch"},
        {"name": "d", "width": 10, "type": "date", "format": "YYYY-MM-DD"},
    )
    bodies = [{"record": "row", "t": t, "a": a, "d": d.isoformat()} for t, a, d in rows]
    data = written(bodies, layout)
    assert [p.body for p in (read(data, layout) if data else [])] == bodies


# ---------------------------------------------------------------- fuzz, options, inspecting

PIECES = [
    HEAD.encode(),
    ROWS.encode(),
    END.encode(),
    b"10",
    b"99",
    b"EUR",
    b"\n",
    b"\r",
    b" " * 9,
    b"0" * 9,
    b"\x00",
    b"\xff",
]
BYTES = st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
BLOCKS = simple(
    {"name": "a", "width": 2}, {"name": "n", "width": 3, "type": "number", "sign": "overpunch"}, line_end="none"
)


@settings(max_examples=300, deadline=None)
@given(BYTES, st.sampled_from([LAYOUT, BLOCKS, simple({"name": "d", "width": 8, "type": "date"}, encoding="utf-8")]))
def test_only_refusals_come_out_of_any_bytes(data: bytes, layout: dict[str, Any]) -> None:
    told: list[Rejected | None] = []
    try:
        told += [part.error for part in read(data, layout)]
    except Rejected as error:
        told.append(error)
    assert all(error is None or error.code in codes() for error in told)
    assert FixedWidthSpec.inspect(io.BytesIO(data)).format == "fixed-width"
    assert 0 <= FixedWidthSpec.detect(data, "x") <= 1


FIELD = {"name": "a", "width": 3}


@pytest.mark.parametrize(
    "layout",
    [
        {"records": {}},
        {"records": {"row": {"fields": []}}},
        {"records": {"row": {"role": "header", "fields": [FIELD]}}},
        {"records": {"row": {"fields": [FIELD, FIELD]}}},
        {"records": {"row": {"fields": [FIELD], "starts": "a", "match": "b"}}},
        {"records": {"row": {"fields": [FIELD], "match": "("}}},
        {"records": {"row": {"fields": [FIELD, {"name": "b", "width": 1, "start": 2}]}}},
        simple({"name": "record", "width": 3}),
        simple({**FIELD, "type": "date", "format": "YYMM"}),
        simple({**FIELD, "type": "number", "cut": "true"}),
        simple({**FIELD, "type": "number", "pad": "x"}),
        simple({"name": "a", "width": 31, "type": "number"}),
        simple({**FIELD, "value": "long"}),
        simple(FIELD, length=2),
        simple(FIELD, line_end="none", encoding="utf-8"),
        simple(FIELD, line_end="none", encoding="cp932"),
        simple(FIELD, encoding="cp500"),
        simple(FIELD, totals={"count": "n"}),
        {**LAYOUT, "totals": {"count": "count", "sum": "sum"}},
        {**LAYOUT, "totals": {"currency": "currency", "in": "currency"}},
        {**LAYOUT, "totals": {"count": "nothing"}},
        {**LAYOUT, "totals": {**LAYOUT["totals"], "counting": "all"}},
    ],
)
def test_contradicting_layouts_are_refused(layout: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FixedWidthSpec.model_validate(layout)


def test_width_may_be_called_length() -> None:
    assert read("ab\n", simple({"name": "f", "start": "1", "length": "2"}))[0].body["f"] == "ab"


def test_inspecting_tells_lengths() -> None:
    found = FixedWidthSpec.inspect(io.BytesIO((HEAD + ROWS).encode()))
    assert found.kind == "table"
    assert [f.code for f in found.findings] == ["VAL361"]
    assert FixedWidthSpec.inspect(io.BytesIO(b"")).kind is None
    assert FixedWidthSpec.detect(ROWS.encode(), "x") == 0.2
    assert FixedWidthSpec.detect((HEAD + ROWS).encode(), "x") == 0
