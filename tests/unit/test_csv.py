"""CSV: what is read, what is refused and where, control totals, and that writing loses nothing."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import FormatSpec, InspectedTotal, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.csv import CsvSpec

CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 1_795_507_200_000, {"run": "R-7"})
TRAILER = {"mark": "T", "columns": ["mark", "count", "currency", "sum"], "of": "amount", "in": "currency"}
HEAD = "id;name;amount;currency\n"


def spec(**options: Any) -> CsvSpec:
    return CsvSpec.model_validate({"delimiter": ";", **options})


def read(data: bytes | str, **options: Any) -> list[Part]:
    raw = data.encode() if isinstance(data, str) else data
    return list(spec(**options).build().read(io.BytesIO(raw)).parts("rows"))


def refused(data: bytes | str, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, **options)
    assert caught.value.code in codes()
    return caught.value


def written(rows: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    spec(**options).build().write(rows, target, CONTEXT)
    return target.getvalue()


def unwritable(rows: list[Any], **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(rows, **options)
    assert caught.value.code in codes()
    return caught.value


# ---------------------------------------------------------------- reading


def test_rows_become_mappings_with_place_and_original_bytes() -> None:
    parts = read(HEAD + 'P-1;"Müller; Söhne";1.10;EUR\r\nP-2;"a ""b""\nc";2;USD')
    assert [p.body for p in parts] == [
        {"id": "P-1", "name": "Müller; Söhne", "amount": "1.10", "currency": "EUR"},
        {"id": "P-2", "name": 'a "b"\nc', "amount": "2", "currency": "USD"},
    ]
    assert [p.place for p in parts] == ["line 2", "line 3"]
    assert [p.raw for p in parts] == ['P-1;"Müller; Söhne";1.10;EUR\r\n'.encode(), b'P-2;"a ""b""\nc";2;USD']
    assert all(p.error is None for p in parts)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(end: str) -> None:
    parts = read(end.join(["a;b", "1;2", "", "3;4"]) + end)
    assert [(p.body, p.place) for p in parts] == [({"a": "1", "b": "2"}, "line 2"), ({"a": "3", "b": "4"}, "line 4")]


def test_line_ends_may_be_mixed() -> None:
    assert [p.body["a"] for p in read("a;b\r1;2\r\n3;4\n5;6")] == ["1", "3", "5"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_lines_do_not_depend_on_how_the_stream_is_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = 'a;b\r\n1;"x\r\ny"\r3;4\n\r\n5;6'
    whole = read(data)
    monkeypatch.setattr("transforms._lines.CHUNK", size)
    assert read(data) == whole
    assert b"".join(p.raw for p in whole) == b'1;"x\r\ny"\r3;4\n5;6'


def test_a_bad_line_is_its_own_error_and_the_others_go_on() -> None:
    data = (
        HEAD.encode()
        + b"P-1;a;1;EUR\nP-2;b;2\nP-3;c;d;3;EUR\n"
        + b"P-4;\xff;4;EUR\n"
        + b'P-5;"e"x;5;EUR\nP-6;f;6;EUR\n'
    )
    parts = read(data)
    assert [p.error.code if p.error else None for p in parts] == [None, "VAL314", "VAL314", "VAL306", "VAL313", None]
    assert [p.error.place for p in parts if p.error] == ["line 3", "line 4", "line 5", "line 6"]
    assert parts[1].raw == b"P-2;b;2\n"
    assert parts[1].body == {"id": "P-2", "name": "b", "amount": "2", "currency": ""}
    assert parts[2].body == {"id": "P-3", "name": "c", "amount": "d", "currency": "3;EUR"}
    assert parts[4].raw == b'P-5;"e"x;5;EUR\n'


def test_a_field_too_wide_is_an_error_of_its_line() -> None:
    parts = read(HEAD + f"P-1;{'x' * 200_000};1;EUR\nP-2;b;2;EUR\n")
    assert [p.error.code if p.error else None for p in parts] == ["VAL315", None]


def test_messages_never_hold_payload() -> None:
    parts = read(HEAD + "SECRET;SECRET;SECRET\nSECRET;SECRET;SECRET;EUR;SECRET\n")
    assert all(p.error is not None and "SECRET" not in str(p.error) for p in parts)
    error = refused("SECRET;SECRET;1;EUR\n", columns=["id", "name", "amount", "currency"])
    assert "SECRET" not in str(error)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"", "VAL302", ""),
        (b"\xef\xbb\xbfid;name\n1;2\n", "VAL305", "line 1"),
        (b"a;b\n1;2\n\x003;4\n", "VAL304", "line 3"),
        ("a;b\n".encode("utf-16"), "VAL304", "line 1"),
        (b"\n\n", "VAL311", "line 1"),
        (b"a;a\n1;2\n", "VAL311", "line 1"),
        (b"a;\n1;2\n", "VAL311", "line 1"),
        (b'a;b\n1;2\n3;"4\n5;6\n7;8\n', "VAL312", "line 3"),
        (b'a;b\n1;2\n3;"4', "VAL312", "line 3"),
        (b'a;b\n3;"4\n5;"6";7\n', "VAL312", "line 2"),
        (b"a;b\n" + b"x" * 3_000 + b"\n", "VAL303", "line 2"),
        (b'a;b\n1;"' + b"x\n" * 3_000, "VAL312", "line 2"),
    ],
)
def test_the_file_is_refused(data: bytes, code: str, place: str) -> None:
    error = refused(data, max_line=2_000)
    assert (error.code, error.place) == (code, place)


def test_an_unclosed_quote_swallows_nothing() -> None:
    lines = "".join(f"P-{i};name;1.00;EUR\n" for i in range(1000))
    error = refused(HEAD + 'P-0;"Meier;1.00;EUR\n' + lines)
    assert error.code == "VAL312"
    assert "line 2" in error.message


def test_memory_stays_flat_without_line_ends() -> None:
    class Endless(io.RawIOBase):
        left = 50_000_000

        def read(self, size: int = -1) -> bytes:
            given = min(self.left, size)
            self.left -= given
            return b"x" * given

    tracemalloc.start()
    with pytest.raises(Rejected) as caught:
        spec().build().read(Endless())  # type: ignore[arg-type]  # the reader only calls read()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == "VAL303"
    assert peak < 8_000_000


def test_memory_stays_flat_over_many_rows() -> None:
    class Rows(io.RawIOBase):
        left = 30

        def read(self, size: int = -1) -> bytes:
            del size
            self.left -= 1
            return b"P-1;name;1.00;EUR\n" * 500 if self.left >= 0 else b""

    tracemalloc.start()
    columns = ["id", "name", "amount", "currency"]
    document = spec(header=False, columns=columns).build().read(Rows())  # type: ignore[arg-type]  # only read()
    count = sum(1 for _ in document.parts("rows"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 15_000
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id;name;currency", "lacks `amount`"),
        ("id;name;amount;currency;x", "unexpected `x`"),
        ("id;amount;name;currency", "column 2 of the header should be `name`"),
        ("id;name;amount;currency;id", "repeats names"),
        ("P-1;x;1;EUR", "missing"),
    ],
)
def test_a_wrong_header_names_the_difference(header: str, said: str) -> None:
    error = refused(header + "\n", columns=["id", "name", "amount", "currency"])
    assert error.code == "VAL310"
    assert said in error.message


def test_columns_without_header_line() -> None:
    assert read("1;2\n", header=False, columns=["a", "b"])[0].body == {"a": "1", "b": "2"}


def test_encodings() -> None:
    assert read("n\nMüller €\n".encode("cp1252"), encoding="windows-1252")[0].body == {"n": "Müller €"}
    assert read(b"\xef\xbb\xbfn\n\xc3\xbc\n", encoding="utf-8-sig")[0].body == {"n": "ü"}
    assert read(b"n\n\xc3\xbc\n", encoding="utf-8-sig")[0].body == {"n": "ü"}


def test_without_quoting_quotes_are_characters() -> None:
    assert read('a;b\n"1;2"\n', quote="")[0].body == {"a": '"1', "b": '2"'}


def test_only_rows_are_there() -> None:
    with pytest.raises(Rejected, match="VAL301"):
        next(spec().build().read(io.BytesIO(b"a\n1\n")).parts("entries"))


def test_whole_gives_all_rows_or_the_first_error() -> None:
    assert spec().build().read(io.BytesIO(b"a;b\n1;2\n")).whole() == [{"a": "1", "b": "2"}]
    with pytest.raises(Rejected, match="VAL314"):
        spec().build().read(io.BytesIO(b"a;b\n1;2\n3\n")).whole()


# ---------------------------------------------------------------- header record and control totals

GOOD = HEAD + "P-1;a;100.10;EUR\nP-2;b;50.00;USD\nP-3;c;200.10;EUR\n"


def test_control_totals_that_are_right() -> None:
    parts = read(GOOD + "T;2;EUR;300.20\nT;1;USD;50.00\n\n", trailer=TRAILER)
    assert [p.body["id"] for p in parts] == ["P-1", "P-2", "P-3"]


def test_bad_lines_count_in_control_totals() -> None:
    data = GOOD.replace("P-3;c", "P-3;\xff").encode("latin-1") + b"P-4;d;1;EUR;surplus\nT;3;EUR;301.20\nT;1;USD;50\n"
    assert [p.error.code if p.error else None for p in read(data, trailer=TRAILER)] == [None, None, "VAL306", "VAL314"]


@pytest.mark.parametrize(
    ("trailer", "code", "said"),
    [
        ("", "VAL320", "no trailer"),
        ("T;2;EUR;300.20\n", "VAL320", "USD: 1 records, but no trailer"),
        ("T;3;EUR;300.20\nT;1;USD;50.00\n", "VAL321", "EUR: the trailer says 3 records, there are 2"),
        ("T;2;EUR;300.21\nT;1;USD;50.00\n", "VAL321", "a sum of 300.21, the records make 300.20"),
        ("T;2;EUR;300.20\nT;1;USD;50.00\nT;1;CHF;1.00\n", "VAL321", "CHF: the trailer says 1 records, there are 0"),
        ("T;2;EUR;300.20\nT;1;USD;50.00\nT;1;USD;50.00\n", "VAL322", "second trailer for USD"),
        ("T;2;EUR;300.20\nT;1;USD;50.00\nP-4;x;1;EUR\n", "VAL323", "line 7"),
        ("T;2;EUR\n", "VAL325", "line 5"),
        ("T;2;EUR;300.20;x\n", "VAL325", "line 5"),
        ("T;two;EUR;300.20\n", "VAL325", "line 5"),
        ("T;2;EUR;3e2\n", "VAL325", "line 5"),
        ("P-4;d;x;EUR\nT;3;EUR;300.20\n", "VAL324", "line 5"),
        ("P-4;d;1;\nT;3;EUR;300.20\n", "VAL324", "line 5"),
        ("P-4\nT;3;EUR;300.20\n", "VAL324", "line 5"),
        ("P-4;d;NaN;EUR\nT;2;EUR;300.20\n", "VAL324", "line 5"),
    ],
)
def test_control_totals_that_are_wrong(trailer: str, code: str, said: str) -> None:
    error = refused(GOOD + trailer, trailer=TRAILER)
    assert error.code == code
    assert said in error.message


def test_a_file_without_records_needs_its_trailer_too() -> None:
    assert refused(HEAD, trailer=TRAILER).code == "VAL320"
    assert read(HEAD + "T;0;EUR;0.00\n", trailer=TRAILER) == []


def test_the_reason_tells_count_from_sum() -> None:
    assert refused(GOOD + "T;3;EUR;300.20\nT;1;USD;50.00\n", trailer=TRAILER).reason == "AM18"
    error = refused(GOOD + "T;2;EUR;0\nT;9;USD;50.00\n", trailer=TRAILER)
    assert error.reason == "AM10"
    assert len(error.findings) == 2


def test_sums_are_exact() -> None:
    cents = "".join("P;x;0.10;EUR\n" for _ in range(1001))
    big = "P;x;123456789012345678901234567890.01;EUR\n"
    read(HEAD + cents + big + "T;1002;EUR;123456789012345678901234567990.11\n", trailer=TRAILER)
    assert refused(HEAD + cents + "T;1001;EUR;100.11\n", trailer=TRAILER).code == "VAL321"


def test_one_trailer_for_the_whole_file() -> None:
    whole = {"mark": "END", "columns": ["mark", "count"]}
    assert len(read(GOOD + "END;3;;\n", trailer=whole)) == 3
    assert refused(GOOD + "END;4\n", trailer=whole).code == "VAL321"
    assert read(HEAD + "END;0\n", trailer=whole) == []


def test_decimal_comma_in_control_totals() -> None:
    data = HEAD + "P-1;a;100,10;EUR\nP-2;b;.10;EUR\n"
    assert refused(data + "T;2;EUR;100,20\n", trailer=TRAILER, decimal=",").code == "VAL324"
    assert len(read(HEAD + "P-1;a;100,10;EUR\nT;1;EUR;100,10\n", trailer=TRAILER, decimal=",")) == 1


def test_a_column_of_the_trailer_must_be_there() -> None:
    assert refused("id;currency\nT;0;EUR;0\n", trailer=TRAILER).code == "VAL310"


def test_too_many_currencies() -> None:
    rows = "".join(f"P;x;1;C{i}\n" for i in range(1001))
    assert refused(HEAD + rows, trailer=TRAILER).code == "VAL326"


@pytest.mark.parametrize("data", ["H;R-7;2026\na;b\n1;2\n", "a;b\nH;R-7;2026\n1;2\n"])
def test_a_header_record_becomes_the_head(data: str) -> None:
    head = {"mark": "H", "columns": ["mark", "run", "year"]}
    document = spec(header_record=head).build().read(io.BytesIO(data.encode()))
    assert document.head == {"mark": "H", "run": "R-7", "year": "2026"}
    assert [p.body for p in document.parts("rows")] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("data", ["a;b\n1;2\n", "H;1\na;b\n", "a;b\n", "H;1;2\na;b\n1;2\nH;1;2\n"])
def test_a_header_record_that_is_missing_short_or_twice(data: str) -> None:
    assert refused(data, header_record={"mark": "H", "columns": ["mark", "run", "year"]}).code == "VAL316"


def test_datev_files_are_read_with_a_header_record() -> None:
    folder = os.environ.get("GIROBUS_SAMPLES")
    if not folder:
        pytest.skip("GIROBUS_SAMPLES is not set")
    data = (Path(folder) / "datev-ledermann" / "EXTF_Kontenbeschriftungen.csv").read_bytes()
    options: dict[str, Any] = {"header_record": {"mark": "EXTF", "columns": ["mark", "version"]}, "encoding": "cp1252"}
    document = spec(**options).build().read(io.BytesIO(data))
    assert document.head == {"mark": "EXTF", "version": "700"}
    rows = document.whole()
    assert rows[0] == {"Konto": "400", "Kontenbeschriftung": "Betriebsausstattung", "Sprach-ID": "de-DE"}


# ---------------------------------------------------------------- writing


def test_rows_are_written_as_they_would_be_read() -> None:
    rows = [{"a": 'x;"y"', "b": "l1\r\nl2"}, {"a": "", "b": "=1+1"}]
    assert written(rows) == b'a;b\n"x;""y""";"l1\r\nl2"\n;=1+1\n'
    assert written(rows, line_end="crlf", header=False, columns=["b", "a"]).endswith(b"=1+1;\r\n")


