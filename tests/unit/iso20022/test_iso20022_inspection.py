"""What ``bus inspect`` tells of ISO 20022 files: counts, sums, balances; faults as findings, never as crashes."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import (
    IBAN,
    OTHER_IBAN,
    balance,
    block,
    camt053,
    details,
    entry,
    pain001,
    statement,
    transaction,
    written,
)
from iso_documents import payment as a_payment

from bus import Inspection
from transforms.iso20022 import Iso20022Spec


def inspect(content: bytes) -> Inspection:
    return Iso20022Spec.inspect(io.BytesIO(content))


def codes(inspection: Inspection, *without: str) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in inspection.findings if f.code not in without]


def totals(inspection: Inspection) -> list[Any]:
    return [[(t.currency, t.count, t.amount, t.credit, t.debit) for t in d.totals] for d in inspection.documents]


def test_a_statement_file() -> None:
    one = statement([entry("10.00"), entry("2.50", "DBIT"), entry("1.00", currency="USD")])
    two = statement([entry("5.00", "DBIT")], opening="1.00", closing="", name="S2").replace(
        "<Ntry>", balance("CLBD", "4.00", "DBIT") + "<Ntry>", 1
    )
    found = inspect(camt053(one, two))
    assert (found.format, found.kind) == ("camt.053.001.08", "statement")
    assert [(d.id, d.account) for d in found.documents] == [("S1", IBAN), ("S2", IBAN)]
    assert totals(found) == [
        [
            ("EUR", 2, Decimal("12.50"), Decimal("10.00"), Decimal("2.50")),
            ("USD", 1, Decimal("1.00"), Decimal("1.00"), Decimal(0)),
        ],
        [("EUR", 1, Decimal("5.00"), Decimal(0), Decimal("5.00"))],
    ]
    assert found.documents[0].closing is None
    assert found.documents[1].opening == {
        "amount": Decimal("1.00"),
        "currency": "EUR",
        "date": "2026-11-20",
        "type": "OPBD",
    }
    assert found.documents[1].closing is not None
    assert found.documents[1].closing["amount"] == Decimal("-4.00")
    assert codes(found) == []


def test_reports_and_notifications_have_a_kind_of_their_own() -> None:
    text = camt053(statement([entry()], opening=""))
    report = text.replace(b"053", b"052").replace(b"BkToCstmrStmt", b"BkToCstmrAcctRpt").replace(b"Stmt", b"Rpt")
    notice = (
        text.replace(b"053", b"054").replace(b"BkToCstmrStmt", b"BkToCstmrDbtCdtNtfctn").replace(b"Stmt", b"Ntfctn")
    )
    assert [(inspect(t).kind, inspect(t).format) for t in (report, notice)] == [
        ("report", "camt.052.001.08"),
        ("notification", "camt.054.001.08"),
    ]


def test_a_payment_file_has_a_document_for_each_block_and_no_signs() -> None:
    blocks = [
        block([transaction("10.00"), transaction("0.10")], "2", "10.10"),
        block([transaction("1", "JPY")], "1", "1", "P2"),
    ]
    found = inspect(pain001(blocks, "3", "11.10"))
    assert (found.format, found.kind) == ("pain.001.001.09", "payments")
    assert [(d.id, d.account, d.opening) for d in found.documents] == [("P1", IBAN, None), ("P2", IBAN, None)]
    assert totals(found) == [[("EUR", 2, Decimal("10.10"), None, None)], [("JPY", 1, Decimal(1), None, None)]]
    assert codes(found) == []


def test_what_we_write_has_no_findings() -> None:
    found = inspect(written([a_payment()] * 3))
    assert codes(found) == []
    assert totals(found) == [[("EUR", 3, Decimal("300.30"), None, None)]]


def test_direct_debits_are_counted() -> None:
    text = pain001([block([transaction("3.00")], "1", "3.00")], "1", "3.00")
    for old, new in {
        "pain.001.001.09": "pain.008.001.02",
        "CstmrCdtTrfInitn": "CstmrDrctDbtInitn",
        "CdtTrfTxInf": "DrctDbtTxInf",
        "<Amt>": "",
        "</Amt>": "",
        "DbtrAcct": "CdtrAcct",
        "ReqdExctnDt": "ReqdColltnDt",
        "<Dt>": "",
        "</Dt>": "",
    }.items():
        text = text.replace(old.encode(), new.encode())
    found = inspect(text)
    assert (found.format, found.kind, found.documents[0].account) == ("pain.008.001.02", "payments", IBAN)
    assert totals(found) == [[("EUR", 1, Decimal("3.00"), None, None)]]


def test_a_status_report_is_one_document_with_the_id_of_what_it_answers() -> None:
    worth = '<OrgnlTxRef><Amt><InstdAmt Ccy="EUR">7.00</InstdAmt></Amt></OrgnlTxRef>'
    inner = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>E</OrgnlEndToEndId><TxSts>RJCT</TxSts>{x}</TxInfAndSts>"
        for x in (worth, "", worth)
    )
    text = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt><GrpHdr><MsgId>R</MsgId>'
        "<CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>M1</OrgnlMsgId>"
        "<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts><OrgnlPmtInfAndSts>"
        f"<OrgnlPmtInfId>P</OrgnlPmtInfId>{inner}</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    ).encode()
    found = inspect(text)
    assert (found.format, found.kind, [d.id for d in found.documents]) == ("pain.002.001.10", "status", ["M1"])
    assert totals(found) == [[("", 1, Decimal(0), None, None), ("EUR", 2, Decimal("14.00"), None, None)]]
    assert codes(found) == []


@pytest.mark.parametrize(
    ("content", "code", "place", "word"),
    [
        (camt053(statement([entry("10.00")], closing="110.01")), "VAL420", "line 2, Stmt 1", "by 0.01 EUR"),
        (camt053(statement([entry("10.001")])), "VAL411", "line 2, Ntry 1", "AM12"),
        (camt053(statement([entry("x")])), "VAL410", "line 2, Ntry 1", "AM12"),
        (camt053(statement([entry(currency="eur")])), "VAL412", "line 2, Ntry 1", "AM03"),
        (camt053(statement([entry(sign="X")])), "VAL414", "line 2, Ntry 1", "FF01"),
        (camt053(statement([entry(booked="2026-02-30")])), "VAL413", "line 2, Ntry 1", "DT01"),
        (camt053(statement([])).replace(b"2026-11-20</Dt>", b"2026-02-30</Dt>"), "VAL413", "line 2, Stmt 1", "DT01"),
        (camt053(statement([entry(reversal="true")])), "VAL460", "line 2, Ntry 1", "reversal"),
        (
            camt053(statement([entry(inner=details().replace(OTHER_IBAN, IBAN[:-1] + "1"))])),
            "VAL431",
            "line 2, Ntry 1",
            "check",
        ),
        (camt053(statement([])).replace(IBAN.encode(), b"DE00"), "VAL431", "line 2, Stmt 1", "the account"),
        (camt053(statement([entry().replace("<Amt", "<Wrong/><Amt")])), "VAL405", "line 2", "Wrong"),
        (pain001([block([transaction()], "2", "10")], "1", "10"), "VAL422", "line 1, PmtInf 1", "AM18"),
        (pain001([block([transaction()], "1", "10.01")], "1", "10"), "VAL423", "line 1, PmtInf 1", "AM10"),
        (pain001([block([transaction()], "1", "10")], "2", "10"), "VAL422", "GrpHdr", "AM18"),
        (pain001([block([transaction()], "1", "10")], "1", "9.99"), "VAL423", "GrpHdr", "by -0.01"),
        (
            pain001([block([transaction()], "1", "10")], "1", "10").replace(b"-11-24", b"-02-30"),
            "VAL413",
            "line 1, PmtInf 1",
            "DT01",
        ),
        (
            camt053(statement([])).replace(b"urn:iso:std:iso:20022:tech:xsd:", b"urn:bank:"),
            "VAL461",
            "Document",
            "variant",
        ),
        (b"<E>" + camt053(statement([])).split(b"\n", 1)[1] + b"</E>", "VAL462", "Document", "inside"),
        (
            camt053(statement([])).replace(b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", b"urn:x"),
            "VAL403",
            "BkToCstmrStmt",
            "ISO",
        ),
        (camt053(statement([entry()]))[:-40], "VAL401", "line 2", "early"),
        (b"", "VAL402", "", "empty"),
        (b"<!DOCTYPE a []><a/>", "SEC100", "line 1", "type"),
        (b"<a/>", "VAL403", "root element", "Document"),
    ],
)
def test_every_fault_is_a_finding_with_its_place(content: bytes, code: str, place: str, word: str) -> None:
    found = [f for f in inspect(content).findings if f.code == code]
    assert len(found) == 1
    assert (found[0].place, word in found[0].message) == (place, True)
    assert found[0].severity == ("info" if code.startswith("VAL46") else "warning" if code == "VAL431" else "error")


def test_entries_with_faults_are_still_counted() -> None:
    found = inspect(camt053(statement([entry("1.001"), entry("x"), entry("2.00", "?"), entry("3.00", currency="?")])))
    assert totals(found) == [
        [
            ("", 1, Decimal("3.00"), Decimal("3.00"), Decimal(0)),
            ("EUR", 3, Decimal("3.001"), Decimal("1.001"), Decimal(0)),
        ]
    ]


def test_a_finding_that_repeats_is_told_some_times_and_counted() -> None:
    found = inspect(camt053(statement([entry(reversal="true") for _ in range(30)])))
    assert [f.code for f in found.findings].count("VAL460") == 25
    assert found.findings[-1].message == "and 5 more of VAL460"


def test_a_large_file_is_counted_and_validated_across_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 900)
    lines = [entry("1.00", "CRDT" if n % 2 else "DBIT") + "\n" for n in range(101)]
    lines[90] = lines[90].replace("<Sts>", "<Sts >").replace("BOOK", "TOO-LONG-FOR-A-CODE")
    found = inspect(camt053(statement(lines, closing="99.00")))
    assert totals(found) == [[("EUR", 101, Decimal(101), Decimal(50), Decimal(51))]]
    assert [(f.code, f.place) for f in found.findings] == [("VAL405", "line 92"), ("VAL420", "line 2, Stmt 1")]


@pytest.mark.parametrize(
    ("head", "least", "most"),
    [
        (camt053(statement([])), 0.99, 1.0),
        (camt053(statement([])).decode().encode("utf-16"), 0.99, 1.0),
        (b"\xef\xbb\xbf" + camt053(statement([])), 0.99, 1.0),
        (b'<p:Document xmlns:p="http://www.six-interbank-clearing.com/de/pain.001.001.03.ch.02.xsd">', 0.9, 0.98),
        (b'<BusMsg><AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02">', 0.2, 0.5),
        (b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.009.001.08">', 0.99, 1.0),
        (b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.010.001.03">', 0.0, 0.5),
        (b"<html>", 0.0, 0.1),
        (b"a;b;c\n", 0.0, 0.0),
        (b"{1:F01", 0.0, 0.0),
        (b"", 0.0, 0.0),
        (b"\x00\xff\x00", 0.0, 0.0),
    ],
)
def test_files_are_recognised_by_their_namespace(head: bytes, least: float, most: float) -> None:
    assert least <= Iso20022Spec.detect(head[:4096], "x.xml") <= most


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 1400), st.integers(0, 30))
def test_no_damage_makes_inspection_crash(noise: bytes, at: int, gone: int) -> None:
    text = camt053(statement([entry(inner=details()), entry()], closing="120.00"))
    found = inspect(text[:at] + noise + text[at + gone :])
    assert found.format.startswith(("camt.053", "camt.05", "iso20022", "pain", "camt"))


@settings(max_examples=60, deadline=None)
@given(st.text("<>/abNtryStm \"'=&;", max_size=40), st.integers(0, 1200))
def test_no_markup_makes_inspection_crash(noise: str, at: int) -> None:
    text = camt053(statement([entry(), entry()]))
    inspect(text[:at] + noise.encode() + text[at:])
