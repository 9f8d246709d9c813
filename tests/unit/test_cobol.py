"""COBOL records: copybooks, zoned, packed and binary numbers in EBCDIC and ASCII, tables, redefinitions, framing."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import Part, Rejected, WriteContext
from bus.codes import codes
from transforms.cobol import CobolSpec
from transforms.cobol.copybook import CopybookError, parse

CONTEXT = WriteContext("ab" * 16, 1_795_000_000_000)
PAYMENT = """
000100* Payments of the run                                             PAYM0001
000200 01  PAYMENT-RECORD.                                              PAYM0002
000300     05  PAYMENT-ID          PIC X(8).                            PAYM0003
000400     05  AMOUNT              PIC S9(7)V99 COMP-3.                 PAYM0004
000500     05  FEE                 PIC S9(3)V99.                        PAYM0005
000600     05  SEQ-NO              PIC 9(4) COMP.                       PAYM0006
000700     05  FILLER              PIC X(2).                            PAYM0007
000800     05  BALANCE             PIC S9(5)V99                         PAYM0008
000900                             SIGN IS LEADING SEPARATE CHARACTER.  PAYM0009
001000     05  STATE               PIC X VALUE 'N'.                     PAYM0010
001100         88  IS-NEW          VALUE 'N'.                           PAYM0011
"""
BODY = {
    "payment_id": "P-1",
    "amount": Decimal("-1234567.89"),
    "fee": Decimal("-1.05"),
    "seq_no": 258,
    "balance": Decimal("100.10"),
    "state": "N",
}
BYTES = (
    "P-1     ".encode("cp037")
    + bytes.fromhex("123456789D")
    + bytes.fromhex("F0F0F1F0D5")
    + bytes.fromhex("0102")
    + "  +0010010N".encode("cp037")
)
TABLES = """
       01 ORDER-RECORD.
          05 REC-TYPE        PIC X.
          05 LINE-COUNT      PIC 9(2).
          05 CUSTOMER.
             10 CUST-NAME    PIC X(6).
             10 CUST-TAGS    PIC X(2) OCCURS 2 TIMES.
          05 BY-CARD.
             10 CARD-NO      PIC 9(4).
             10 FILLER       PIC X(2).
          05 BY-BANK REDEFINES BY-CARD.
             10 BANK-CODE    PIC X(6).
          05 LINES OCCURS 0 TO 5 TIMES DEPENDING ON LINE-COUNT INDEXED BY IX.
             10 SKU          PIC X(3).
             10 QTY          PIC 9(3).