def test_values_keep_every_digit() -> None:
    row = {"d": Decimal("1E+2"), "e": Decimal("0.10"), "i": 12, "t": True, "n": None}
    assert written([row]) == b"d;e;i;t;n\n100;0.10;12;true;\n"
    assert written([row], decimal=",").splitlines()[1] == b"100;0,10;12;true;"


def test_columns_from_paths() -> None:
    body = {"debtor": {"account": {"iban": "DE1"}}, "amount": {"value": Decimal("1.5"), "currency": "EUR"}, "more": 1}
    columns = {"iban": "debtor.account.iban", "amount": "amount.value", "town": "debtor.address.town"}
    assert written([body], columns=columns) == b"iban;amount;town\nDE1;1.5;\n"


@pytest.mark.parametrize(
    ("rows", "options", "code"),
    [
        ([{"a": "1", "c": "2"}], {"columns": ["a", "b"]}, "VAL330"),
        ([{"a": "1"}], {"columns": ["a", "b"], "required": ["b"]}, "VAL331"),
        ([{"a": 1.5}], {}, "VAL332"),
        ([{"a": [1]}], {}, "VAL332"),
        ([{"a": Decimal("NaN")}], {}, "VAL332"),
        ([{"a": Decimal("1E+999999")}], {}, "VAL332"),
        ([{"a": "x;y"}], {"quote": ""}, "VAL332"),
        ([{"a": "€"}], {"encoding": "iso-8859-1"}, "VAL333"),
        ([{"a": "\udc80"}], {}, "VAL333"),
        ([{"a": "x\0y"}], {}, "VAL333"),
        ([], {}, "VAL334"),
        (["text"], {}, "VAL335"),
        ([{"a": "1"}, ["x"]], {}, "VAL335"),
    ],
)
def test_what_cannot_be_written_is_refused(rows: list[Any], options: dict[str, Any], code: str) -> None:
    assert unwritable(rows, **options).code == code


