"""Reading BAI2: continued and wrapped records, types of funds, implied decimals, control totals and counts."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from bus import Rejected
from transforms.bai2 import Bai2Spec
from transforms.canonical import MODELS
from transforms.canonical.models import StatementEntry

FILE, GROUP = "01,SENDER,RECEIVER,261124,0700,1,80,1,2/", "02,RECEIVER,BANK,1,261123,2400,USD,2/"


def bai2(*lines: str, account: str = "03,123456,,010,10000,,,015,10000,,/", group: str = GROUP) -> bytes:
    """A file of one account, with trailers that are right (amounts are found by a plain search for type and amount)."""
    body = [account, *lines]
    total = 0
    for line in body:
        fields = line.rstrip("/").split(",")
        if fields[0] == "16":
            total += int(fields[2] or 0)
        elif fields[0] == "03":
            total += sum(int(fields[at]) for at in range(4, len(fields), 4) if fields[at].strip("-").isdigit())
    trailers = [f"49,{total},{len(body) + 1}/", f"98,{total},1,{len(body) + 3}/", f"99,{total},1,{len(body) + 5}/"]
    return "\n".join([FILE, group, *body, *trailers]).encode() + b"\n"


def read(content: bytes, each: str = "entries", **options: Any) -> list[Any]:
    return list(Bai2Spec(**options).build().read(io.BytesIO(content)).parts(each))


def only(content: bytes, **options: Any) -> Any:
    (part,) = read(content, **options)
    assert part.error is None, part.error
    return part.body


def refused(content: bytes, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as error:
        read(content, **options)
    return error.value


def codes(content: bytes) -> list[tuple[str, str, str]]:
    return [(f.code, f.severity, f.place) for f in Bai2Spec.inspect(io.BytesIO(content)).findings]


def entry_of(line: str, *further: str) -> Any:
    return only(bai2(line, *further, account="03,123456,,/"))


def test_an_entry_with_its_references_and_texts() -> None:
    found = entry_of("16,142,12550,V,261125,1200,BANKREF,CUSTREF,ACH, first line", "88,second / line", "88,third/")
    assert MODELS["entry"](found) == ()
    StatementEntry.model_validate(found)
    assert found["signed"] == {"value": Decimal("125.50"), "currency": "USD"}
    assert (found["booking_date"], found["value_date"]) == ("2026-11-23", "2026-11-25")
    assert (found["bank_reference"], found["bank_transaction_code"]) == ("BANKREF", "142")
    (told,) = found["transactions"]
    assert told["instruction_id"] == "CUSTREF"
    assert told["remittance"]["unstructured"] == ["ACH, first line", "second / line", "third"]


@pytest.mark.parametrize(
    ("code", "signed"),
    [("100", 1), ("399", 1), ("400", -1), ("699", -1), ("721", 1), ("760", -1), ("925", 1), ("975", -1)],
)
def test_the_type_code_says_credit_or_debit(code: str, signed: int) -> None:
    assert entry_of(f"16,{code},100,,,,text/")["signed"]["value"] == signed


@pytest.mark.parametrize(
    ("fields", "value_date", "additional"),
    [
        ("", "", None),
        ("Z", "", None),
        ("0", "2026-11-23", None),
        ("1", "", "available in 1 day"),
        ("2", "", "available in 2 days"),
        ("V,261201,", "2026-12-01", None),
        ("S,10,20,70", "", "0.10 USD available in 0 days; 0.20 USD available in 1 days; 0.70 USD available in 2 days"),
        ("D,2,0,40,5,60", "", "0.40 USD available in 0 days; 0.60 USD available in 5 days"),
        ("D,0", "", None),
    ],
)
def test_types_of_funds(fields: str, value_date: str, additional: str | None) -> None:
    found = entry_of(f"16,142,100,{fields},BANK,CUST,text/")
    assert (found["value_date"], found.get("additional")) == (value_date, additional)
    assert (found["bank_reference"], found["transactions"][0]["instruction_id"]) == ("BANK", "CUST")
    assert found["transactions"][0]["remittance"]["unstructured"] == ["text"]


def test_fields_go_on_in_continuations_until_they_are_complete_then_texts() -> None:
    found = entry_of("16,115,450,S,100/", "88,200,150,BANK", "88,CUST,text, with comma/", "88,16,no record/")
    assert found["bank_reference"] == "BANK"
    assert found["transactions"][0]["remittance"]["unstructured"] == ["text, with comma", "16,no record"]


def test_records_that_share_a_line_and_texts_that_are_wrapped() -> None:
    lines = bai2("16,142,2500,Z,,,TRANSFER 1/", "16,451,2500,Z,,,ACH 1111", "2222        /", "88, more 22/03/66/")
    content = lines.replace(b"1/\n16,", b"1/  16,").replace(b"66/\n49,", b"66/   49,")
    # The wrapped line is no record of its own.
    content = content.replace(b",6/\n", b",5/\n").replace(b",1,8/", b",1,7/").replace(b",1,10/", b",1,9/")
    first, second = read(content)
    assert first.body["transactions"][0]["remittance"]["unstructured"] == ["TRANSFER 1"]
    assert second.body["transactions"][0]["remittance"]["unstructured"] == ["ACH 11112222", "more 22/03/66"]
    assert (second.place, second.body["signed"]["value"]) == ("line 4, column 30", -25)
    assert codes(content) == []


def test_a_slash_before_digits_inside_of_a_text_ends_nothing() -> None:
    found = entry_of("16,142,100,,,,QTY 5/16,5 pieces/")
    assert found["transactions"][0]["remittance"]["unstructured"] == ["QTY 5/16,5 pieces"]


@pytest.mark.parametrize(("currency", "value"), [("USD", "125.50"), ("JPY", "12550"), ("KWD", "12.550")])
def test_decimals_are_implied_by_the_currency(currency: str, value: str) -> None:
    content = bai2("16,142,12550,,,,/", account=f"03,123456,{currency},/")
    assert only(content)["amount"] == {"value": Decimal(value), "currency": currency}
    by_group = bai2("16,142,12550,,,,/", account="03,123456,,/", group=GROUP.replace("USD", currency))
    assert only(by_group)["amount"] == {"value": Decimal(value), "currency": currency}


def test_balances_and_sums() -> None:
    content = bai2("16,142,500,,,,/", account="03,123456,,010,-1000,,,015,-500,,,040,-700,,/")
    (body,) = [part.body for part in read(content, "statements")]
    assert (body["opening"]["amount"]["value"], body["closing"]["amount"]["value"]) == (-10, -5)
    assert [(b["type"], b["amount"]["value"]) for b in body["balances"]] == [("OPAV", -7)]
    assert MODELS["statement"](body) == ()
    wrong = bai2("16,142,499,,,,/", account="03,123456,,010,-1000,,,015,-500,,/")
    error = refused(wrong)
    assert (error.code, error.place) == ("VAL420", "line 3")
    assert "0.01 USD" in error.message
    interim = wrong.replace(b"USD,2/", b"USD,3/")
    assert len(read(interim)) == 1
    assert codes(interim) == [("VAL420", "warning", "line 3")]
    assert Bai2Spec.inspect(io.BytesIO(interim)).kind == "report"


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        (b"49,20500,3/", b"49,20501,3/", "VAL742", "line 5"),
        (b"49,20500,3/", b"49,20500,4/", "VAL743", "line 5"),
        (b"98,20500,1,5/", b"98,20501,1,5/", "VAL742", "line 6"),
        (b"98,20500,1,5/", b"98,20500,2,5/", "VAL744", "line 6"),
        (b"98,20500,1,5/", b"98,20500,1,6/", "VAL743", "line 6"),
        (b"99,20500,1,7/", b"99,20501,1,7/", "VAL742", "line 7"),
        (b"99,20500,1,7/", b"99,20500,2,7/", "VAL744", "line 7"),
        (b"99,20500,1,7/", b"99,20500,1,8/", "VAL743", "line 7"),
    ],
)
def test_control_totals_and_counts_of_all_levels(old: bytes, new: bytes, code: str, place: str) -> None:
    content = bai2("16,142,500,,,,/", account="03,123456,,010,10000,,,015,10000,,/")
    fine = content.replace(b"015,10000", b"015,10500").replace(b"20500", b"21000")
    assert codes(fine) == []
    wrong = fine.replace(old.replace(b"20500", b"21000"), new.replace(b"2050", b"2100"))
    assert wrong != fine
    error = refused(wrong)
    assert (error.code, error.place) == (code, place)
    assert (code, "error", place) in codes(wrong)
    assert len(read(wrong, balances="ignore")) == 1


def test_blank_control_totals_are_not_proved() -> None:
    content = b"01,a,b,261124,0101,1,,,2/\n02,b,a,1,261124,2359,,2/\n03,12345,/\n49,,2/\n98,0,1,4/\n99,0,1,6/\n"
    assert codes(content) == []
    assert [part.body["entries"] for part in read(content, "statements")] == [0]


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"00,1,2/\n", "VAL741", "line 1"),
        (b"02,b,a,1,261124,,,/\n", "VAL740", "line 1"),
        (b"01,a,b,261124,,,,,2/\n03,1,/\n", "VAL740", "line 2"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n16,142,1,,,/\n", "VAL740", "line 3"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n03,1,/\n03,2,/\n", "VAL745", "line 4"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n03,1,/\n98,0,1,4/\n", "VAL740", "line 4"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n02,b,a,1,261124,,,/\n", "VAL745", "line 3"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261332,,,/\n", "VAL741", "line 2"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,2,261124,,,/\n", "VAL746", "line 2"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n03,1,,010,1.5,,/\n", "VAL741", "line 3"),
        (b"01,a,b,261124,,,,,2/\n02,b,a,1,261124,,,/\n03,1,XXX,010,15,,/\n", "VAL412", "line 3"),
        (b"01,a,b,261124,,,,,2/\n01,a,b,261124,,,,,2/\n", "VAL740", "line 2"),
        (b"88,text/\n", "VAL740", "line 1"),
        (b"01,a,b,261124,,,,,2/\n", "VAL745", "line 1"),
        (b"text\n", "VAL741", "line 1"),
        (b"", "VAL302", ""),
    ],
)
def test_records_in_a_wrong_order_refuse_the_file(content: bytes, code: str, place: str) -> None:
    error = refused(content)
    assert (error.code, error.place) == (code, place)
    assert (code, "error", place) in codes(content)


@pytest.mark.parametrize(
    "line",
    ["16,xyz,100,,,,/", "16,142,1x,,,,/", "16,142,100,Q,,,/", "16,142,100,V,260230,,,/", "16,142,100,D,x,,,/"],
)
def test_a_bad_record_is_refused_alone(line: str) -> None:
    content = bai2("16,142,500,,,,/", account="03,123456,,/").replace(b"16,142,500", line.encode() + b"\n16,142,500")
    bad, good = read(content, balances="ignore")
    assert (bad.error.code, bad.place, bad.raw) == ("VAL741", "line 4", line.encode() + b"\n")
    assert good.error is None


def test_information_without_money_is_no_entry() -> None:
    content = bai2("16,890,,,,,note/", account="03,123456,,/")
    assert read(content) == []
    assert codes(content) == [("VAL747", "info", "line 4")]
