"""Reading camt: canonical entries and statements, exact money, balances that have to agree."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from iso_documents import IBAN, OTHER_IBAN, balance, camt053, details, entry, read, statement

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import Statement, StatementEntry
from transforms.iso20022 import Iso20022Spec

EUR = {"currency": "EUR"}


def test_an_entry_has_every_field_of_the_canonical_model() -> None:
    (part,) = read(camt053(statement([entry("10.50", ref="R1", inner=details())])))
    assert part.body == {
        "type": "entry",
        "statement_id": "S1",
        "account": {"iban": IBAN, "currency": "EUR"},
        "reference": "R1",
        "index": 0,
        "amount": {"value": Decimal("10.50"), **EUR},
        "direction": "credit",
        "signed": {"value": Decimal("10.50"), **EUR},
        "reversal": False,
        "status": "BOOK",
        "booking_date": "2026-11-20",
        "value_date": "",
        "bank_reference": "",
        "bank_transaction_code": "PMNT/RCDT/ESCT",
        "transactions": [
            {
                "end_to_end_id": "E2E-1",
                "instruction_id": "",
                "transaction_id": "",
                "amount": {"value": Decimal("10.50"), **EUR},
                "counterparty": {"name": "Payer & Co", "account": {"iban": OTHER_IBAN}},
                "remittance": {"unstructured": ["Invoice 1"], "structured": []},
                "return_reason": "",
                "own": {"name": "Payee", "account": {"other": "4711"}},
            }
        ],
    }
    assert (part.place, part.raw, part.error) == ("line 2, Ntry 1", b"", None)
    assert MODELS["entry"](part.body) == ()
    StatementEntry.model_validate(part.body)


def test_a_statement_has_every_field_of_the_canonical_model() -> None:
    text = camt053(statement([entry("10.50"), entry("0.50", "DBIT")], closing="110.00")).replace(
        b"<CreDtTm>2026-11-20T18:00:00</CreDtTm><Acct>",
        b"<CreDtTm>2026-11-20T18:00:00</CreDtTm><FrToDt><FrDtTm>2026-11-20T00:00:00</FrDtTm>"
        b"<ToDtTm>2026-11-20T23:59:59</ToDtTm></FrToDt><Acct>",
    )
    (part,) = read(text.replace(b"<Ccy>EUR</Ccy></Acct>", b"<Ownr><Nm>ACME</Nm></Ownr></Acct>"), "statements")
    assert part.body == {
        "type": "statement",
        "kind": "statement",
        "message_id": "M1",
        "id": "S1",
        "sequence_number": 7,
        "account": {"iban": IBAN, "currency": "EUR", "owner": "ACME"},
        "from": "2026-11-20T00:00:00",
        "to": "2026-11-20T23:59:59",
        "created": "2026-11-20T18:00:00",
        "opening": {"amount": {"value": Decimal("100.00"), **EUR}, "date": "2026-11-20", "type": "OPBD"},
        "closing": {"amount": {"value": Decimal("110.00"), **EUR}, "date": "2026-11-20", "type": "CLBD"},
        "balances": [part.body["opening"], part.body["closing"]],
        "entries": 2,
    }
    assert MODELS["statement"](part.body) == ()
    Statement.model_validate(part.body)


def test_debits_and_overdrafts_have_their_sign() -> None:
    text = camt053(statement([entry("30.00", "DBIT")], opening="10.00") + "")
    text = text.replace(b"<Ntry>", balance("CLBD", "20.00", "DBIT").encode() + b"<Ntry>")
    (part,) = read(text)
    assert (part.body["direction"], part.body["signed"]["value"]) == ("debit", Decimal("-30.00"))
    (part,) = read(text, "statements")
    assert part.body["closing"]["amount"]["value"] == Decimal("-20.00")


@pytest.mark.parametrize("off", ["0.01", "-0.01", "1000000.00"])
def test_balances_that_do_not_agree_refuse_the_file_and_tell_the_difference(off: str) -> None:
    closing = Decimal("110.00") + Decimal(off)
    text = camt053(statement([entry("10.00")], closing=str(closing)))
    for each in ("entries", "statements"):
        with pytest.raises(Rejected) as caught:
            read(text, each)
        assert (caught.value.code, caught.value.reason) == ("VAL420", "AM10")
        assert f"by {off} EUR" in caught.value.message
    assert len(read(text, balances="ignore")) == 1


def test_all_parts_come_before_the_balances_are_refused() -> None:
    parts = Iso20022Spec().build().read(io.BytesIO(camt053(statement([entry()] * 3, closing="1.00")))).parts("entries")
    assert [next(parts).body["index"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Rejected, match="VAL420"):
        next(parts)


def test_only_booked_entries_of_a_camt053_count_for_the_balances() -> None:
    pending = entry("5.00", status="<Sts><Cd>PDNG</Cd></Sts>")
    text = camt053(statement([entry("10.00"), pending], closing="110.00"))
    assert [part.body["status"] for part in read(text)] == ["BOOK", "PDNG"]
    report = text.replace(b"053", b"052").replace(b"BkToCstmrStmt", b"BkToCstmrAcctRpt").replace(b"Stmt", b"Rpt")
    assert len(read(report.replace(b"110.00", b"7.00"))) == 2


def test_a_balance_that_is_not_told_proves_nothing() -> None:
    for opening, closing in (("", "1.00"), ("1.00", ""), ("", "")):
        assert len(read(camt053(statement([entry()], opening=opening, closing=closing)))) == 1
    previous = camt053(statement([entry("10.00")], closing="110.00")).replace(b"OPBD", b"PRCD")
    assert len(read(previous)) == 1
    with pytest.raises(Rejected, match="VAL420"):
        read(previous.replace(b"110.00", b"110.01"))


def test_several_statements_are_proved_each_for_itself() -> None:
    good = statement([entry("10.00")], closing="110.00")
    bad = statement([entry("10.00")], closing="110.02", name="S2")
    assert [p.body["statement_id"] for p in read(camt053(good, good.replace("S1", "S2")))] == ["S1", "S2"]
    assert [p.body["entries"] for p in read(camt053(good, statement([]), good), "statements")] == [1, 0, 1]
    with pytest.raises(Rejected, match=r"Stmt 2.*by 0\.02 EUR"):
        read(camt053(good, bad))


def test_balances_of_two_currencies_in_one_statement_are_not_mixed() -> None:
    text = camt053(statement([entry("10.00"), entry("5.00", currency="USD")], closing="110.00"))
    assert [p.body["amount"]["currency"] for p in read(text)] == ["EUR", "USD"]


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"value": "x"}, "VAL410", "AM12"),
        ({"value": ""}, "VAL410", "AM12"),
        ({"value": "-1.00"}, "VAL410", "AM12"),
        ({"value": "1E2"}, "VAL410", "AM12"),
        ({"value": "1,00"}, "VAL410", "AM12"),
        ({"value": "NaN"}, "VAL410", "AM12"),
        ({"value": "٣.00"}, "VAL410", "AM12"),
        ({"value": "1.001"}, "VAL411", "AM12"),
        ({"value": "1.001", "currency": "JPY"}, "VAL411", "AM12"),
        ({"value": "1.0001", "currency": "KWD"}, "VAL411", "AM12"),
        ({"currency": "eur"}, "VAL412", "AM03"),
        ({"currency": "ZZZ"}, "VAL412", "AM03"),
        ({"currency": ""}, "VAL412", "AM03"),
        ({"sign": "CREDIT"}, "VAL414", "FF01"),
        ({"booked": "2026-02-30"}, "VAL413", "DT01"),
        ({"booked": "30.02.2026"}, "VAL413", "DT01"),
        ({"booked": "2026-11-20X"}, "VAL413", "DT01"),
    ],
)
def test_a_bad_entry_is_an_error_of_its_own_with_its_xml(changes: Any, code: str, reason: str) -> None:
    value, sign = changes.pop("value", "1.00"), changes.pop("sign", "CRDT")
    parts = read(camt053(statement([entry(), entry(value, sign, ref="BAD", **changes), entry()])))
    assert [part.error is None for part in parts] == [True, False, True]
    error = parts[1].error
    assert error is not None
    assert (error.code, error.reason, error.place) == (code, reason, "line 2, Ntry 2")
    assert parts[1].body is None
    assert b"<NtryRef>BAD</NtryRef>" in parts[1].raw
    assert parts[2].body["index"] == 2


def test_a_bad_entry_counts_for_the_balances_as_far_as_it_can_be_read() -> None:
    decimals = camt053(statement([entry("10.005")], closing="110.005"))
    with pytest.raises(Rejected, match="VAL411"):
        read(decimals)  # the closing balance itself has too many decimals
    known = camt053(statement([entry("10.001"), entry("0.999")], closing="111.00"))
    assert [part.error is None for part in read(known)] == [False, False]
    unknown = camt053(statement([entry("x")], closing="110.00"))
    with pytest.raises(Rejected, match="VAL421"):
        read(unknown)
    assert read(unknown, balances="ignore")[0].error is not None


@pytest.mark.parametrize(
    ("value", "currency", "exact"),
    [
        ("1", "EUR", "1"),
        ("1.", "EUR", "1"),
        ("1.10000", "EUR", "1.10000"),
        (" 1.10\n", "EUR", "1.10"),
        ("1.000", "JPY", "1.000"),
        ("+2.5", "EUR", "2.5"),
        ("1.123", "KWD", "1.123"),
        ("9999999999999999.99", "EUR", "9999999999999999.99"),
        ("0.00", "EUR", "0.00"),
        ("3.00", "BGN", "3.00"),
    ],
)
def test_amounts_are_exact(value: str, currency: str, exact: str) -> None:
    (part,) = read(camt053(statement([entry(value, currency=currency)])))
    assert part.body["amount"] == {"value": Decimal(exact), "currency": currency}
    assert str(part.body["amount"]["value"]) == exact


def test_a_reversal_keeps_its_own_direction_and_the_parties_of_the_original() -> None:
    plain, back = read(camt053(statement([entry(inner=details()), entry(inner=details(), reversal="true")])))
    assert (plain.body["reversal"], plain.body["transactions"][0]["counterparty"]["name"]) == (False, "Payer & Co")
    assert (back.body["reversal"], back.body["direction"]) == (True, "credit")
    assert back.body["transactions"][0]["counterparty"] == {"name": "Payee", "account": {"other": "4711"}}


def test_a_batch_entry_keeps_its_transactions_apart_and_its_amount_once() -> None:
    inner = details("E1", '<Amt Ccy="EUR">4.00</Amt>') + details(
        "E2", '<AmtDtls><TxAmt><Amt Ccy="EUR">6.00</Amt></TxAmt></AmtDtls>'
    )
    (part,) = read(camt053(statement([entry("10.00", inner=inner + details("E3"))], closing="110.00")))
    found = [(t["end_to_end_id"], t["amount"] and str(t["amount"]["value"])) for t in part.body["transactions"]]
    assert found == [("E1", "4.00"), ("E2", "6.00"), ("E3", None)]


def test_a_return_tells_its_reason_and_reference() -> None:
    inner = details().replace("</RmtInf>", "</RmtInf><RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>")
    strd = (
        "<Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp><Ref>RF18539007547034</Ref></CdtrRefInf></Strd>"
    )
    (part,) = read(camt053(statement([entry(inner=inner.replace("</RmtInf>", strd + "</RmtInf>"))])))
    (transaction,) = part.body["transactions"]
    assert transaction["return_reason"] == "AC04"
    assert transaction["remittance"]["structured"] == [{"reference": "RF18539007547034", "type": "SCOR"}]


@pytest.mark.parametrize("version", [f"{n:02d}" for n in range(2, 13)])
def test_all_versions_are_read_alike(version: str) -> None:
    old = entry("10.00", inner=details().replace("<Pty>", "").replace("</Pty>", ""), status="<Sts>BOOK</Sts>")
    (part,) = read(camt053(statement([old], closing="110.00"), version=version))
    assert (part.body["status"], part.body["transactions"][0]["counterparty"]["name"]) == ("BOOK", "Payer & Co")


def test_other_account_numbers_and_dates_with_time() -> None:
    text = camt053(statement([entry()])).replace(f"<IBAN>{IBAN}</IBAN>".encode(), b"<Othr><Id>123</Id></Othr>")
    text = text.replace(b"<BookgDt><Dt>2026-11-20</Dt>", b"<BookgDt><DtTm>2026-11-20T23:59:59+01:00</DtTm>")
    (part,) = read(text)
    assert part.body["account"] == {"other": "123", "currency": "EUR"}
    assert part.body["booking_date"] == "2026-11-20"


def test_the_head_tells_message_and_ids_before_anything_else_is_read() -> None:
    head = Iso20022Spec().build().read(io.BytesIO(camt053(statement([])))).head
    assert head == {"message": "camt.053.001.08", "message_id": "M1", "created": "2026-11-20T18:00:00"}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [("", ""), ("camt.053", ""), ("camt.053.001.08", ""), ("camt.053.001.02", "VAL404"), ("camt.054", "VAL404")],
)
def test_the_wanted_message_is_the_only_one_that_is_read(wanted: str, code: str) -> None:
    text = camt053(statement([entry()]))
    if code:
        with pytest.raises(Rejected, match=f"{code}.*camt.053.001.08"):
            read(text, message=wanted)
    else:
        assert len(read(text, message=wanted)) == 1


def test_a_banks_own_namespace_is_read_unless_the_version_was_asked_for() -> None:
    text = camt053(statement([entry()])).replace(
        b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", b"urn:bank:camt.053.001.08.x"
    )
    assert len(read(text, message="camt.053")) == 1
    with pytest.raises(Rejected, match="VAL404"):
        read(text, message="camt.053.001.08")
    with pytest.raises(Rejected, match="VAL404"):
        read(text, validate="strict")


def test_schema_validation_is_off_reported_or_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 600)
    lines = [entry() + "\n" for _ in range(20)]
    lines[15] = lines[15].replace("<BkTxCd>", "<Wrong/><BkTxCd>")
    text = camt053(statement(lines).replace("<Bal>", "\n<Bal>"))
    assert len(read(text)) == 20
    document: Any = Iso20022Spec(validate="report").build().read(io.BytesIO(text))
    assert len(list(document.parts("entries"))) == 20
    assert [(f.code, f.place) for f in document.findings] == [("VAL405", "line 18")]
    with pytest.raises(Rejected, match="VAL405 line 18: Element 'Wrong'"):
        read(text, validate="strict")
    assert len(read(camt053(statement([entry()], closing="110.00")), validate="strict")) == 1


def test_unknown_records_are_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(Rejected, match=r"VAL409.*`entries` or `statements`"):
        read(camt053(statement([])), "payments")


def test_the_whole_document_as_plain_data() -> None:
    document = Iso20022Spec().build().read(io.BytesIO(camt053(statement([entry(), entry()], closing="120.00"))))
    whole = document.whole()
    assert (whole["head"]["message_id"], len(whole["entries"])) == ("M1", 2)
    bad = Iso20022Spec().build().read(io.BytesIO(camt053(statement([entry("x")]))))
    with pytest.raises(Rejected, match="VAL410"):
        bad.whole()


def test_a_batch_of_thousands_is_read_like_a_small_one() -> None:
    many = "".join(details(f"E{n}", f'<Amt Ccy="EUR">{n}.00</Amt>') for n in range(3_000))
    small, large = read(camt053(statement([entry("1.00", inner=details("E7")), entry("4498500.00", inner=many)])))
    found = large.body["transactions"]
    assert [t["end_to_end_id"] for t in found] == [f"E{n}" for n in range(3_000)]
    assert sum(t["amount"]["value"] for t in found) == large.body["amount"]["value"]
    assert {**found[7], "amount": None} == {**small.body["transactions"][0], "amount": None}
    odd = camt053(
        statement(
            [entry("5.00", inner=details().replace("<TxDtls>", "<TxDtls >").replace("</NtryDtls>", "</NtryDtls >"))]
        )
    )
    spaced = odd.replace(b"</Ntry>", b"</Ntry >")
    assert read(spaced)[0].body["transactions"] == read(odd)[0].body["transactions"]
    assert read(spaced)[0].body["transactions"][0]["amount"]["value"] == Decimal("5.00")


def test_an_account_number_within_a_large_batch_is_looked_at() -> None:
    many = "".join(details(f"E{n}") for n in range(200)).replace(OTHER_IBAN, OTHER_IBAN[:-1] + "9", 1)
    found = Iso20022Spec.inspect(io.BytesIO(camt053(statement([entry(inner=many)]))))
    assert [f.code for f in found.findings] == ["VAL431"]
