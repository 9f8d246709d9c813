"""OFX 1 (SGML) and 2 (XML): the same statements from both, ids that stand twice, dates with zones, hostile files."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import Inspection, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.canonical import MODELS
from transforms.ofx import OfxSpec

SGML = """OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX>
<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS><DTSERVER>20261124120000[-5:EST]<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1>
<STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS>
<STMTRS>
<CURDEF>USD
<BANKACCTFROM><BANKID>121042882<ACCTID>000123456789<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST>
<DTSTART>20261101000000[-5:EST]
<DTEND>20261124000000[-5:EST]
<STMTTRN>
<TRNTYPE>CREDIT
<DTPOSTED>20261102120000[-5:EST]
<TRNAMT>1500.25
<FITID>2026110200001
<NAME>CAF\xc9 &amp; CO
<MEMO>INVOICE 4711
</STMTTRN>
<STMTTRN>
<TRNTYPE>CHECK
<DTPOSTED>20261103
<DTUSER>20261101
<TRNAMT>-250,10
<FITID>2026110300001
<CHECKNUM>1024
<MEMO>
</STMTTRN>
<STMTTRN><TRNTYPE>XFER</TRNTYPE><DTPOSTED>20261104</DTPOSTED><TRNAMT>-1000</TRNAMT><FITID>2026110400001</FITID>
<PAYEE><NAME>SUPPLIER LTD<ADDR1>1 ROAD<CITY>X</PAYEE>
<BANKACCTTO><BANKID>121042882<ACCTID>000987654321<ACCTTYPE>SAVINGS</BANKACCTTO></STMTTRN>
</BANKTRANLIST>
<LEDGERBAL><BALAMT>10250.15<DTASOF>20261124</LEDGERBAL>
<AVAILBAL><BALAMT>10000.15<DTASOF>20261124</AVAILBAL>
</STMTRS></STMTTRNRS>
</BANKMSGSRSV1>
<CREDITCARDMSGSRSV1><CCSTMTTRNRS><TRNUID>2<STATUS><CODE>0<SEVERITY>INFO</STATUS>
<CCSTMTRS><CURDEF>USD<CCACCTFROM><ACCTID>4111XXXXXXXX1111</CCACCTFROM>
<BANKTRANLIST><DTSTART>20261101<DTEND>20261124
<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20261110<TRNAMT>-19.99<FITID>A<NAME>SHOP
<CURRENCY><CURRATE>1.08<CURSYM>EUR</CURRENCY></STMTTRN>
</BANKTRANLIST><LEDGERBAL><BALAMT>-19.99<DTASOF>20261124</LEDGERBAL></CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1>
</OFX>
"""
PAGE = SGML.encode("cp1252")
_FIELD = re.compile(r"<(\w+)>([^<\r\n]+)(?:</\1>)?")


def as_xml(text: str) -> str:
    """The same document in version 2: every field closed, empty ones too."""
    body = text[text.index("<OFX>") :].replace("<MEMO>\n", "<MEMO></MEMO>\n")
    body = _FIELD.sub(lambda m: f"<{m[1]}>{m[2].strip()}</{m[1]}>", body)
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        '<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n' + body
    )


XML = as_xml(SGML).encode()


def read(data: bytes, each: str = "entries", **options: Any) -> list[Part]:
    return list(OfxSpec.model_validate(options).build().read(io.BytesIO(data)).parts(each))


def refused(data: bytes, each: str = "entries", **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, each, **options)
    assert caught.value.code in codes()
    return caught.value


def inspected(data: bytes) -> Inspection:
    return OfxSpec.inspect(io.BytesIO(data))


@pytest.mark.parametrize("data", [PAGE, XML], ids=["sgml", "xml"])
def test_entries(data: bytes) -> None:
    first, check, transfer, card = (part.body for part in read(data))
    assert first == {
        "type": "entry",
        "statement_id": "000123456789-2026-11-24",
        "account": {
            "other": "000123456789",
            "kind": "CACC",
            "currency": "USD",
            "servicer": {"clearing_system": "USABA", "member_id": "121042882"},
        },
        "reference": "2026110200001",
        "index": 0,
        "amount": {"value": Decimal("1500.25"), "currency": "USD"},
        "direction": "credit",
        "signed": {"value": Decimal("1500.25"), "currency": "USD"},
        "reversal": False,
        "status": "BOOK",
        "booking_date": "2026-11-02",
        "value_date": "",
        "bank_reference": "",
        "bank_transaction_code": "CREDIT",
        "transactions": [
            {
                "end_to_end_id": "",
                "instruction_id": "",
                "transaction_id": "2026110200001",
                "cheque_number": "",
                "amount": {"value": Decimal("1500.25"), "currency": "USD"},
                "counterparty": {"name": "CAF\xc9 & CO", "account": None},
                "remittance": {"unstructured": ["INVOICE 4711"], "structured": []},
                "return_reason": "",
            }
        ],
    }
    assert (check["direction"], check["signed"]["value"], check["value_date"]) == (
        "debit",
        Decimal("-250.10"),
        "2026-11-01",
    )
    assert check["transactions"][0]["cheque_number"] == "1024"
    assert transfer["transactions"][0]["counterparty"] == {"name": "SUPPLIER LTD", "account": {"other": "000987654321"}}
    assert (card["amount"]["currency"], card["account"]["kind"]) == ("EUR", "CARD")
    assert not [flaw for body in (first, check, transfer, card) for flaw in MODELS["entry"](body)]


@pytest.mark.parametrize("data", [PAGE, XML], ids=["sgml", "xml"])
def test_statements(data: bytes) -> None:
    account, card = (part.body for part in read(data, "statements"))
    assert (account["from"], account["to"]) == ("2026-11-01T00:00:00-05:00", "2026-11-24T00:00:00-05:00")
    assert account["closing"] == {
        "amount": {"value": Decimal("10250.15"), "currency": "USD"},
        "date": "2026-11-24",
        "type": "CLBD",
    }
    assert [balance["type"] for balance in account["balances"]] == ["CLBD", "CLAV"]
    assert (account["entries"], card["entries"]) == (3, 1)
    assert account["id"] == read(data)[0].body["statement_id"]
    assert not [flaw for body in (account, card) for flaw in MODELS["statement"](body)]


@pytest.mark.parametrize("data", [PAGE, XML], ids=["sgml", "xml"])
def test_inspection_counts_as_an_independent_count_does(data: bytes) -> None:
    found = inspected(data)
    amounts = [Decimal(text.replace(",", ".")) for text in re.findall(r"<TRNAMT>([^<\s]+)", data.decode("cp1252"))]
    totals = [total for document in found.documents for total in document.totals]
    assert (found.format, found.kind, found.findings) == ("ofx", "statement", ())
    assert sum(total.count for total in totals) == len(amounts)
    assert sum(total.credit or 0 for total in totals) == sum(a for a in amounts if a > 0)
    assert sum(total.debit or 0 for total in totals) == -sum(a for a in amounts if a < 0)
    assert OfxSpec.detect(data[:4096], "x") > 0.9


def test_an_id_that_stands_twice() -> None:
    data = PAGE.replace(b"2026110300001", b"2026110200001")
    (bad,) = (part.error for part in read(data) if part.error)
    assert bad.code == "VAL859"
    assert bad.place == f"line {SGML[: SGML.index('<TRNTYPE>CHECK')].count(chr(10))}, STMTTRN"
    assert [part.error for part in read(data, duplicates="keep")] == [None] * 4
    assert [finding.code for finding in inspected(data).findings] == ["VAL859"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<TRNAMT>1500.25", "<TRNAMT>1,500.25", "VAL858"),
        ("<TRNAMT>1500.25", "<TRNAMT>1500.255", "VAL858"),
        ("<TRNAMT>1500.25", "", "VAL861"),
        ("<FITID>2026110200001", "", "VAL861"),
        ("<DTPOSTED>20261103", "<DTPOSTED>20260230", "VAL860"),
        ("<DTPOSTED>20261103", "<DTPOSTED>20261103250000", "VAL860"),
        ("<DTPOSTED>20261103", "<DTPOSTED>20261103[+99:X]", "VAL860"),
        ("<DTPOSTED>20261103", "<DTPOSTED>3.11.2026", "VAL860"),
    ],
)
def test_a_bad_transaction_is_refused_alone(old: str, new: str, code: str) -> None:
    assert old in SGML
    for data in (SGML.replace(old, new).encode("cp1252"), as_xml(SGML.replace(old, new)).encode()):
        parts = read(data)
        assert [part.error.code for part in parts if part.error] == [code]
        assert len(parts) == 4
        assert [finding.code for finding in inspected(data).findings] == [code]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "VAL302"),
        (b"  \n", "VAL302"),
        (b"hello", "VAL855"),
        (b"<html></html>", "VAL855"),
        (b"<?xml version='1.0'?><html></html>", "VAL855"),
        (PAGE[:-8], "VAL855"),
        (PAGE.replace(b"<MEMO>INV", b"< MEMO>INV"), "VAL855"),
        (XML[:-8], "VAL401"),
        (XML.replace(b"</STMTTRN>", b"</STMTRN>"), "VAL400"),
        (PAGE.replace(b"<CURDEF>USD\n", b""), "VAL861"),
        (PAGE.replace(b"<ACCTID>000123456789", b""), "VAL861"),
        (PAGE.replace(b"CHARSET:1252", b"CHARSET:KLINGON"), "VAL863"),
        (PAGE.replace(b"ENCODING:USASCII", b"ENCODING:UTF-8"), "VAL306"),
        (b"<!DOCTYPE OFX [<!ENTITY x 'y'>]>" + PAGE, "SEC100"),
        (PAGE.replace(b"<OFX>", b"<OFX><!DOCTYPE x>"), "SEC100"),
        (XML.replace(b"<OFX>", b"<!DOCTYPE OFX [<!ENTITY x 'y'>]><OFX>"), "SEC100"),
        (b"<OFX>" + b"<A>" * 100, "SEC101"),
        (b"<OFX><SIGNONMSGSRSV1></SIGNONMSGSRSV1></OFX>", "VAL856"),
        (b"<OFX><STATUS><CODE>15500<SEVERITY>ERROR</STATUS></OFX>", "VAL857"),
    ],
)
def test_the_file_is_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code
    assert code in {finding.code for finding in inspected(data).findings}


def test_what_the_route_says() -> None:
    utf8 = SGML.encode()
    assert read(utf8)[0].body["transactions"][0]["counterparty"]["name"] != "CAF\xc9 & CO"
    assert read(utf8, encoding="utf-8")[0].body["transactions"][0]["counterparty"]["name"] == "CAF\xc9 & CO"
    assert refused(PAGE, max_size=100).code == "SEC102"
    assert refused(PAGE, "rows").code == "VAL301"
    with pytest.raises(Rejected, match="VAL864"):
        OfxSpec().build().write([], io.BytesIO(), WriteContext("0" * 32, 0))
    header = SGML.replace("\n", "", 9).encode("cp1252")
    assert len(read(header)) == 4, "a header on one line"


def test_two_statements_of_one_account_and_period_have_different_ids() -> None:
    begin, end = PAGE.index(b"<STMTTRNRS>"), PAGE.index(b"</BANKMSGSRSV1>")
    data = PAGE[:end] + PAGE[begin:end] + PAGE[end:]
    names = [part.body["id"] for part in read(data, "statements")]
    assert len(names) == len(set(names)) == 3
    assert {part.body["statement_id"] for part in read(data)} == set(names)


def test_an_empty_field_without_end_tag_takes_nothing_of_what_follows() -> None:
    data = PAGE.replace(b"<TRNTYPE>CHECK", b"<MEMO>\n<TRNTYPE>CHECK")
    assert [part.body for part in read(data)] == [part.body for part in read(PAGE)]


def test_an_iban_is_an_iban() -> None:
    data = PAGE.replace(b"000123456789", b"DE89 3704 0044 0532 0130 00")
    assert read(data)[0].body["account"]["iban"] == "DE89370400440532013000"


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.sampled_from([PAGE, XML]), st.integers(0, len(XML)), st.integers(0, 40), st.binary(max_size=6)
        ).map(lambda x: x[0][: x[1]] + x[3] + x[0][x[1] + x[2] :]),
    ),
    st.sampled_from(["entries", "statements"]),
)
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes, each: str) -> None:
    inspected(data)
    try:
        read(data, each)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right
