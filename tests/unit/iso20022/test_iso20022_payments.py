"""Reading pain.001 and pain.002: identifiers that answers are matched by, control totals, all levels of status."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from iso_documents import IBAN, NAMESPACE, OTHER_IBAN, block, pain001, payment, read, transaction, written

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import PaymentInstruction, PaymentStatus
from transforms.iso20022 import Iso20022Spec


def test_what_was_written_is_read_back_with_the_identifiers_that_a_bank_answers_to() -> None:
    sent = payment(
        purpose="SUPP",
        category_purpose="SUPP",
        local_instrument="INST",
        remittance={"unstructured": [], "structured": [{"reference": "RF18539007547034", "type": "SCOR"}]},
        creditor={
            "name": "Supplier",
            "account": {"iban": OTHER_IBAN, "currency": "EUR"},
            "agent": {"bic": "ABNANL2A"},
            "address": {
                "country": "NL",
                "town": "Delft",
                "street": "Markt",
                "building": "1",
                "postcode": "2611",
                "lines": ["b"],
            },
        },
    )
    (part,) = read(written([sent]))
    assert part.body == {
        **{k: v for k, v in sent.items() if k != "invoice"},
        "invoice": "",
        "message_id": "0123456789abcdef0123456789abcdef",
        "payment_information_id": part.body["payment_information_id"],
        "instruction_id": "P-1",
        "uetr": part.body["uetr"],
    }
    assert len(part.body["payment_information_id"]) == 32
    assert MODELS["payment"](part.body) == ()
    PaymentInstruction.model_validate(part.body)
    assert written([part.body]) == written([sent])


def test_control_totals_that_are_right_or_not_told_pass() -> None:
    two = [transaction("10.00"), transaction("0.10")]
    assert len(read(pain001([block(two, "2", "10.10"), block(two[:1], "1", "10")], "3", "20.10"))) == 3
    assert len(read(pain001([block(two, "", "")], "", ""))) == 2


@pytest.mark.parametrize(
    ("inner", "outer", "code", "reason", "place"),
    [
        (("2", "10.11"), ("2", "10.10"), "VAL423", "AM10", "PmtInf 1"),
        (("2", "10.10"), ("2", "10.09"), "VAL423", "AM10", "GrpHdr"),
        (("2", "10.10"), ("2", "x"), "VAL423", "AM10", "GrpHdr"),
        (("3", "10.10"), ("2", "10.10"), "VAL422", "AM18", "PmtInf 1"),
        (("2", "10.10"), ("1", "10.10"), "VAL422", "AM18", "GrpHdr"),
        (("2", "10.10"), ("two", "10.10"), "VAL422", "AM18", "GrpHdr"),
    ],
)
def test_control_totals_off_by_one_refuse_the_file(inner: Any, outer: Any, code: str, reason: str, place: str) -> None:
    text = pain001([block([transaction("10.00"), transaction("0.10")], *inner)], *outer)
    with pytest.raises(Rejected) as caught:
        read(text)
    assert (caught.value.code, caught.value.reason) == (code, reason)
    assert place in caught.value.place
    if outer[1] == "10.09" or inner[1] == "10.11":
        assert "by 0.01" in caught.value.message or "by -0.01" in caught.value.message


def test_a_bad_transaction_is_an_error_of_its_own_and_counts_as_far_as_it_can_be_read() -> None:
    text = pain001([block([transaction("10.001"), transaction("1.00", "JPY")], "2", "11.001")], "2", "11.001")
    first, second = read(text)
    assert first.error is not None
    assert (first.error.code, first.error.reason) == ("VAL411", "AM12")
    assert second.body["amount"] == {"value": Decimal("1.00"), "currency": "JPY"}
    with pytest.raises(Rejected, match="VAL423"):
        read(pain001([block([transaction("x"), transaction("1.00")], "2", "1.00")], "2", "1.00"))


def test_an_impossible_execution_date_refuses_the_file() -> None:
    text = pain001([block([transaction()], "1", "10")], "1", "10").replace(b"2026-11-24", b"2026-02-30")
    with pytest.raises(Rejected, match=r"VAL413.*PmtInf 1"):
        read(text)


def test_older_versions_and_equivalent_amounts_are_read() -> None:
    text = pain001([block([transaction()], "1", "10")], "1", "10").replace(b"pain.001.001.09", b"pain.001.001.03")
    text = text.replace(b"<ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt>", b"<ReqdExctnDt>2026-11-24</ReqdExctnDt>")
    text = text.replace(b"BICFI", b"BIC").replace(
        b'<InstdAmt Ccy="EUR">10.00</InstdAmt>',
        b'<EqvtAmt><Amt Ccy="EUR">10.00</Amt><CcyOfTrf>USD</CcyOfTrf></EqvtAmt>',
    )
    (part,) = read(text)
    assert part.body["amount"] == {"value": Decimal("10.00"), "currency": "EUR"}
    assert (part.body["execution_date"], part.body["debtor"]["agent"]) == ("2026-11-24", {"bic": "COBADEFFXXX"})
    assert part.body["debtor"]["account"] == {"iban": IBAN}


def pain002(inner: str, version: str = "10") -> bytes:
    return (
        f'<Document xmlns="{NAMESPACE}pain.002.001.{version}"><CstmrPmtStsRpt><GrpHdr><MsgId>R1</MsgId>'
        f"<CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr>{inner}</CstmrPmtStsRpt></Document>"
    ).encode()


def group(status: str = "", reason: str = "") -> str:
    code = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    told = f"<GrpSts>{status}</GrpSts>" if status else ""
    name = "<OrgnlMsgNmId>pain.001</OrgnlMsgNmId>"
    return f"<OrgnlGrpInfAndSts><OrgnlMsgId>M1</OrgnlMsgId>{name}{told}{code}</OrgnlGrpInfAndSts>"


def transaction_status(end_to_end: str, status: str, reasons: str = "") -> str:
    told = f"<TxSts>{status}</TxSts>" if status else ""
    ids = f"<OrgnlInstrId>I</OrgnlInstrId><OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>"
    return f"<TxInfAndSts>{ids}{told}{reasons}</TxInfAndSts>"


def block_status(inner: str, status: str = "") -> str:
    told = f"<PmtInfSts>{status}</PmtInfSts>" if status else ""
    return f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>P1</OrgnlPmtInfId>{told}{inner}</OrgnlPmtInfAndSts>"


def test_all_three_levels_of_status_come_from_the_bottom_up() -> None:
    reasons = (
        "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>closed</AddtlInf><AddtlInf>since May</AddtlInf></StsRsnInf>"
        "<StsRsnInf><Rsn><Prtry>X9</Prtry></Rsn></StsRsnInf>"
    )
    inner = group("PART", "NARR") + block_status(transaction_status("E1", "RJCT", reasons), "PART")
    parts = read(pain002(inner + block_status(transaction_status("E2", "RVNM"))))
    common = {"type": "payment-status", "report_id": "R1", "original_message_id": "M1"}
    common["original_message_name"] = "pain.001"
    none = {"original_payment_information_id": "", "original_end_to_end_id": "", "original_instruction_id": ""}
    of_one = {"original_payment_information_id": "P1", "original_end_to_end_id": "E1", "original_instruction_id": "I"}
    assert [part.body for part in parts] == [
        {**common, **of_one, "level": "transaction", "status": "RJCT", "reason": "AC04"}
        | {"additional": ["X9", "closed", "since May"]},
        {**common, **none, "level": "payment-information", "status": "PART", "reason": "", "additional": []}
        | {"original_payment_information_id": "P1"},
        {**common, **of_one, "original_end_to_end_id": "E2", "level": "transaction", "status": "RVNM", "reason": ""}
        | {"additional": [], "verification": "no-match"},
        {**common, **none, "level": "group", "status": "PART", "reason": "NARR", "additional": []},
    ]
    for part in parts:
        assert MODELS["payment-status"](part.body) == ()
        PaymentStatus.model_validate(part.body)


def test_a_transaction_without_a_status_inherits_the_nearest_above() -> None:
    parts = read(
        pain002(
            group("ACCP")
            + block_status(transaction_status("E1", ""), "RJCT")
            + block_status(transaction_status("E2", ""))
        )
    )
    assert [(p.body["level"], p.body["status"]) for p in parts] == [
        ("transaction", "RJCT"),
        ("payment-information", "RJCT"),
        ("transaction", "ACCP"),
        ("group", "ACCP"),
    ]
    (part,) = read(pain002(group() + block_status(transaction_status("E1", ""))))
    assert part.error is not None
    assert part.error.code == "VAL415"


def test_a_report_on_the_group_alone_is_one_status() -> None:
    (part,) = read(pain002(group("RJCT", "FF01")))
    assert (part.body["level"], part.body["status"], part.body["reason"]) == ("group", "RJCT", "FF01")
    assert read(pain002(group())) == []


def test_the_head_names_what_the_report_answers() -> None:
    head = Iso20022Spec().build().read(io.BytesIO(pain002(group("ACTC")))).head
    assert (head["message_id"], head["original_message_id"], head["original_message_name"]) == ("R1", "M1", "pain.001")


def test_the_layout_before_version_3_is_read() -> None:
    parts = read(pain002(group("PART") + transaction_status("E1", "RJCT") + transaction_status("E2", "ACSC"), "02"))
    assert [(p.body["level"], p.body["status"]) for p in parts] == [
        ("transaction", "RJCT"),
        ("transaction", "ACSC"),
        ("group", "PART"),
    ]


def test_a_large_report_is_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 700)
    inner = "".join(transaction_status(f"E{n}", "RJCT") for n in range(100))
    parts = read(pain002(group("PART") + block_status(inner, "PART")))
    assert [p.body["original_end_to_end_id"] for p in parts[:-2]] == [f"E{n}" for n in range(100)]
    assert {p.body["original_payment_information_id"] for p in parts[:-1]} == {"P1"}