def test_the_refusal_names_the_record() -> None:
    assert unwritable([{"a": "1"}] * 700 + [{"a": "€"}], encoding="latin-1").place == "output record 702"


def test_trailers_are_written_and_read_back() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "1", "name": "a", "amount": Decimal("100.10"), "currency": "EUR"},
        {"id": "2", "name": "b", "amount": "50.00", "currency": "USD"},
        {"id": "3", "name": "c", "amount": Decimal("200.10"), "currency": "EUR"},
    ]
    data = written(rows, trailer=TRAILER)
    assert data.splitlines()[-2:] == [b"T;2;EUR;300.20", b"T;1;USD;50.00"]
    assert len(read(data, trailer=TRAILER)) == 3
    assert unwritable([{**rows[0], "id": "T"}], trailer=TRAILER).code == "VAL336"
    assert unwritable([{**rows[0], "amount": "x"}], trailer=TRAILER).code == "VAL324"
    assert unwritable([{**rows[0], "currency": ""}], trailer=TRAILER).code == "VAL324"
    assert unwritable([], trailer=TRAILER, columns=["id", "amount", "currency"]).code == "VAL334"


def test_header_record_is_written_from_the_unit() -> None:
    head = {"mark": "H", "columns": ["mark", "id", "created_at", "run"]}
    data = written([{"a": "1"}], header_record=head)
    assert data.splitlines()[0] == b"H;0123456789abcdef0123456789abcdef;2026-11-24T08:00:00Z;R-7"
    head["columns"] = ["mark", "unknown"]
    assert unwritable([{"a": "1"}], header_record=head).code == "VAL331"


