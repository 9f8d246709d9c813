"""JSON and JSON Lines: exact numbers, what is refused, and that only plain data goes out."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import InspectedTotal, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.json import JsonSpec

CONTEXT = WriteContext("0" * 32, 0)


def whole(data: bytes | str, **options: Any) -> Any:
    raw = data.encode() if isinstance(data, str) else data
    return JsonSpec.model_validate(options).build().read(io.BytesIO(raw)).whole()


def parts(data: bytes | str, each: str = "rows", **options: Any) -> list[Part]:
    raw = data.encode() if isinstance(data, str) else data
    return list(JsonSpec.model_validate(options).build().read(io.BytesIO(raw)).parts(each))


def refused(data: bytes | str, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        whole(data, **options)
    assert caught.value.code in codes()
    return caught.value


def written(bodies: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    JsonSpec.model_validate(options).build().write(bodies, target, CONTEXT)
    return target.getvalue()


def unwritable(bodies: list[Any], **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(bodies, **options)
    assert caught.value.code in codes()
    return caught.value


# ---------------------------------------------------------------- reading


def test_numbers_are_exact() -> None:
    found = whole('{"a": 0.10, "b": 12345678901234567.89, "c": 12345678901234567890123, "d": 1e2, "e": -0}')
    assert found == {
        "a": Decimal("0.10"),
        "b": Decimal("12345678901234567.89"),
        "c": 12345678901234567890123,
        "d": Decimal("1e2"),
        "e": 0,
    }
    assert str(found["a"]) == "0.10"
    assert not any(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", "VAL302"),
        ("\ufeff{}", "VAL305"),
        ("{", "VAL340"),
        ("{'a': 1}", "VAL340"),
        ("[1,]", "VAL340"),
        ("[01]", "VAL340"),
        ("[1] x", "VAL340"),
        ('"a\tb"', "VAL340"),
        (b'"\xff"', "VAL340"),
        (b'"\xed\xa0\x80"', "VAL340"),
        ("\x00", "VAL340"),
        ("{}".encode("utf-16-le"), "VAL340"),
        ('{"a": 1, "a": 2}', "VAL341"),
        ('{"x": [{"a": 1, "b": 1, "a": 1}]}', "VAL341"),
        ("NaN", "VAL342"),
        ("[Infinity]", "VAL342"),
        ("-Infinity", "VAL342"),
        ("1e400", "VAL343"),
        ("1e-400", "VAL343"),
        ("1e99999999999999999999", "VAL343"),
        ("1" * 4301, "VAL343"),
        ("0." + "1" * 4301, "VAL343"),
        ("[" * 65 + "]" * 65, "VAL344"),
        ('{"a":' * 65 + "1" + "}" * 65, "VAL344"),
        ("[" * 100_000, "VAL344"),
        (r'"\ud800"', "VAL345"),
        (r'{"\udfff": 1}', "VAL345"),
        (r'[["\ud83d\ud83d"]]', "VAL345"),
        ("[" + "1," * 600 + "1]", "VAL346"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_refused(data: bytes | str, code: str) -> None:
    limits = {"max_size": "1kB"} if code == "VAL346" else {}
    error = refused(data, **limits)
    assert error.code == code


def test_limits_let_through_what_is_just_right() -> None:
    assert whole("[" * 64 + "]" * 64)
    assert whole('["' + "[" * 100 + '"]') == ["[" * 100]
    assert whole("1e308") == Decimal("1e308")
    assert whole(r'"\ud83d\ude00"') == "😀"
    assert len(str(whole("1" * 4300))) == 4300


def test_a_refusal_says_where_and_never_what() -> None:
    error = refused('{"name": "SECRET",\n "iban": SECRET}')
    assert error.place == "line 2, column 10"
    assert "SECRET" not in str(error)
    assert "`amount`" in refused('{"amount": 1, "amount": 2}').message
    assert "secret" not in refused('{"sec!ret": 1, "sec!ret": 2}').message


def test_records_of_a_document() -> None:
    data = '{"id": "M-1", "n": 2, "data": {"items": [{"a": 1}, {"a": 2}]}}'
    found = parts(data, "data.items")
    assert [(p.body, p.place) for p in found] == [({"a": 1}, "/data/items/0"), ({"a": 2}, "/data/items/1")]
    assert [p.place for p in parts("[1, 2]")] == ["/0", "/1"]
    document = JsonSpec().build().read(io.BytesIO(data.encode()))
    assert document.head == {"id": "M-1", "n": 2}


@pytest.mark.parametrize("each", ["items", "id", "id.x", "rows", ""])
def test_a_path_that_leads_to_no_list(each: str) -> None:
    with pytest.raises(Rejected, match="VAL347"):
        parts('{"id": "x", "data": {}}', each)


def test_lines_have_errors_of_their_own() -> None:
    data = b'{"a":1}\r\n\n{"a":1,"a":2}\n{"a":\n\xff\n[2.50]'
    found = parts(data, lines=True)
    assert [p.place for p in found] == ["line 1", "line 3", "line 4", "line 5", "line 6"]
    assert [p.error.code if p.error else None for p in found] == [None, "VAL341", "VAL340", "VAL340", None]
    assert [p.raw for p in found] == [b'{"a":1}\r\n', b'{"a":1,"a":2}\n', b'{"a":\n', b"\xff\n", b"[2.50]"]
    assert found[-1].body == [Decimal("2.50")]
    assert found[2].error is not None
    assert found[2].error.place == "line 4, column 1"


def test_lines_as_a_whole() -> None:
    assert whole("1\n2\n", lines=True) == [1, 2]
    assert refused("1\nx\n", lines=True).code == "VAL340"
    assert refused("", lines=True).code == "VAL302"
    assert refused("1\n" + "x" * 2000, lines=True, max_line=1000).code == "VAL303"
    with pytest.raises(Rejected, match="VAL301"):
        parts("1\n", "items", lines=True)


# ---------------------------------------------------------------- writing


def test_a_single_document() -> None:
    body = {"b": "ü", "a": [Decimal("0.10"), 1, True, None], "c": {"value": Decimal("1E+2")}}
    assert written([body]) == '{"b":"ü","a":["0.10",1,true,null],"c":{"value":"100"}}'.encode()
    assert written([body], decimals="number") == '{"b":"ü","a":[0.10,1,true,null],"c":{"value":100}}'.encode()
    assert written([{"a": 1}], indent=2) == b'{\n  "a": 1\n}'


def test_decimals_never_have_an_exponent() -> None:
    body = [Decimal("1E-7"), Decimal("0E-7"), Decimal("-1E+20")]
    assert written([body]) == b'["0.0000001","0.0000000","-100000000000000000000"]'
    assert written([body], decimals="number") == b"[0.0000001,0.0000000,-100000000000000000000]"


def test_lists_and_lines() -> None:
    assert written([{"a": 1}, {"a": 2}], document="list") == b'[{"a":1},{"a":2}]'
    assert written([], document="list") == b"[]"
    assert written([{"a": 1}, "x"], lines=True) == b'{"a":1}\n"x"\n'
    assert written([], lines=True) == b""


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"a": {"b": [1, 1.5]}}, "a.b.1"),
        ({"a": Decimal("NaN")}, "a"),
        ({"a": Decimal("1E+999999")}, "a"),
        ({"a": b"x"}, "a"),
        ({"a": {1: "x"}}, "a"),
        ({"a": object()}, "a"),
        (10**20_000, ""),
        ("\ud800", ""),
        ({"\ud800": 1}, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_plain_data_goes_out(body: Any, place: str) -> None:
    error = unwritable([body])
    assert (error.code, error.place) == ("VAL348", place)


def test_endless_nesting_is_refused() -> None:
    body: list[Any] = []
    body.append(body)
    assert unwritable([body]).code == "VAL348"


@pytest.mark.parametrize("bodies", [[], [1, 2]])
def test_a_single_document_needs_exactly_one_part(bodies: list[Any]) -> None:
    assert unwritable(bodies).code == "VAL349"


PLAIN: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc€", max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_whatever_is_written_is_read_back(body: Any) -> None:
    for options in ({}, {"lines": True}):
        data = written([body], decimals="number", **options)
        found = whole(data, **options)
        assert (found[0] if options else found) == body
        assert written([body], decimals="number", **options) == data


# ---------------------------------------------------------------- fuzz

PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"a",
    b":",
    b",",
    b"1",
    b"e9",
    b"-",
    b".",
    b"\\u",
    b"d800",
    b"\n",
    b"NaN",
    b"\xff",
]
BYTES = st.one_of(st.binary(max_size=100), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))


@settings(max_examples=400, deadline=None)
@given(BYTES, st.booleans())
def test_only_refusals_come_out_of_any_bytes(data: bytes, lines: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    told: list[Rejected | None] = []
    try:
        found = parts(data, lines=True) if lines else [Part(whole(data))]
        told = [part.error for part in found]
        json.dumps([part.body for part in found], default=str)
    except Rejected as error:
        told.append(error)
    assert all(error is None or error.code in codes() for error in told)
    assert JsonSpec.inspect(io.BytesIO(data)).format in {"json", "jsonl"}
    assert 0 <= JsonSpec.detect(data, "x") <= 1


# ---------------------------------------------------------------- options, detecting, inspecting


def test_names_and_options() -> None:
    assert JsonSpec.from_name("json") == {}
    assert JsonSpec.model_validate(JsonSpec.from_name("jsonl")).lines
    assert JsonSpec.from_name("csv") is None
    assert JsonSpec().build().content_type == "application/json"
    assert JsonSpec(lines=True).build().content_type == "application/jsonl"
    with pytest.raises(ValidationError):
        JsonSpec.model_validate({"decimals": "float"})


def test_detecting() -> None:
    assert JsonSpec.detect(b' {"a": 1}', "x") == 0.9
    assert JsonSpec.detect(b'[{"a": 1}]', "x.json") > 0.9
    assert JsonSpec.detect(b"{1:F01BANKDEFFXXXX0000000000}{2:", "x") == 0
    assert JsonSpec.detect(b"<a/>", "x.xml") == 0
    assert JsonSpec.detect(b"", "x.json") == 0


def test_inspecting_finds_totals() -> None:
    document = (
        '{"id": 1, "items": [{"amount": {"value": "1.50", "currency": "EUR"}}, {"amount": 2, "currency": "EUR"}, 3]}'
    )
    found = JsonSpec.inspect(io.BytesIO(document.encode()))
    assert (found.format, found.kind) == ("json", "document")
    assert found.documents[0].totals == (InspectedTotal("EUR", 2, Decimal("3.50")),)
    lines = b'{"amount": 1.10, "currency": "USD"}\n\n{"amount": 1.10, "currency": "USD"}\n{"a": }\n'
    found = JsonSpec.inspect(io.BytesIO(lines))
    assert (found.format, found.kind) == ("jsonl", "lines")
    assert found.documents[0].totals == (InspectedTotal("USD", 2, Decimal("2.20")),)
    assert [(f.code, f.place) for f in found.findings] == [("VAL340", "line 4")]
    assert JsonSpec.inspect(io.BytesIO(b"")).documents == ()
    assert [f.code for f in JsonSpec.inspect(io.BytesIO(b'{"a"')).findings] == ["VAL340"]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', "VAL341", "line 2, column 16"),
        ('{"a": {"a": 1}, "x": "a", "a": 2}', "VAL341", "line 1, column 27"),
        (r'{"b": 1, "\u0062": 2}', "VAL341", "line 1, column 10"),
        ('{"a": "NaN",\r\n"b": [1, NaN]}', "VAL342", "line 2, column 10"),
        ("[1, -Infinity]", "VAL342", "line 1, column 5"),
        ('{"a": "1e999",\n"b": 1e999}', "VAL343", "line 2, column 6"),
        (f'[1, {"9" * 5000}]', "VAL343", "line 1, column 5"),
        ("[1,\n" + "[" * 64 + "]" * 65, "VAL344", "line 2, column 64"),
        (f'"{"[" * 70}"' .join(["[[", "]" ]) + "[" * 70, "VAL340", "line 1, column 76"),
        (r'["\\ud800", "\ud83d"]', "VAL345", "line 1, column 13"),
    ],
)  # fmt: skip
def test_what_is_refused_has_its_line_and_column(text: str, code: str, place: str) -> None:
    error = refused(text)
    assert (error.code, error.place) == (code, place)
    (part,) = parts(text.replace("\r", " ").replace("\n", " "), lines=True)
    assert part.error is not None
    assert part.error.code == code
    assert part.error.place.startswith("line 1, column ")


def test_the_key_that_stands_twice_is_the_one_at_the_place() -> None:
    error = refused('{"x": {"b": 1, "b": 1}, "y": 1, "y": 2}')
    assert (error.place, "`b`" in error.message) == ("line 1, column 16", True)


def test_a_place_is_looked_for_in_no_time() -> None:
    assert refused('{"a":1,' + '"b":[],' * 3_000_000 + '"a":2}', max_size=100_000_000).place == ""
