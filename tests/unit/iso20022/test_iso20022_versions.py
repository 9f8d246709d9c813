"""From one version of a message to another: what fits is carried, what does not is told, nothing else changes."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from iso_documents import CONTEXT, block, camt053, entry, pain001, statement, transaction
from lxml import etree
from schema_documents import Maker, as_bytes, canonical

from bus import Finding, Rejected
from transforms.iso20022 import Iso20022Spec, schemas
from transforms.iso20022.conversion import Conversion

PAIRS = [
    ("pain.001.001.03", "pain.001.001.09"),
    ("pain.001.001.09", "pain.001.001.03"),
    *((f"camt.05{kind}.001.0{old}", f"camt.05{kind}.001.08") for kind in (2, 3, 4) for old in (2, 4)),
    ("pain.008.001.02", "pain.008.001.08"),
]


def converted(content: bytes, source: str, target: str, **options: Any) -> tuple[bytes, tuple[Finding, ...]]:
    out = io.BytesIO()
    form: Any = Iso20022Spec.model_validate({"message": target, "from": source} | options).build()
    findings = form.convert(io.BytesIO(content), out)
    return out.getvalue(), findings


def texts(content: bytes | etree._Element) -> list[str]:
    """All character data and currencies of a document."""
    root = etree.fromstring(content) if isinstance(content, bytes) else content
    return [text for e in root.iter() for text in (*e.attrib.values(), (e.text or "").strip()) if text]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_value_is_in_the_other_version_or_among_the_losses(source: str, target: str) -> None:
    maker, carried = Maker(source, 4), 0
    rules = schemas.schema(target)
    for _ in range(15):
        root = maker.valid(0.5)
        try:
            out, losses = converted(as_bytes(root), source, target, on_loss="report")
        except Rejected as error:
            assert error.code == "VAL623", error  # noqa: PT017
            continue
        made = etree.fromstring(out)
        assert rules.validate(made), rules.error_log
        left = texts(made)
        missing = 0
        for text in texts(root):
            if text in left:
                left.remove(text)
            else:
                missing += 1
        assert left == [text for text in left if re.fullmatch(r"\d{4}-\d\d-\d\d(Z|[+-].*)?", text)], "nothing invented"
        assert bool(missing) <= bool(losses)
        carried += missing == 0 or bool(losses)
    assert carried > 5


@pytest.mark.parametrize("message", ["pain.001.001.03", "camt.053.001.08", "pain.002.001.10"])
def test_the_same_version_is_the_same_message(message: str) -> None:
    maker = Maker(message, 5)
    for _ in range(5):
        content = as_bytes(maker.valid(0.5))
        out, losses = converted(content, message, message, on_loss="refuse")
        assert (canonical(out), losses) == (canonical(content), ())


def test_there_and_back_gives_the_message_where_nothing_is_lost() -> None:
    maker, seen = Maker("pain.001.001.03", 6), 0
    for _ in range(30):
        content = as_bytes(maker.valid(0.3))
        newer, losses = converted(content, "pain.001.001.03", "pain.001.001.09", on_loss="report")
        if not losses:
            older, losses = converted(newer, "pain.001.001.09", "pain.001.001.03", on_loss="refuse")
            assert (canonical(older), losses) == (canonical(content), ())
            seen += 1
    assert seen > 10


OLD = (
    pain001([block([transaction(), transaction()], "2", "20.00")], "2", "20.00")
    .decode()
    .replace("001.001.09", "001.001.03")
    .replace("BICFI", "BIC")
    .replace("<Dt>2026-11-24</Dt>", "2026-11-24")
    .replace("<ReqdExctnDt>", "<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf><ReqdExctnDt>")
    .replace(
        "<Nm>ACME</Nm></InitgPty>", "<Nm>ACME</Nm><Id><OrgId><BICOrBEI>COBADEFFXXX</BICOrBEI></OrgId></Id></InitgPty>"
    )
    .encode()
)


def test_what_iso_renamed_wrapped_and_repeats_now() -> None:
    out, losses = converted(OLD, "pain.001.001.03", "pain.001.001.09")
    assert losses == ()
    text = out.decode()
    assert "<BICFI>COBADEFFXXX</BICFI>" in text
    assert "<AnyBIC>COBADEFFXXX</AnyBIC>" in text
    assert "<ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt>" in text
    assert "<SvcLvl><Cd>SEPA</Cd></SvcLvl>" in text
    assert canonical(converted(out, "pain.001", "pain.001.001.03")[0]) == canonical(OLD)


def newer(**replaced: str) -> bytes:
    text = converted(OLD, "pain.001.001.03", "pain.001.001.09")[0].decode()
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


UETR = "<UETR>8a562c67-ca16-48ba-b074-65581be6f001</UETR>"


def test_payments_are_refused_when_something_would_be_lost() -> None:
    content = newer(
        a=("</EndToEndId>", f"</EndToEndId>{UETR}"), b=("</SvcLvl>", "</SvcLvl><SvcLvl><Prtry>X</Prtry></SvcLvl>")
    )
    with pytest.raises(Rejected) as caught:
        converted(content, "pain.001.001.09", "pain.001.001.03")
    error = caught.value
    assert (error.code, error.place) == ("VAL625", "PmtInf 1, PmtTpInf/SvcLvl")
    assert [(f.code, f.place, f.message) for f in error.findings] == [
        ("VAL622", "PmtInf 1, PmtTpInf/SvcLvl", "group not carried: pain.001.001.03 has fewer of it"),
        ("VAL620", "CdtTrfTxInf 1, PmtId/UETR", "text not carried: pain.001.001.03 has no such element"),
    ]
    out, losses = converted(content, "pain.001.001.09", "pain.001.001.03", on_loss="report")
    assert losses == error.findings
    assert canonical(out) == canonical(OLD)


def test_values_that_do_not_fit_are_told_with_the_reason() -> None:
    content = newer(
        a=("<Dt>2026-11-24</Dt>", "<DtTm>2026-11-24T10:00:00Z</DtTm>"),
        b=("<CdtrAcct><Id>", "<CdtrAcct><Id>"),
        c=("</Id></CdtrAcct>", "</Id><Tp><Cd>XYZ1</Cd></Tp></CdtrAcct>"),
    )
    out, losses = converted(content, "pain.001.001.09", "pain.001.001.03", on_loss="report")
    assert [(f.code, f.place) for f in losses] == [
        ("VAL621", "PmtInf 1, ReqdExctnDt"),
        ("VAL621", "CdtTrfTxInf 1, CdtrAcct/Tp/Cd"),
        ("VAL621", "CdtTrfTxInf 1, CdtrAcct/Tp"),
    ]
    assert "time of day not carried" in losses[0].message
    assert "none of the codes CASH" in losses[1].message
    assert "XYZ1" not in str(losses), "no content"
    assert b"<ReqdExctnDt>2026-11-24</ReqdExctnDt>" in out


@pytest.mark.parametrize("on_loss", ["refuse", "report"])
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (b"<CdtrAcct><Id><IBAN>NL", b"<CdtrAcct><Id><IBAN>nl", "CdtTrfTxInf 1, CdtrAcct"),
        (b'Ccy="EUR">10.00', b'Ccy="eur">10.00', "CdtTrfTxInf 1, Amt/InstdAmt"),
        (b"<NbOfTxs>2</NbOfTxs><CtrlSum>20.00</CtrlSum><InitgPty>", b"<InitgPty>", "CstmrCdtTrfInitn 1, GrpHdr"),
    ],
)
def test_records_accounts_and_amounts_are_never_left_out(on_loss: str, old: bytes, new: bytes, place: str) -> None:
    assert old in OLD
    with pytest.raises(Rejected) as caught:
        converted(OLD.replace(old, new, 1), "pain.001.001.03", "pain.001.001.09", on_loss=on_loss)
    assert (caught.value.code, caught.value.place) == ("VAL623", place)


def test_statements_report_what_is_lost_and_keep_the_rest() -> None:
    charges = (
        '<Chrgs><Amt Ccy="EUR">1.00</Amt></Chrgs>'
        '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">3</TtlChrgsAndTaxAmt><Amt Ccy="EUR">2</Amt></Chrgs>'
    )
    old = (
        camt053(
            statement(
                [entry("10.00", inner=charges, status="<Sts>BOOK</Sts>"), entry(status="<Sts>BOOK</Sts>")],
                closing="120.00",
            )
        )
        .decode()
        .replace("053.001.08", "053.001.02")
    )
    out, losses = converted(old.encode(), "camt.053.001.02", "camt.053.001.08")
    text = out.decode()
    assert text.count("<Sts><Cd>BOOK</Cd></Sts>") == 2
    assert '<Chrgs><Rcrd><Amt Ccy="EUR">1.00</Amt></Rcrd><Rcrd><Amt Ccy="EUR">2</Amt></Rcrd></Chrgs>' in text
    assert [(f.code, f.place) for f in losses] == [("VAL622", "Ntry 1, Chrgs/2/TtlChrgsAndTaxAmt")]
    with pytest.raises(Rejected, match="VAL625"):
        converted(old.encode(), "camt.053.001.02", "camt.053.001.08", on_loss="refuse")


def test_the_header_names_the_new_version() -> None:
    header = (
        '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.01"><Fr><OrgId/></Fr><To><OrgId/></To><BizMsgIdr>B'
        "</BizMsgIdr><MsgDefIdr>pain.001.001.03</MsgDefIdr><CreDt>2026-11-24T10:00:00Z</CreDt></AppHdr>"
    )
    content = f"<BusMsg>{header}{OLD.decode()}</BusMsg>".encode()
    out, losses = converted(content, "pain.001", "pain.001.001.09")
    assert losses == ()
    assert b"<MsgDefIdr>pain.001.001.09</MsgDefIdr>" in out
    assert out.count(b"<BusMsg>") == 1


def test_only_versions_of_one_message() -> None:
    with pytest.raises(ValueError, match=r"a pain\.001 cannot become a pain\.008"):
        Iso20022Spec.model_validate({"message": "pain.008.001.08", "from": "pain.001"})
    with pytest.raises(ValueError, match="write `json`, or a message"):
        Iso20022Spec.model_validate({"message": "pain.008.001.08", "from": "csv"})
    with pytest.raises(Rejected, match="VAL624"):
        Conversion("pain.001.001.03", "pain.008.001.02")
    with pytest.raises(Rejected, match="VAL404"):
        converted(OLD, "pain.001.001.09", "pain.001.001.03")
    form: Any = Iso20022Spec.model_validate({"message": "pain.001.001.09", "from": "pain.001"}).build()
    with pytest.raises(Rejected, match="VAL627"):
        form.write([{}], io.BytesIO(), CONTEXT)


def test_so_many_losses_are_counted() -> None:
    one = transaction().replace("</EndToEndId>", f"</EndToEndId>{UETR}")
    content = pain001([block([one] * 1_100, "1100", "11000")], "1100", "11000")
    _, losses = converted(content, "pain.001", "pain.001.001.03", on_loss="report")
    assert (len(losses), losses[-1].code) == (1_001, "VAL626")
    assert "and 100 more" in losses[-1].message


def batched(*amounts: str, detailed: str = "") -> bytes:
    """An entry of 10.00 with transactions; ``detailed`` stands as TxAmt in each."""
    details = f'<AmtDtls><TxAmt><Amt Ccy="EUR">{detailed}</Amt></TxAmt></AmtDtls>' if detailed else ""
    inner = "".join(
        f'<TxDtls><Refs><EndToEndId>E{n}</EndToEndId></Refs><Amt Ccy="EUR">{value}</Amt>'
        f"<CdtDbtInd>CRDT</CdtDbtInd>{details}</TxDtls>"
        for n, value in enumerate(amounts)
    )
    return camt053(statement([entry("10.00", inner=f"<NtryDtls>{inner}</NtryDtls>")], closing="110.00"))


def test_the_amounts_of_transactions_are_in_their_details_in_an_old_version() -> None:
    new = batched("6.00", "4.00")
    old, losses = converted(new, "camt.053.001.08", "camt.053.001.02")
    assert [loss.place for loss in losses if loss.place.endswith("Amt")] == []
    (body,) = (part.body for part in Iso20022Spec().build().read(io.BytesIO(old)).parts("entries"))
    assert [str(one["amount"]["value"]) for one in body["transactions"]] == ["6.00", "4.00"]


def test_an_amount_that_has_another_in_its_place_is_told_as_lost() -> None:
    for detailed, lost in (("10.00", 0), ("9.00", 1)):
        old, losses = converted(batched("10.00", detailed=detailed), "camt.053.001.08", "camt.053.001.02")
        assert sum(loss.place.endswith("TxDtls[1]/Amt") for loss in losses) == lost
        assert f'<TxAmt><Amt Ccy="EUR">{detailed}</Amt>'.encode() in old