def test_formulas_are_left_alone_for_machines_and_made_text_for_people() -> None:
    values = ["=1+1", "+x", "-x", "@x", "\tx", "＝x", "-12.30", "12", "x=1"]  # noqa: RUF001 - full-width on purpose
    rows = [{"a": "k", "b": value} for value in values]
    machine = [p.body["b"] for p in read(written(rows))]
    people = [p.body["b"] for p in read(written(rows, for_people=True))]
    assert machine == values
    assert people == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "'＝x", "-12.30", "12", "x=1"]  # noqa: RUF001 - ditto


def test_a_reject_file_takes_the_columns_and_the_reasons() -> None:
    columns = ["id", "name", "amount", "currency", "reason_code", "reason_text"]
    parts = read(GOOD + "P-4;d;1\n")
    bodies = [{**p.body, "reason_code": "FF01", "reason_text": "line 5; too short"} for p in parts if p.error]
    assert written(bodies, columns=columns).splitlines()[1] == b'P-4;d;1;;FF01;"line 5; too short"'


FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), st.sampled_from(["lf", "crlf"]))
def test_whatever_is_written_is_read_back(rows: list[tuple[str, str]], end: str) -> None:
    bodies = [{"a": a, "b": b} for a, b in rows]
    assert [p.body for p in read(written(bodies, line_end=end))] == bodies


