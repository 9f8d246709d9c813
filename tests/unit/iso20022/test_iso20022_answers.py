"""What comes back and what is called back: returns, requests to cancel or reverse, answers, verification of payee."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from iso_documents import IBAN, NAMESPACE, OTHER_IBAN, read

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import MODEL_TYPES
from transforms.iso20022 import Iso20022Spec

ASSIGNMENT = (
    "<Assgnmt><Id>A1</Id><Assgnr><Pty><Nm>ACME</Nm></Pty></Assgnr>"
    "<Assgne><Agt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></Agt></Assgne>"
    "<CreDtTm>2026-11-20T18:00:00</CreDtTm></Assgnmt>"
)
REASON = "<{0}><Rsn><Cd>DUPL</Cd></Rsn><AddtlInf>twice</AddtlInf><AddtlInf>by mistake</AddtlInf></{0}>"
WHOLE = "<OrgnlMsgId>M1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"


def document(message: str, root: str, inner: str) -> bytes:
    return f'<Document xmlns="{NAMESPACE}{message}"><{root}>{inner}</{root}></Document>'.encode()


def bodies(content: bytes) -> list[dict[str, Any]]:
    parts = read(content)
    found = [part.body for part in parts]
    assert all(part.error is None for part in parts)
    for body in found:
        assert MODELS[body["type"]](body) == ()
        MODEL_TYPES[body["type"]].model_validate(body)
    return found


def pick(body: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(body.get(name) for name in names)


def request(end_to_end: str) -> str:
    return (
        f"<TxInf><CxlId>C-{end_to_end}</CxlId><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>"
        f'<OrgnlInstdAmt Ccy="EUR">10.00</OrgnlInstdAmt>{REASON.format("CxlRsnInf")}</TxInf>'
    )


def test_a_request_to_cancel_payments_of_a_block() -> None:
    block = f"<OrgnlPmtInfAndCxl><OrgnlPmtInfId>P1</OrgnlPmtInfId>{request('E1')}{request('E2')}</OrgnlPmtInfAndCxl>"
    group = f"<OrgnlGrpInfAndCxl>{WHOLE}</OrgnlGrpInfAndCxl>"
    text = document("camt.055.001.08", "CstmrPmtCxlReq", f"{ASSIGNMENT}<Undrlyg>{group}{block}</Undrlyg>")
    first, second = bodies(text)
    assert first == {
        "type": "cancellation",
        "action": "cancel",
        "level": "transaction",
        "id": "C-E1",
        "message_id": "A1",
        "assigner": {"name": "ACME"},
        "assignee": {"bic": "COBADEFFXXX"},
        "original_message_id": "M1",
        "original_message_name": "pain.001.001.09",
        "original_payment_information_id": "P1",
        "original_end_to_end_id": "E1",
        "amount": {"value": Decimal("10.00"), "currency": "EUR"},
        "reason": "DUPL",
        "additional": ["twice", "by mistake"],
    }
    assert second["original_end_to_end_id"] == "E2"


def test_a_whole_message_or_block_is_cancelled_as_such() -> None:
    whole = f"<Undrlyg><OrgnlGrpInfAndCxl>{WHOLE}<GrpCxl>true</GrpCxl></OrgnlGrpInfAndCxl></Undrlyg>"
    block = "<OrgnlPmtInfAndCxl><OrgnlPmtInfId>P1</OrgnlPmtInfId><PmtInfCxl>true</PmtInfCxl></OrgnlPmtInfAndCxl>"
    rest = f"<Undrlyg><OrgnlGrpInfAndCxl>{WHOLE}</OrgnlGrpInfAndCxl>{block}</Undrlyg>"
    found = bodies(document("camt.055.001.08", "CstmrPmtCxlReq", ASSIGNMENT + whole + rest))
    assert [pick(b, "level", "original_message_id", "original_payment_information_id") for b in found] == [
        ("group", "M1", None),
        ("payment-information", "M1", "P1"),
    ]


def test_a_request_between_banks_has_its_transactions_in_no_block() -> None:
    ids = "<OrgnlTxId>T1</OrgnlTxId><OrgnlUETR>0a1b2c3d-0000-4000-8000-000000000001</OrgnlUETR>"
    one = f"<TxInf><CxlId>C1</CxlId><OrgnlGrpInf>{WHOLE}</OrgnlGrpInf>{ids}{REASON.format('CxlRsnInf')}</TxInf>"
    (body,) = bodies(document("camt.056.001.08", "FIToFIPmtCxlReq", f"{ASSIGNMENT}<Undrlyg>{one}</Undrlyg>"))
    assert pick(body, "level", "original_message_id", "original_transaction_id", "reason") == (
        "transaction",
        "M1",
        "T1",
        "DUPL",
    )


def test_reversals_of_some_collections_and_of_all() -> None:
    header = "<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm><NbOfTxs>1</NbOfTxs>{}</GrpHdr>"
    group = f"<OrgnlGrpInf>{WHOLE}</OrgnlGrpInf>"
    one = (
        '<TxInf><RvslId>V1</RvslId><OrgnlEndToEndId>E1</OrgnlEndToEndId><OrgnlInstdAmt Ccy="EUR">10.00</OrgnlInstdAmt>'
        f'<RvsdInstdAmt Ccy="EUR">4.00</RvsdInstdAmt>{REASON.format("RvslRsnInf")}</TxInf>'
    )
    block = f"<OrgnlPmtInfAndRvsl><OrgnlPmtInfId>P1</OrgnlPmtInfId>{one}</OrgnlPmtInfAndRvsl>"
    (body,) = bodies(document("pain.007.001.08", "CstmrPmtRvsl", header.format("") + group + block))
    assert pick(body, "action", "level", "id", "original_message_id", "original_payment_information_id") == (
        "reverse",
        "transaction",
        "V1",
        "M1",
        "P1",
    )
    assert (body["amount"]["value"], body["reversed_amount"]["value"]) == (Decimal(10), Decimal(4))
    whole = header.format("<GrpRvsl>true</GrpRvsl>") + group
    (body,) = bodies(document("pain.007.001.08", "CstmrPmtRvsl", whole))
    assert pick(body, "action", "level", "original_message_id") == ("reverse", "group", "M1")


def answered(end_to_end: str, status: str) -> str:
    reason = "<CxlStsRsnInf><Rsn><Cd>LEGL</Cd></Rsn></CxlStsRsnInf>" if status == "RJCR" else ""
    of = f"<OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>"
    return f"<TxInfAndSts>{of}<TxCxlSts>{status}</TxCxlSts>{reason}</TxInfAndSts>"


def test_an_answer_to_a_request_speaks_of_payments_then_of_the_case() -> None:
    case = "<RslvdCase><Id>CASE1</Id><Cretr><Pty><Nm>ACME</Nm></Pty></Cretr></RslvdCase>"
    block = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>P1</OrgnlPmtInfId>{answered('E1', 'ACCR')}</OrgnlPmtInfAndSts>"
    group = f"<OrgnlGrpInfAndSts>{WHOLE}</OrgnlGrpInfAndSts>"
    details = f"<CxlDtls>{group}{block}{answered('E2', 'RJCR')}</CxlDtls>"
    text = document("camt.029.001.09", "RsltnOfInvstgtn", f"{ASSIGNMENT}{case}<Sts><Conf>PECR</Conf></Sts>{details}")
    found = bodies(text)
    names = ("level", "status", "outcome", "reason", "original_message_id", "original_end_to_end_id")
    assert [pick(body, *names) for body in found] == [
        ("transaction", "ACCR", "cancelled", "", "M1", "E1"),
        ("transaction", "RJCR", "refused", "LEGL", "M1", "E2"),
        ("case", "PECR", "partly", "", None, None),
    ]
    assert found[0]["case"] == {"id": "CASE1", "issuer": "ACME"}
    assert found[0]["original_payment_information_id"] == "P1"
    (body,) = bodies(document("camt.029.001.09", "RsltnOfInvstgtn", f"{ASSIGNMENT}<Sts><Conf>UWFW</Conf></Sts>"))
    assert pick(body, "level", "outcome", "report_id") == ("case", "pending", "A1")


def test_an_answer_without_a_status_is_an_error_of_its_own() -> None:
    one = "<CxlDtls><TxInfAndSts><OrgnlEndToEndId>E1</OrgnlEndToEndId></TxInfAndSts></CxlDtls>"
    (part,) = read(document("camt.029.001.09", "RsltnOfInvstgtn", ASSIGNMENT + one))
    assert part.error is not None
    assert (part.error.code, part.place) == ("VAL415", "line 1, CxlDtls 1")


def returns(count: str = "1", amount: str = "10.00") -> bytes:
    reason = (
        "<RtrRsnInf><Orgtr><Nm>Payee bank</Nm></Orgtr><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>closed</AddtlInf></RtrRsnInf>"
    )
    sides = (
        f"<OrgnlTxRef><Dbtr><Pty><Nm>ACME</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
        f"<Cdtr><Pty><Nm>Supplier</Nm></Pty></Cdtr><CdtrAcct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></CdtrAcct></OrgnlTxRef>"
    )
    header = f"<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs></GrpHdr>"
    one = (
        f'<TxInf><RtrId>X1</RtrId><OrgnlEndToEndId>E1</OrgnlEndToEndId><OrgnlIntrBkSttlmAmt Ccy="EUR">12.00'
        f'</OrgnlIntrBkSttlmAmt><RtrdIntrBkSttlmAmt Ccy="EUR">{amount}</RtrdIntrBkSttlmAmt>'
        f"<IntrBkSttlmDt>2026-11-21</IntrBkSttlmDt>{reason}{sides}</TxInf>"
    )
    return document("pacs.004.001.09", "PmtRtr", f"{header}<OrgnlGrpInf>{WHOLE}</OrgnlGrpInf>{one}")


def test_a_return_says_what_comes_back_and_why() -> None:
    (body,) = bodies(returns())
    assert pick(body, "id", "message_id", "original_message_id", "original_end_to_end_id") == ("X1", "R1", "M1", "E1")
    assert pick(body, "reason", "additional", "originator") == ("AC04", ["closed"], "Payee bank")
    assert (body["amount"]["value"], body["original_amount"]["value"]) == (Decimal(10), Decimal(12))
    assert body["creditor"] == {"name": "Supplier", "account": {"iban": OTHER_IBAN}}
    with pytest.raises(Rejected, match="VAL422"):
        read(returns(count="2"))
    part, *_ = read(returns(amount="10.001"))
    assert part.error is not None
    assert part.error.code == "VAL411"


def test_a_payment_between_banks_is_a_payment_with_what_is_settled() -> None:
    header = (
        "<GrpHdr><MsgId>B1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm><NbOfTxs>1</NbOfTxs><CtrlSum>9.00</CtrlSum>"
        "<IntrBkSttlmDt>2026-11-24</IntrBkSttlmDt></GrpHdr>"
    )
    one = (
        "<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId><TxId>T1</TxId></PmtId>"
        '<IntrBkSttlmAmt Ccy="EUR">9.00</IntrBkSttlmAmt><InstdAmt Ccy="USD">10.00</InstdAmt>'
        '<XchgRate>0.92</XchgRate><ChrgBr>SHAR</ChrgBr><ChrgsInf><Amt Ccy="EUR">0.20</Amt><Agt><FinInstnId>'
        "<BICFI>ABNANL2A</BICFI></FinInstnId></Agt></ChrgsInf>"
        f"<Dbtr><Nm>ACME</Nm></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
        f"<Cdtr><Nm>Supplier</Nm></Cdtr><CdtrAcct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></CdtrAcct></CdtTrfTxInf>"
    )
    (body,) = bodies(document("pacs.008.001.08", "FIToFICstmrCdtTrf", header + one))
    assert (body["amount"], body["settled"]["value"]) == ({"value": Decimal(10), "currency": "USD"}, Decimal(9))
    assert pick(body, "transaction_id", "charge_bearer", "execution_date") == ("T1", "SHAR", "2026-11-24")
    assert body["exchange"] == {"rate": Decimal("0.92")}
    assert body["charges"] == [{"amount": {"value": Decimal("0.20"), "currency": "EUR"}, "agent": {"bic": "ABNANL2A"}}]
    found = Iso20022Spec.inspect(io.BytesIO(document("pacs.008.001.08", "FIToFICstmrCdtTrf", header + one)))
    assert [(d.id, [(t.currency, t.count, t.amount) for t in d.totals]) for d in found.documents] == [
        ("B1", [("EUR", 1, Decimal(9))])
    ]


@pytest.mark.parametrize(
    ("level", "status", "meaning"),
    [
        ("group", "RCVC", "match"),
        ("group", "RCVM", "mixed"),
        ("group", "RVNC", "incomplete"),
        ("transaction", "RVNA", "not-possible"),
        ("transaction", "RVNM", "no-match"),
        ("transaction", "RVMC", "close-match"),
        ("transaction", "RCVC", "match"),
        ("transaction", "ACSP", None),
    ],
)
def test_results_of_the_verification_of_payee_have_a_meaning(level: str, status: str, meaning: str | None) -> None:
    told = f"<GrpSts>{status}</GrpSts>" if level == "group" else ""
    one = f"<TxInfAndSts><OrgnlEndToEndId>E1</OrgnlEndToEndId><TxSts>{status}</TxSts></TxInfAndSts>"
    block = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>P1</OrgnlPmtInfId>{one}</OrgnlPmtInfAndSts>"
    inner = "<GrpHdr><MsgId>R1</MsgId></GrpHdr>"
    inner += f"<OrgnlGrpInfAndSts>{WHOLE}{told}</OrgnlGrpInfAndSts>{block if level == 'transaction' else ''}"
    (body,) = bodies(document("pain.002.001.14", "CstmrPmtStsRpt", inner))
    assert pick(body, "level", "status", "verification") == (level, status, meaning)


def test_a_status_between_banks_names_the_message_it_is_of() -> None:
    one = (
        f"<TxInfAndSts><OrgnlGrpInf>{WHOLE}</OrgnlGrpInf><OrgnlTxId>T1</OrgnlTxId><TxSts>RJCT</TxSts>"
        "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf></TxInfAndSts>"
    )
    text = document("pacs.002.001.10", "FIToFIPmtStsRpt", f"<GrpHdr><MsgId>R1</MsgId></GrpHdr>{one}")
    (body,) = bodies(text)
    names = ("status", "reason", "original_message_id", "original_transaction_id")
    assert pick(body, *names) == ("RJCT", "AC04", "M1", "T1")


def test_inspection_counts_what_is_asked_for_by_original_message() -> None:
    block = f"<OrgnlPmtInfAndCxl><OrgnlPmtInfId>P1</OrgnlPmtInfId>{request('E1')}{request('E2')}</OrgnlPmtInfAndCxl>"
    group = f"<OrgnlGrpInfAndCxl>{WHOLE}</OrgnlGrpInfAndCxl>"
    text = document("camt.055.001.08", "CstmrPmtCxlReq", f"{ASSIGNMENT}<Undrlyg>{group}{block}</Undrlyg>")
    found = Iso20022Spec.inspect(io.BytesIO(text))
    assert (found.format, found.kind, found.findings) == ("camt.055.001.08", "cancellation", ())
    assert [(d.id, [(t.currency, t.count, t.amount) for t in d.totals]) for d in found.documents] == [
        ("M1", [("EUR", 2, Decimal(20))])
    ]
    wrong = Iso20022Spec.inspect(io.BytesIO(returns(count="2")))
    assert [f.code for f in wrong.findings if f.severity == "error"][-1:] == ["VAL422"]
    assert [t.amount for d in wrong.documents for t in d.totals] == [Decimal(10)]


def _told(end_to_end: str, status: str, reason: str = "") -> str:
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    return f"<TxInfAndSts><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId><TxSts>{status}</TxSts>{why}</TxInfAndSts>"


def _block(name: str, status: str, *transactions: str) -> str:
    told = f"<PmtInfSts>{status}</PmtInfSts>" if status else ""
    return f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{name}</OrgnlPmtInfId>{told}{''.join(transactions)}</OrgnlPmtInfAndSts>"


def test_a_status_from_above_names_whom_the_report_tells_something_else() -> None:
    group = f"<OrgnlGrpInfAndSts>{WHOLE}<GrpSts>ACSC</GrpSts></OrgnlGrpInfAndSts>"
    blocks = (
        _block("P1", "ACSC", _told("E1", "RJCT", "AC04"), _told("E2", "ACSC"), _told("", "PDNG")),
        _block("P2", "RJCT", _told("E3", "RJCT"), _told("E4", "RJCT", "AM04")),
        _block("P3", "", _told("E5", "PDNG")),
    )
    head = "<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr>"
    found = bodies(document("pain.002.001.10", "CstmrPmtStsRpt", f"{head}{group}{''.join(blocks)}"))

    above = [body for body in found if body["level"] != "transaction"]
    assert [pick(body, "level", "excepted_payments", "excepted_blocks") for body in above] == [
        ("payment-information", ["E1"], None),
        ("payment-information", ["E4"], None),
        ("group", ["E1", "E3", "E4", "E5"], ["P2"]),
    ]


def test_a_report_that_is_partly_this_partly_that_excepts_nobody() -> None:
    group = f"<OrgnlGrpInfAndSts>{WHOLE}<GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>"
    head = "<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr>"
    block = _block("P1", "PART", _told("E1", "RJCT", "AC04"))
    found = bodies(document("pain.002.001.10", "CstmrPmtStsRpt", f"{head}{group}{block}"))

    assert not {"excepted_payments", "excepted_blocks"} & {name for body in found for name in body}
