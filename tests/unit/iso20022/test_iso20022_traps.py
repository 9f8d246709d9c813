"""What translators get wrong: texts joined, details counted twice, signs, rich payments cut down, fields dropped."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from iso_documents import CONTEXT, IBAN, OTHER_IBAN, camt053, entry, payment, read, statement, written
from lxml import etree

from bus import Rejected
from transforms.canonical.models import PaymentInstruction, StatementEntry
from transforms.iso20022 import Iso20022Spec
from transforms.iso20022.elements import Elements
from transforms.iso20022.pen import TextPen


def details(*amounts: tuple[str, str]) -> str:
    inner = "".join(
        f"<TxDtls><Refs><EndToEndId>E{n}</EndToEndId></Refs>"
        f'<Amt Ccy="EUR">{value}</Amt><CdtDbtInd>{sign}</CdtDbtInd></TxDtls>'
        for n, (value, sign) in enumerate(amounts)
    )
    return f"<NtryDtls><Btch><PmtInfId>P1</PmtInfId><NbOfTxs>{len(amounts)}</NbOfTxs></Btch>{inner}</NtryDtls>"


def found_by_reading(content: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    document = Iso20022Spec().build().read(io.BytesIO(content))
    bodies = [part.body for part in document.parts("entries")]
    return bodies, [f.code for f in document.findings]


@pytest.mark.parametrize(
    ("amounts", "codes"),
    [
        ([("6.00", "CRDT"), ("4.00", "CRDT")], []),
        ([("12.00", "CRDT"), ("2.00", "DBIT")], []),
        ([("6.00", "CRDT"), ("4.01", "CRDT")], ["VAL642"]),
        ([("9.00", "CRDT")], ["VAL642"]),
    ],
)
def test_transactions_are_never_added_to_their_entry(amounts: list[tuple[str, str]], codes: list[str]) -> None:
    text = camt053(statement([entry("10.00", inner=details(*amounts))], closing="110.00"))
    (body,), findings = found_by_reading(text)
    assert body["signed"]["value"] == Decimal(10)
    assert [t["amount"]["value"] for t in body["transactions"]] == [Decimal(a) for a, _ in amounts]
    assert body["batches"] == [{"payment_information_id": "P1", "count": len(amounts)}]
    assert findings == codes
    inspected = Iso20022Spec.inspect(io.BytesIO(text))
    assert [f.code for f in inspected.findings if f.code == "VAL642"] == codes
    assert [(t.count, t.amount) for t in inspected.documents[0].totals] == [(1, Decimal(10))]
    StatementEntry.model_validate(body)


@pytest.mark.parametrize(
    ("declared", "codes"),
    [("2", []), ("3", ["VAL672"]), ("50", ["VAL672"]), ("", []), ("0000000000000002", []), ("two", [])],
)
def test_a_batch_that_declares_another_number_of_transactions_is_told(declared: str, codes: list[str]) -> None:
    batch = details(("6.00", "CRDT"), ("4.00", "CRDT")).replace("<NbOfTxs>2<", f"<NbOfTxs>{declared}<")
    text = camt053(statement([entry("10.00", inner=batch)], closing="110.00"))
    _, findings = found_by_reading(text)
    assert findings == codes
    inspected = Iso20022Spec.inspect(io.BytesIO(text)).findings
    assert [f.code for f in inspected if f.code == "VAL672"] == codes


def test_batches_of_an_entry_are_counted_together() -> None:
    two = details(("6.00", "CRDT")) + details(("3.00", "CRDT"), ("1.00", "CRDT"))
    for inner, codes in ((two, []), (two.replace("<NbOfTxs>1<", "<NbOfTxs>2<"), ["VAL672"])):
        text = camt053(statement([entry("10.00", inner=inner)], closing="110.00"))
        assert found_by_reading(text)[1] == codes
        assert [f.code for f in Iso20022Spec.inspect(io.BytesIO(text)).findings if f.code == "VAL672"] == codes


def test_a_batch_that_does_not_tell_its_transactions_is_one_entry() -> None:
    text = camt053(statement([entry("10.00", inner=details())])).replace(b"053", b"054")
    text = text.replace(b"BkToCstmrStmt", b"BkToCstmrDbtCdtNtfctn").replace(b"Stmt", b"Ntfctn")
    text = text.replace(b"BkToCstmrNtfctn", b"BkToCstmrDbtCdtNtfctn")
    (body,), findings = found_by_reading(text)
    assert (body["transactions"], body["amount"]["value"], findings) == ([], Decimal(10), [])


def test_declared_totals_that_are_not_so_are_findings() -> None:
    summary = "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries><Sum>{}</Sum></TtlNtries></TxsSummry><Ntry>"
    text = camt053(statement([entry("10.00"), entry("4.00", "DBIT")]))
    right = text.replace(b"<Ntry>", summary.format(2, "14.00").encode(), 1)
    assert found_by_reading(right)[1] == []
    for number, total in ((3, "14.00"), (2, "6.00")):
        wrong = text.replace(b"<Ntry>", summary.format(number, total).encode(), 1)
        assert found_by_reading(wrong)[1] == ["VAL643"]
        assert "VAL643" in [f.code for f in Iso20022Spec.inspect(io.BytesIO(wrong)).findings]


def test_balances_and_entries_of_two_currencies_are_said_to_prove_nothing() -> None:
    one = camt053(statement([entry("10.00")], closing="110.00"))
    assert found_by_reading(one)[1] == []
    for where in (one.find(b"<Amt Ccy"), one.rfind(b"<Amt Ccy")):  # a balance, then an entry
        two = one[:where] + one[where:].replace(b"EUR", b"USD", 1)
        assert found_by_reading(two)[1] == ["VAL646"]
        assert "VAL646" in [f.code for f in Iso20022Spec.inspect(io.BytesIO(two)).findings]


def test_free_texts_are_neither_joined_nor_cut() -> None:
    texts = ["A" * 140, "second", "third"]
    (part,) = read(written([payment(remittance={"unstructured": texts, "structured": []})]))
    assert part.body["remittance"]["unstructured"] == texts
    with pytest.raises(Rejected, match="VAL440"):
        written([payment(remittance={"unstructured": ["A" * 141], "structured": []})])


RICH = f"""<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M1</MsgId>
</GrpHdr><Stmt><Id>S1</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id><Ccy>EUR</Ccy></Acct><Ntry>
<Amt Ccy="EUR">90.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><DtTm>2026-11-20T10:00:00</DtTm></BookgDt><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd>
<SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn><Prtry><Cd>NTRF+166</Cd><Issr>DK</Issr></Prtry></BkTxCd>
<AmtDtls><InstdAmt><Amt Ccy="USD">100.00</Amt><CcyXchg><SrcCcy>USD</SrcCcy><TrgtCcy>EUR</TrgtCcy>
<XchgRate>0.91</XchgRate></CcyXchg></InstdAmt></AmtDtls><Chrgs>
<TtlChrgsAndTaxAmt Ccy="EUR">1.00</TtlChrgsAndTaxAmt><Rcrd><Amt Ccy="EUR">1.00</Amt><Br>SHAR</Br></Rcrd>
</Chrgs><NtryDtls><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><Amt Ccy="EUR">90.00</Amt>
<CdtDbtInd>CRDT</CdtDbtInd><RltdPties><Dbtr><Pty><Nm>ACME</Nm></Pty></Dbtr><Cdtr><Pty><Nm>Supplier</Nm>
<PstlAdr><Flr>3</Flr><TwnNm>Delft</TwnNm></PstlAdr><Id><OrgId><LEI>529900T8BM49AURSDO55</LEI></OrgId>
</Id></Pty></Cdtr><CdtrAcct><Id><Othr><Id>4711</Id><SchmeNm><Cd>BBAN</Cd></SchmeNm></Othr></Id>
</CdtrAcct></RltdPties><RltdAgts><CdtrAgt><FinInstnId><ClrSysMmbId><ClrSysId><Cd>USABA</Cd></ClrSysId>
<MmbId>021000021</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt></RltdAgts><RmtInf><Strd><RfrdDocInf><Tp>
<CdOrPrtry><Cd>CINV</Cd></CdOrPrtry></Tp><Nb>INV1</Nb><RltdDt>2026-11-01</RltdDt></RfrdDocInf>
<CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp><Ref>RF18539007547034</Ref></CdtrRefInf>
<AddtlRmtInf>more</AddtlRmtInf></Strd></RmtInf><RtrInf><Rsn><Cd>AC04</Cd></Rsn>
<AddtlInf>closed</AddtlInf></RtrInf></TxDtls></NtryDtls><AddtlNtryInf>Return</AddtlNtryInf></Ntry></Stmt>
</BkToCstmrStmt></Document>"""


def test_a_returned_payment_keeps_all_that_the_bank_tells() -> None:
    (body,), findings = found_by_reading(RICH.encode())
    StatementEntry.model_validate(body)
    assert findings == []
    assert (body["reversal"], body["signed"]["value"], body["booking_date"]) == (True, Decimal(90), "2026-11-20")
    assert body["bank_transaction_code"] == "PMNT/ICDT/RRTN"
    assert body["bank_code"] == {"iso": "PMNT/ICDT/RRTN", "own": "NTRF+166", "issuer": "DK"}
    assert body["amounts"]["instructed"] == {
        "amount": {"value": Decimal(100), "currency": "USD"},
        "exchange": {"rate": Decimal("0.91"), "source_currency": "USD", "target_currency": "EUR"},
    }
    assert body["charges"] == [{"amount": {"value": Decimal(1), "currency": "EUR"}, "bearer": "SHAR"}]
    assert (body["total_charges"]["value"], body["additional"]) == (Decimal(1), "Return")
    (one,) = body["transactions"]
    assert one["counterparty"] == {
        "name": "Supplier",
        "account": {"other": "4711", "scheme": "BBAN"},
        "agent": {"clearing_system": "USABA", "member_id": "021000021"},
        "address": {"floor": "3", "town": "Delft"},
        "lei": "529900T8BM49AURSDO55",
    }
    assert (one["own"]["name"], one["return_reason"], one["return_additional"]) == ("ACME", "AC04", ["closed"])
    assert one["remittance"]["structured"] == [
        {"reference": "RF18539007547034", "type": "SCOR", "additional": ["more"]},
        {"reference": "INV1", "type": "CINV", "date": "2026-11-01", "continues": True},
    ]


def test_a_plain_payment_is_the_same_by_its_form_as_by_the_fast_way() -> None:
    plain = payment(
        purpose="SUPP",
        creditor={
            "name": "O'Neill",
            "account": {"iban": OTHER_IBAN, "currency": "EUR"},
            "agent": {"bic": "ABNANL2A"},
            "address": {"street": "Markt", "building": "1", "town": "Delft", "country": "NL", "lines": ["b"]},
        },
        remittance={"unstructured": ["a", "b"], "structured": [{"reference": "R1", "type": "SCOR"}]},
    )
    elements = Elements(TextPen(str, "pain.001.001.09"))
    fast = elements.transaction(plain, "<EndToEndId>E</EndToEndId>", "100.10")
    assert elements.is_plain(plain)
    assert not elements.is_plain({**plain, "ultimate_debtor": {"name": "X"}})
    assert fast == elements.whole_transaction(plain, "<EndToEndId>E</EndToEndId>")


def test_a_rich_payment_stands_in_the_elements_that_iso_gives_it() -> None:
    rich = payment(
        ultimate_debtor={"name": "Daughter", "private_ids": [{"id": "7", "scheme": "NIDN"}]},
        intermediary_agents=[{"bic": "DEUTDEFF500", "account": {"other": "1"}}],
        transfer_currency="USD",
        exchange={"rate": Decimal("1.08"), "unit_currency": "EUR", "type": "AGRD", "contract": "FX1"},
        regulatory=[{"side": "DEBT", "details": [{"code": "123", "texts": ["goods"]}]}],
        service_level=None,
        charge_bearer=None,
        charges_account={"iban": IBAN},
        batch_booking=False,
        initiating_party={"name": "Shared services", "lei": "529900T8BM49AURSDO55"},
    )
    PaymentInstruction.model_validate({k: v for k, v in rich.items() if v is not None})
    root = etree.fromstring(written([rich]))

    def texts(path: str) -> list[str | None]:
        return [e.text for e in root.iterfind(".//" + "/".join(f"{{*}}{step}" for step in path.split("/")))]

    assert texts("UltmtDbtr/Id/PrvtId/Othr/SchmeNm/Cd") == ["NIDN"]
    assert (texts("IntrmyAgt1/FinInstnId/BICFI"), texts("IntrmyAgt1Acct/Id/Othr/Id")) == (["DEUTDEFF500"], ["1"])
    assert (texts("EqvtAmt/Amt"), texts("EqvtAmt/CcyOfTrf"), texts("InstdAmt")) == (["100.10"], ["USD"], [])
    assert (texts("XchgRateInf/XchgRate"), texts("RgltryRptg/Dtls/Inf")) == (["1.08"], ["goods"])
    assert (texts("ChrgsAcct/Id/IBAN"), texts("BtchBookg")) == ([IBAN], ["false"])
    assert texts("InitgPty/Id/OrgId/LEI") == ["529900T8BM49AURSDO55"]


def test_payments_of_one_message_have_one_initiating_party_and_blocks_their_own_settings() -> None:
    one, other = payment(initiating_party={"name": "A"}), payment(initiating_party={"name": "B"})
    with pytest.raises(Rejected, match="VAL645"):
        written([one, other])
    assert len(read(written([one, other], initiating_party="C"))) == 2
    found = etree.fromstring(written([payment(), payment(batch_booking=True), payment(method="CHK")]))
    assert [e.text for e in found.iter("{*}PmtMtd")] == ["TRF", "TRF", "CHK"]


def test_what_an_old_version_of_an_order_cannot_carry_is_told_by_field() -> None:
    lei = payment(creditor={**payment()["creditor"], "lei": "529900T8BM49AURSDO55"})
    assert b"529900T8BM49AURSDO55" in written([lei])
    with pytest.raises(Rejected) as caught:
        written([payment(), lei], message="pain.001.001.03")
    assert (caught.value.code, "payment 2" in caught.value.place, "`lei`" in caught.value.message) == (
        "VAL644",
        True,
        True,
    )
    assert b"529900T8BM49AURSDO55" not in written([lei], message="pain.001.001.03", losses="accept")


def test_debits_of_different_creditor_accounts_or_days_are_never_merged() -> None:
    def debit(**changes: Any) -> dict[str, Any]:
        return {
            "type": "direct-debit",
            "creditor": {"name": "ACME", "account": {"iban": IBAN}},
            "debtor": {"name": "Customer", "account": {"iban": OTHER_IBAN}},
            "amount": {"value": Decimal(5), "currency": "EUR"},
            "collection_date": "2026-12-01",
            "sequence_type": "RCUR",
            "mandate": {"id": "M1", "signed": "2026-01-01"},
            "creditor_scheme_id": {"id": "DE98ZZZ09999999999", "scheme": "SEPA"},
        } | changes

    second = {"name": "ACME", "account": {"iban": OTHER_IBAN}}
    bodies = [
        debit(),
        debit(),
        debit(creditor=second),
        debit(collection_date="2026-12-03"),
        debit(sequence_type="FRST"),
    ]
    content = written(bodies, message="pain.008")
    root = etree.fromstring(content)
    paths = ("CdtrAcct/Id/IBAN", "ReqdColltnDt", "PmtTpInf/SeqTp", "NbOfTxs", "CtrlSum")
    places = ["/".join(f"{{*}}{step}" for step in path.split("/")) for path in paths]
    blocks = [tuple(b.findtext(place) for place in places) for b in root.iter("{*}PmtInf")]
    assert blocks == [
        (IBAN, "2026-12-01", "RCUR", "2", "10"),
        (OTHER_IBAN, "2026-12-01", "RCUR", "1", "5"),
        (IBAN, "2026-12-03", "RCUR", "1", "5"),
        (IBAN, "2026-12-01", "FRST", "1", "5"),
    ]
    assert (root.findtext(".//{*}GrpHdr/{*}NbOfTxs"), root.findtext(".//{*}GrpHdr/{*}CtrlSum")) == ("5", "25")
    assert root.findtext(".//{*}GrpHdr/{*}MsgId") == CONTEXT.id
    assert content == written(bodies, message="pain.008")
    assert len({e.text for e in root.iter("{*}EndToEndId")}) == 5
    with pytest.raises(Rejected, match="VAL423"):
        read(content.replace(b"<CtrlSum>25</CtrlSum>", b"<CtrlSum>26</CtrlSum>"))