@settings(max_examples=100, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=8))
def test_a_single_column_is_read_back(values: list[str]) -> None:
    bodies = [{"a": value} for value in values]
    options: dict[str, Any] = {"header": False, "columns": ["a"]}
    assert [p.body for p in read(written(bodies, **options), **options)] == bodies


# ---------------------------------------------------------------- fuzz

PIECES = [
    b";",
    b'"',
    b"\n",
    b"\r",
    b"T;",
    b"EUR",
    b"1.00",
    b"id;name;amount;currency\n",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
]
BYTES = st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))


def _layouts() -> Iterator[dict[str, Any]]:
    yield {}
    yield {"trailer": TRAILER}
    yield {"header": False, "columns": ["a", "b"], "encoding": "utf-8-sig"}
    yield {"header_record": {"mark": "T", "columns": ["mark"]}, "quote": "", "encoding": "gb18030"}


@settings(max_examples=300, deadline=None)
@given(BYTES, st.sampled_from(list(_layouts())))
def test_only_refusals_come_out_of_any_bytes(data: bytes, options: dict[str, Any]) -> None:
    told: list[Rejected | None] = []
    try:
        for part in spec(**options).build().read(io.BytesIO(data)).parts("rows"):
            assert part.raw in data
            told.append(part.error)
    except Rejected as error:
        told.append(error)
    assert all(error is None or error.code in codes() for error in told)


