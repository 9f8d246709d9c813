"""Reading CFONB 120: signs inside of the last digit, decimals as declared, records in their order or refused."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import StatementEntry
from transforms.cfonb120 import Cfonb120Spec

EUR = {"currency": "EUR"}


def amount(value: int) -> str:
    """Minor units with the sign in the last digit."""
    text = f"{abs(value):014d}"
    return text[:13] + ("}JKLMNOPQR" if value < 0 else "{ABCDEFGHI")[int(text[13])]


def balance(code: str, value: int, date: str = "231126", account: str = "98765432100") -> str:
    return f"{code}15589    00000EUR2 {account}  {date}{'':50}{amount(value)}{'':16}"


def entry(value: int, date: str = "241126", valued: str = "251126", label: str = "VIR SEPA") -> str:
    begin = "041558991620000" + f"0EUR2 98765432100B1{date}  {valued}{label:31}  0000007  "
    return f"{begin}{amount(value)}{'REF 1':16}"


def detail(qualifier: str, text: str) -> str:
    return f"0515589916200000EUR2 98765432100B1241126     {qualifier:3}{text:70}  "


def file(*lines: str) -> bytes:
    assert all(len(line) == 120 for line in lines)
    return "".join(f"{line}\r\n" for line in lines).encode()


def statement(*entries: str, closing: int = 10_000) -> bytes:
    return file(balance("01", 10_000), *entries, balance("07", closing, "241126"))


def read(content: bytes, each: str = "entries", **options: Any) -> list[Any]:
    return list(Cfonb120Spec(**options).build().read(io.BytesIO(content)).parts(each))


def refused(content: bytes) -> Rejected:
    with pytest.raises(Rejected) as error:
        read(content)
    return error.value


def codes(content: bytes) -> list[tuple[str, str]]:
    return [(f.code, f.place) for f in Cfonb120Spec.inspect(io.BytesIO(content)).findings]


def test_an_entry_with_its_details() -> None:
    content = statement(
        entry(-1205),
        detail("LIB", "second line"),
        detail("NBE", "ACME"),
        detail("NPY", "ourselves"),
        detail("RCN", f"{'E2E-1':35}purpose"),
        detail("LCC", "Invoice 4711"),
        detail("LC2", "of November"),
        detail("LCS", "RF18539007547034"),
        detail("RUM", "M-1"),
        detail("XYZ", "something"),
        closing=8_795,
    )
    (part,) = read(content)
    worth = {"value": Decimal("12.05"), **EUR}
    assert part.error is None
    assert MODELS["entry"](part.body) == ()
    StatementEntry.model_validate(part.body)
    assert part.body["signed"] == {"value": Decimal("-12.05"), **EUR}
    assert (part.body["booking_date"], part.body["value_date"]) == ("2026-11-24", "2026-11-25")
    assert part.body["additional"] == "VIR SEPA\nsecond line\npurpose"
    assert (part.body["reference"], part.body["bank_reference"]) == ("0000007", "REF 1")
    assert part.body["bank_transaction_code"] == "B1/9162"
    assert part.body["transactions"] == [
        {
            "end_to_end_id": "E2E-1",
            "instruction_id": "",
            "transaction_id": "",
            "mandate_id": "M-1",
            "amount": worth,
            "counterparty": {"name": "ACME", "account": None},
            "remittance": {
                "unstructured": ["Invoice 4711", "of November"],
                "structured": [{"reference": "RF18539007547034", "type": "SCOR"}],
            },
            "own_references": [{"id": "something", "scheme": "XYZ"}],
            "return_reason": "",
        }
    ]
    assert part.raw.count(b"\r\n") == 10


@pytest.mark.parametrize(
    ("digits", "value"),
    [("0000000000000{", "0"), ("0000000000012C", "1.23"), ("0000000000012L", "-1.23"), ("0000000000000}", "0")],
)
def test_the_last_digit_carries_the_sign(digits: str, value: str) -> None:
    closing = 10_000 + int(Decimal(value) * 100)
    line = entry(0)
    (part,) = read(statement(line[:90] + digits + line[104:], closing=closing))
    assert part.body["signed"]["value"] == Decimal(value)


def test_decimals_are_those_that_the_record_declares() -> None:
    lines = [balance("01", 10_000), entry(1), balance("07", 10_001)]
    yen = file(*(line[:16] + "JPY0" + line[20:] for line in lines))
    assert read(yen)[0].body["amount"] == {"value": Decimal(1), "currency": "JPY"}
    wrong = file(*(line[:16] + "JPY2" + line[20:] for line in lines))
    assert refused(wrong).code == "VAL411"


def test_statements_of_a_file_are_kept_apart_and_their_balances_proved() -> None:
    content = statement(entry(100), closing=10_100) + statement(entry(-5), closing=9_995)
    assert [p.body["entries"] for p in read(content, "statements")] == [1, 1]
    ids = [p.body["statement_id"] for p in read(content)]
    assert ids == ["155890000098765432100-2026-11-23", "155890000098765432100-2026-11-23/2"]
    error = refused(statement(entry(100), closing=10_101))
    assert (error.code, error.place) == ("VAL420", "line 1")
    assert len(read(statement(entry(100), closing=10_101), balances="ignore")) == 1


@pytest.mark.parametrize(
    ("lines", "code", "place"),
    [
        ([entry(1)], "VAL751", "line 1"),
        ([balance("01", 0), detail("LIB", "x")], "VAL752", "line 2"),
        ([balance("01", 0), entry(0), detail("LIB", "x").replace("241126", "251126")], "VAL752", "line 3"),
        ([balance("01", 0), balance("01", 0)], "VAL753", "line 2"),
        ([balance("07", 0)], "VAL754", "line 1"),
        ([balance("01", 0)[:103] + "0" + " " * 16], "VAL755", "line 1, column 91"),
        ([balance("01", 0), balance("07", 0, account="98765432101")], "VAL757", "line 2"),
        ([balance("01", 0), entry(0)], "VAL758", "line 2"),
        (["9" * 120], "VAL750", "line 1"),
        ([balance("01", 0, date="310226")], "VAL413", "line 1, column 35"),
    ],
)
def test_records_in_a_wrong_order_refuse_the_file(lines: list[str], code: str, place: str) -> None:
    error = refused(file(*lines))
    assert (error.code, error.place) == (code, place)
    assert (code, place) in codes(file(*lines))


def test_a_bad_entry_is_refused_alone_and_counted() -> None:
    content = statement(entry(100, date="300226"), entry(5), closing=10_105)
    bad, good = read(content)
    assert (bad.error.code, bad.place) == ("VAL413", "line 2, column 35")
    assert good.error is None
    (document,) = Cfonb120Spec.inspect(io.BytesIO(content)).documents
    assert [(t.count, t.credit) for t in document.totals] == [(2, Decimal("1.05"))]


def test_two_equal_entries_are_both_counted_and_told() -> None:
    content = statement(entry(100), entry(100), closing=10_200)
    assert len(read(content)) == 2
    assert codes(content) == [("VAL756", "line 3")]


def test_records_without_line_ends() -> None:
    content = statement(entry(100), closing=10_100).replace(b"\r\n", b"")
    assert [part.place for part in read(content)] == ["line 1, record 2"]


def test_too_long_lines_and_other_encodings() -> None:
    assert refused(statement().replace(b"\r\n", b"x\r\n", 1)).code == "VAL361"
    content = statement(entry(100, label="Société"), closing=10_100).decode().encode("iso-8859-1")
    assert read(content)[0].error.code == "VAL306"
    assert read(content, encoding="iso-8859-1")[0].body["additional"] == "Société"