"""
ORDER = {
    "rec_type": "B",
    "line_count": 2,
    "customer": {"cust_name": "MILLER", "cust_tags": ["AA", ""]},
    "by_bank": {"bank_code": "DEUTDE"},
    "lines": [{"sku": "A01", "qty": 1}, {"sku": "B02", "qty": 20}],
}
ORDER_TEXT = b"B02MILLERAA  DEUTDEA01001B02020"


def read(data: bytes, copybook: str, each: str = "rows", **options: Any) -> list[Part]:
    spec = CobolSpec.model_validate({"copybook": copybook, **options})
    return list(spec.build().read(io.BytesIO(data)).parts(each))


def written(bodies: list[Any], copybook: str, **options: Any) -> bytes:
    target = io.BytesIO()
    CobolSpec.model_validate({"copybook": copybook, **options}).build().write(bodies, target, CONTEXT)
    return target.getvalue()


def value(data: bytes, picture: str, **options: Any) -> Any:
    """The only number of a record."""
    (part,) = read(data, f"01 R. 05 N PIC {picture}.", **options)
    return part.error.code if part.error else part.body["n"]


# ---------------------------------------------------------------- reading


def test_a_mainframe_record() -> None:
    (part,) = read(BYTES, PAYMENT)
    assert part.error is None
    assert part.body == BODY
    assert written([BODY], PAYMENT) == BYTES


def test_tables_groups_and_redefinitions() -> None:
    options = {"encoding": "ascii", "framing": "lines", "when": {"BY-BANK": {"REC-TYPE": ["B", "X"]}}}
    (part,) = read(ORDER_TEXT + b"\n", TABLES, **options)
    assert part.error is None
    assert part.body == ORDER
    assert written([ORDER], TABLES, **options) == ORDER_TEXT + b"\n"
    (other,) = read(b"C00SMITH     1234  \r\n", TABLES, **options)
    assert other.body["by_card"] == {"card_no": 1234}
    assert other.body["lines"] == []
    without = {name: found for name, found in ORDER.items() if name != "line_count"}
    assert written([without], TABLES, **options) == ORDER_TEXT + b"\n", "the length of the table is counted"


def test_record_descriptor_words_and_lengths() -> None:
    data = b"\0\x23\0\0" + ORDER_TEXT
    found = read(data * 2, TABLES, encoding="ascii", framing="rdw", when={"BY-BANK": {"REC-TYPE": "B"}})
    assert [part.body for part in found] == [ORDER, ORDER]
    assert written([ORDER], TABLES, encoding="ascii", framing="rdw") == data
    assert CobolSpec.detect((data * 4)[:100], "x") > 0
    assert CobolSpec.inspect(io.BytesIO(data * 4)).documents[0].totals[0].count == 4
    filled = read(ORDER_TEXT.ljust(60), TABLES, encoding="ascii", length=60, when={"BY-BANK": {"REC-TYPE": "B"}})
    assert filled[0].body == ORDER


def test_several_records_by_condition() -> None:
    copybook = """
    01 HEAD. 05 TYP PIC X. 05 RUN PIC X(4).
    01 DETAIL. 05 TYP PIC X. 05 SUM-OF PIC 9(4).
    """
    options = {"encoding": "cp500", "when": {"HEAD": {"TYP": "H"}, "DETAIL": {"TYP": "D"}}}
    data = "HR001D0042".encode("cp500")
    assert [part.body for part in read(data, copybook, **options)] == [
        {"record": "head", "typ": "H", "run": "R001"},
        {"record": "detail", "typ": "D", "sum_of": 42},
    ]
    assert len(read(data, copybook, "detail", **options)) == 1
    (bad,) = read("X0000".encode("cp500"), copybook, **options)
    assert bad.error is not None
    assert bad.error.code == "VAL835"
    assert written([part.body for part in read(data, copybook, **options)], copybook, **options) == data


@pytest.mark.parametrize(
    ("data", "picture", "expected"),
    [
        ("C1", "9", 1), ("F1F2F3", "9(3)", 123), ("F1F2C3", "S9(3)", 123), ("F1F2D3", "S9(3)", -123),
        ("D1F2F3", "S9(3) SIGN LEADING", -123), ("F1F2F360", "S9(3) SIGN TRAILING SEPARATE", -123),
        ("F1F2F340", "S9(3) SIGN TRAILING SEPARATE", "VAL832"), ("F1F2D3", "9(3)", "VAL832"),
        ("404040", "9(3)", "VAL832"), ("F1A1F3", "9(3)", "VAL832"), ("F1F2F3", "S9V99", Decimal("1.23")),
        ("12345C", "S9(5) COMP-3", 12345), ("12345D", "S9(3)V99 COMP-3", Decimal("-123.45")),
        ("12345F", "9(5) PACKED-DECIMAL", 12345), ("123456", "9(5) COMP-3", "VAL833"),
        ("1A345C", "9(5) COMP-3", "VAL833"),
        ("12345D", "9(5) COMP-3", "VAL833"), ("FFFE", "S9(4) COMP", -2), ("FFFE", "9(4) BINARY", 65534),
        ("00000102", "9(9) COMP-4", 258), ("FFFFFFFFFFFFFF9C", "S9(16)V99 COMP", Decimal("-1.00")),
    ],
)  # fmt: skip
def test_ebcdic_numbers(data: str, picture: str, expected: Any) -> None:
    assert value(bytes.fromhex(data), picture) == expected


@pytest.mark.parametrize(
    ("data", "picture", "expected"),
    [
        (b"123", "9(3)", 123), (b"12C", "S9(3)", 123), (b"12L", "S9(3)", -123), (b"12{", "S9(3)", 120),
        (b"12}", "S9(3)", -120), (b"12s", "S9(3)", -123), (b"J23", "S9(3) LEADING", -123),
        (b"-123", "S9(3) LEADING SEPARATE", -123),
        (b"12Z", "S9(3)", "VAL832"), (b"1 3", "9(3)", "VAL832"), (b"\x02\x01", "9(4) COMP-5", 258),
        (b"\x01\x02", "9(4) COMP", 258),
    ],
)  # fmt: skip
def test_ascii_numbers(data: bytes, picture: str, expected: Any) -> None:
    assert value(data, picture, encoding="ascii", native="little") == expected


def test_blank_numbers() -> None:
    assert value(b"\x40" * 3, "9(3)", blank_numbers=True) is None
    assert value(b"\0" * 3, "9(3)", blank_numbers=True) is None
    assert written([{"n": None}], "01 R. 05 N PIC 9(3).", blank_numbers=True) == b"\x40" * 3


def test_a_bad_record_names_record_offset_and_field() -> None:
    bad = BYTES[:8] + b"\xff" * 5 + BYTES[13:]
    found = read(BYTES + bad + BYTES, PAYMENT)
    assert [part.error is None for part in found] == [True, False, True]
    error = found[1].error
    assert error is not None
    assert (error.code, error.place) == ("VAL833", "record 2, offset 9, amount")
    assert found[1].raw == bad
    assert found[1].body["payment_id"] == "P-1"


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (b"", {}, "VAL302"),
        (BYTES[:-1], {}, "VAL830"),
        (BYTES + b"\x40", {}, "VAL830"),
        (BYTES, {"framing": "rdw"}, "VAL831"),
        (b"\0\x20\0\0abc", {"framing": "rdw"}, "VAL830"),
        (b"\0\x04\0\0", {"framing": "rdw"}, "VAL831"),
    ],
)
def test_the_file_is_refused(data: bytes, options: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(data, PAYMENT, **options)
    assert caught.value.code == code
    with pytest.raises(Rejected, match="VAL301"):
        read(BYTES, PAYMENT, "nothing")


def test_records_that_are_too_short_or_long_or_of_impossible_tables() -> None:
    options = {"encoding": "ascii", "framing": "lines", "when": {"BY-BANK": {"REC-TYPE": "B"}}}
    lines = b"B02MILLER\n" + ORDER_TEXT + b"xyz\n" + ORDER_TEXT.replace(b"B02M", b"B09M") + b"\n"
    assert [part.error and part.error.code for part in read(lines, TABLES, **options)] == ["VAL830", "VAL830", "VAL834"]


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"payment_id": "123456789"}, "VAL837", "9 bytes, the item 8"),
        ({"payment_id": "\u20ac"}, "VAL333", "cp037"),
        ({"payment_id": 7}, "VAL837", "no text"),
        ({"amount": Decimal("12345678.00")}, "VAL837", "7 digits before the point"),
        ({"amount": Decimal("1.001")}, "VAL837", "more than 2 decimals"),
        ({"amount": 1.5}, "VAL837", "no decimal number"),
        ({"seq_no": -1}, "VAL837", "no sign"),
        ({"seq_no": 10000}, "VAL837", "4 digits"),
        ({"state": None}, "VAL838", "missing"),
        ({"surplus": 1}, "VAL838", "surplus"),
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        written([{**BODY, **changes}], PAYMENT)
    assert caught.value.code == code
    assert said in caught.value.message


def test_tables_that_cannot_be_written() -> None:
    for changes in ({"line_count": 1}, {"lines": None}, {"lines": [{}]}, {"customer": 7}, {"line_count": 9}):
        with pytest.raises(Rejected, match=r"VAL83[78]"):
            written([{**ORDER, **changes}], TABLES, encoding="ascii", framing="lines")
    with pytest.raises(Rejected, match="VAL335"):
        written([7], PAYMENT)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "payment_id": st.from_regex("[A-Z0-9-]{0,8}", fullmatch=True),
                "amount": st.decimals(-9999999, 9999999, places=2),
                "fee": st.decimals(-999, 999, places=2),
                "seq_no": st.integers(0, 9999),
                "balance": st.decimals(-99999, 99999, places=2),
                "state": st.sampled_from(["N", "X"]),
            }
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["cp037", "cp273", "cp500", "cp1140", "ascii"]),
    st.sampled_from(["fixed", "rdw"]),
)
def test_what_is_written_comes_back(bodies: list[dict[str, Any]], encoding: str, framing: str) -> None:
    data = written(bodies, PAYMENT, encoding=encoding, framing=framing)
    assert [part.body for part in read(data, PAYMENT, encoding=encoding, framing=framing)] == bodies


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["fixed", "rdw"]), st.sampled_from([PAYMENT, TABLES]))
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes, framing: str, copybook: str) -> None:
    CobolSpec.inspect(io.BytesIO(data))
    try:
        parts = read(data, copybook, framing=framing, length=60 if framing == "fixed" else 0)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right
    else:
        assert all(part.error is None or part.error.code in codes() for part in parts)


# ---------------------------------------------------------------- copybooks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no data description"),
        ("01 R", "no period"),
        ("01 R. 05 A PIC Z(3).", "edited pictures are not"),
        ("01 R. 05 A COMP-1.", "clause COMP-1"),
        ("01 R. 05 A USAGE POINTER.", "POINTER"),
        ("01 R. 05 A PIC X(0).", "no or too many"),
        ("01 R. 05 A PIC 9(39).", "38 digits"),
        ("01 R. 05 A PIC 9(19) COMP.", "18 digits"),
        ("01 R. 05 A PIC X COMP-3.", "no binary usage"),
        ("01 R. 05 A.", "neither a picture nor items"),
        ("01 R. 05 A PIC X. 10 B PIC X.", "below one that has a picture"),
        ("01 R. 05 A PIC X REDEFINES B.", "REDEFINES names"),
        ("01 R. 05 A PIC X OCCURS 2 DEPENDING ON N.", "DEPENDING ON names"),
        ("01 R. 05 A PIC X OCCURS 5 TO 2.", "more to less"),
        ("01 R. 05 A PIC X. 05 A PIC X.", "stands twice"),
        ("01 R. 05 A PIC X SYNCHRONIZED.", "SYNCHRONIZED"),
        ("01 R. 05 A PIC X(999999) OCCURS 9.", "1000000 bytes"),
        ("99 R PIC X.", "level number"),
        ("R PIC X.", "level number"),
        ("01 R. 05 A OCCURS.", "too early"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, said: str) -> None:
    with pytest.raises(CopybookError, match=said):
        parse(text)
    if text:
        with pytest.raises(ValidationError, match="copybook"):
            CobolSpec.model_validate({"copybook": text})


@pytest.mark.parametrize(
    "options",
    [
        {"framing": "lines"},
        {"encoding": "utf-8"},
        {"length": 5},
        {"when": {"NOTHING": {"STATE": "N"}}},
        {"when": {"PAYMENT-RECORD": {"NOTHING": "N"}}},
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CobolSpec.model_validate({"copybook": PAYMENT, **options})


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(st.sampled_from([*TABLES.split(), *PAYMENT.split(), "\n", ".", "01", "PIC"]), max_size=40).map(
            " ".join
        ),
    )
)
def test_any_text_is_a_copybook_or_refused(text: str) -> None:
    try:
        parse(text)
    except CopybookError as error:
        assert str(error).startswith("line ")  # noqa: PT017 - either outcome is right