@settings(max_examples=200, deadline=None)
@given(BYTES)
def test_looking_at_any_bytes_never_fails(data: bytes) -> None:
    assert CsvSpec.inspect(io.BytesIO(data)).format == "csv"
    assert 0 <= CsvSpec.detect(data, "x.csv") <= 1


# ---------------------------------------------------------------- options, detecting, inspecting


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ";;"},
        {"delimiter": "\n"},
        {"delimiter": '"'},
        {"delimiter": ",", "decimal": ","},
        {"encoding": "utf-16"},
        {"encoding": "rot13"},
        {"encoding": "cp500"},
        {"header": "false"},
        {"columns": ["a", "a"]},
        {"columns": ["a"], "required": ["b"]},
        {"columns": ["a"], "trailer": TRAILER},
        {"trailer": {"mark": "T", "columns": ["count", "mark"]}},
        {"trailer": {"mark": "T", "columns": ["mark"]}},
        {"trailer": {"mark": "T", "columns": ["mark", "sum"]}},
        {"trailer": {"mark": "T", "columns": ["mark", "count", "currency"]}},
        {"trailer": {"mark": "T", "columns": ["mark", "count"]}, "header_record": {"mark": "T", "columns": ["mark"]}},
        {"unknown": "1"},
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**options)


def test_options_as_yaml_gives_them() -> None:
    found = spec(delimiter="tab", header="false", columns=["a"], max_line="64kB", encoding="Latin1", for_people="true")
    assert (found.delimiter, found.header, found.max_line, found.encoding) == ("\t", False, 64_000, "iso8859-1")
    assert issubclass(CsvSpec, FormatSpec)
    assert CsvSpec.from_name("csv") == {}
    assert spec().build().content_type == "text/csv"


def test_detecting() -> None:
    table = b"id;name;amount\n1;a;2.00\n2;b;3.00\n"
    assert CsvSpec.detect(table, "PAYRUN_1.csv") > 0.9
    assert 0 < CsvSpec.detect(table, "PAYRUN_1") < 0.5
    assert CsvSpec.detect(b"<Document>", "a.csv") == 0
    assert CsvSpec.detect(b":20:STARTUMSE\n:25:1/2\n", "a.sta") == 0
    assert CsvSpec.detect(b"", "a.csv") == 0


def test_inspecting_finds_totals_and_checks_trailers() -> None:
    data = "id;name;amount;currency;x\nP-1;a;100.10;EUR;1\nP-2;b;50.00;USD;\nP-3;c;bad;EUR;2\nP-4;short\n"
    found = CsvSpec.inspect(io.BytesIO((data + "T;1;EUR;100.11\nT;1;USD;50.00\n").encode()))
    assert (found.format, found.kind) == ("csv", "table")
    assert found.documents[0].totals == (
        InspectedTotal("EUR", 1, Decimal("100.10")),
        InspectedTotal("USD", 1, Decimal("50.00")),
    )
    assert [(f.code, f.place) for f in found.findings] == [
        ("VAL324", "line 4"),
        ("VAL314", "line 5"),
        ("VAL321", "line 6"),
    ]


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"", None, "VAL302"),
        (b"a;b\n1;\x00\n", None, "VAL304"),
        (b"a;b\nM\xfcller;1\n", "table", "VAL306"),
        (b"1;2.00\n2;3.00\n", "table", "VAL311"),
        (b"H;1\na;b;c\n1;x;y\n2;x;y\n", "table", "VAL316"),
        (b'a;b\n1;2\n3;"4\n', "table", "VAL312"),
    ],
)
def test_inspecting_tells_instead_of_refusing(data: bytes, kind: str | None, code: str) -> None:
    found = CsvSpec.inspect(io.BytesIO(data))
    assert found.kind == kind
    assert [f.code for f in found.findings] == [code]


# ---------------------------------------------------------------- dialects


def test_an_export_made_for_people() -> None:
    data = (
        "Umsätze November\r\n\r\nNr;Betrag;Währung;Fällig\r\n"
        "1;1.234,50;EUR;24.11.2026\r\n2;-0,5;EUR;1.12.2026\r\n3;;EUR;\r\nSumme;1.234,00;;\r\nStand 30.11.2026\r\n"
    ).encode("cp1252")
    options: dict[str, Any] = {
        "encoding": "cp1252",
        "preamble": 2,
        "footer": ["Summe", "Stand"],
        "decimal": ",",
        "thousands": ".",
        "types": {"amount": "number", "due": "DD.MM.YYYY"},
        "aliases": {"id": ["Nr"], "amount": ["Betrag", "Umsatz"], "currency": ["Währung"], "due": ["Fällig"]},
    }
    parts = read(data, **options)
    assert [part.body for part in parts] == [
        {"id": "1", "amount": Decimal("1234.50"), "currency": "EUR", "due": "2026-11-24"},
        {"id": "2", "amount": Decimal("-0.5"), "currency": "EUR", "due": "2026-12-01"},
        {"id": "3", "amount": None, "currency": "EUR", "due": None},
    ]
    assert parts[0].place == "line 4"
    assert refused(data + b"4;1,00;EUR;\r\n", **options).code == "VAL323"
    again = written([part.body for part in parts], decimal=",", types={"due": "DD.MM.YYYY"}).decode()
    assert again == "id;amount;currency;due\n1;1234,50;EUR;24.11.2026\n2;-0,5;EUR;01.12.2026\n3;;EUR;\n"


@pytest.mark.parametrize(
    ("text", "types", "said"),
    [
        ("12.34,5", {"a": "number"}, "no number"),
        ("1.234.5", {"a": "number"}, "no number"),
        ("1,234.5", {"a": "number"}, "no number"),
        ("x", {"a": "number"}, "no number"),
        ("30.02.2026", {"a": "DD.MM.YYYY"}, "calendar"),
        ("2026-11-24", {"a": "DD.MM.YYYY"}, "form DD.MM.YYYY"),
        ("241326", {"a": "YYMMDD"}, "calendar"),
    ],
)
def test_a_field_that_is_not_of_its_type_is_an_error_of_its_line(text: str, types: dict[str, str], said: str) -> None:
    bad, good = read(f"a;b\n{text};1\n;2\n", decimal=",", thousands=".", types=types)
    assert bad.error is not None
    assert (bad.error.code, bad.error.place) == ("VAL866", "line 2, column `a`")
    assert said in bad.error.message
    assert text not in bad.error.message
    assert bad.body == {"a": text, "b": "1"}
    assert good.body == {"a": None, "b": "2"}


def test_control_totals_with_grouped_digits() -> None:
    options: dict[str, Any] = {"decimal": ",", "thousands": ".", "trailer": TRAILER}
    data = "id;amount;currency\n1;1.000,10;EUR\n2;2,00;EUR\nT;2;EUR;1.002,10\n"
    assert len(read(data, **options)) == 2
    assert refused(data.replace("1.002,10", "1.002,11"), **options).code == "VAL321"


def test_days_that_cannot_be_written() -> None:
    assert unwritable([{"due": "24.11.2026"}], types={"due": "DD.MM.YYYY"}).code == "VAL332"
    assert unwritable([{"due": "1950-01-01"}], types={"due": "YYMMDD"}).code == "VAL332"
    assert written([{"due": "2026-11-24"}], types={"due": "YYMMDD"}) == b"due\n261124\n"


@pytest.mark.parametrize(
    "options",
    [
        {"thousands": "."},
        {"thousands": ",", "delimiter": ","},
        {"types": {"a": "amount"}},
        {"types": {"a": "DD.MM"}},
        {"types": {"a": "number"}, "columns": ["b"]},
        {"aliases": {"a": ["x"], "b": ["x"]}},
        {"footer": [""]},
    ],
)
def test_dialects_that_contradict_themselves(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**options)


def test_delimiters() -> None:
    for delimiter, character in (("tab", "\t"), ("|", "|"), (",", ","), (";", ";")):
        assert [part.body for part in read(f"a{character}b\n1{character}2\n", delimiter=delimiter)] == [
            {"a": "1", "b": "2"}
        ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,50-", "-1234.50"),
        ("5,00 -", "-5.00"),
        ("\u22125,00", "-5.00"),
        ("5,00\u2212", "-5.00"),
        ("(1.234,50)", "-1234.50"),
        ("0,00-", "0.00"),
    ],
)
def test_negative_numbers_as_programs_write_them(text: str, value: str) -> None:
    (part,) = read(f"a\n{text}\n", decimal=",", thousands=".", types={"a": "number"})
    assert part.body == {"a": Decimal(value)}


@pytest.mark.parametrize("text", ["-5,00-", "+5,00-", "(5,00", "5,00)", "(-5,00)", "-", "()", "5,00--", "--5,00"])
def test_a_sign_stands_once(text: str) -> None:
    (part,) = read(f"a\n{text}\n", decimal=",", thousands=".", types={"a": "number"})
    assert part.error is not None
    assert part.error.code == "VAL866"


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u202f"])
def test_blanks_that_do_not_break_lines_group_digits_too(blank: str) -> None:
    (part,) = read(f"a\n1{blank}234{blank}567,89\n", decimal=",", thousands=" ", types={"a": "number"})
    assert part.body == {"a": Decimal("1234567.89")}
