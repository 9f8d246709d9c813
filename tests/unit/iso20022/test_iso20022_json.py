"""Any message as plain data and back: nothing lost, order from the schema, strict when written, flat in memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from iso_documents import CONTEXT, IBAN, NAMESPACE, block, camt053, entry, pain001, statement, transaction
from lxml import etree
from schema_documents import FAULTS, Maker, as_bytes, canonical

from bus import Blob, BusError, Message, Part, Rejected
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec, schemas
from transforms.iso20022.envelope import ENVELOPES
from transforms.iso20022.generate import messages
from transforms.iso20022.model import model

BODIES = [message for message in messages() if not message.startswith("head")]
RECORDS = {
    "pain.001.001.03": "CdtTrfTxInf",
    "pain.001.001.09": "PmtInf/CdtTrfTxInf",
    "pain.001.001.12": "CdtTrfTxInf",
    "pain.002.001.10": "TxInfAndSts",
    "pain.008.001.08": "DrctDbtTxInf",
    "camt.053.001.02": "Ntry",
    "camt.053.001.08": "TxDtls",
    "camt.054.001.08": "Ntfctn",
    "camt.029.001.09": "TxInfAndSts",
    "pacs.008.001.08": "CdtTrfTxInf",
    "pacs.004.001.09": "TxInf",
}


def form(**options: Any) -> Any:
    return Iso20022Spec.model_validate({"as": "json"} | options).build()


def whole(content: bytes, **options: Any) -> Any:
    return form(**options).read(io.BytesIO(content)).whole()


def parts(content: bytes, each: str, **options: Any) -> list[Part]:
    return list(form(**options).read(io.BytesIO(content)).parts(each))


def written(*bodies: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    form(**options).write(bodies, target, CONTEXT)
    return target.getvalue()


def refused(*bodies: Any, **options: Any) -> str:
    """Code, place and words of the refusal."""
    target = io.BytesIO()
    with pytest.raises(Rejected) as caught:
        form(**options).write(bodies, target, CONTEXT)
    assert target.getvalue() == b"", "nothing of a refused document leaves"
    return f"{caught.value.code} {caught.value}"


PAIN = pain001([block([transaction("10.10"), transaction("5.00", end_to_end="E2E-2")], "2", "15.10")], "2", "15.10")


def test_the_shape_of_a_payment_order() -> None:
    body = whole(PAIN)
    assert body == json.loads(json.dumps(body)), "plain JSON"
    assert list(body) == ["message", "document"]
    initiation = body["document"]["CstmrCdtTrfInitn"]
    assert initiation["GrpHdr"] == {
        "MsgId": "M1",
        "CreDtTm": "2026-11-20T18:00:00",
        "NbOfTxs": "2",
        "CtrlSum": "15.10",
        "InitgPty": {"Nm": "ACME"},
    }
    (group,) = initiation["PmtInf"]
    assert group["ReqdExctnDt"] == {"Dt": "2026-11-24"}
    assert group["DbtrAcct"] == {"Id": {"IBAN": IBAN}}
    assert [t["Amt"] for t in group["CdtTrfTxInf"]] == [
        {"InstdAmt": {"Ccy": "EUR", "value": "10.10"}},
        {"InstdAmt": {"Ccy": "EUR", "value": "5.00"}},
    ]


def test_a_record_comes_with_the_heads_around_it() -> None:
    first, second = parts(PAIN, "CdtTrfTxInf")
    assert list(first.body) == ["message", "CstmrCdtTrfInitn", "PmtInf", "CdtTrfTxInf"]
    assert first.body["CstmrCdtTrfInitn"]["GrpHdr"]["MsgId"] == "M1"
    assert "CdtTrfTxInf" not in first.body["PmtInf"]
    assert first.body["PmtInf"] is second.body["PmtInf"], "read once, not once a record"
    assert second.body["CdtTrfTxInf"]["PmtId"]["EndToEndId"] == "E2E-2"
    assert second.place == "line 1, CdtTrfTxInf 2"


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("message", BODIES)
def test_every_message_comes_back_as_it_was(message: str) -> None:
    maker = Maker(message, 1)
    for fullness in (0.1, 0.5):
        content = as_bytes(maker.valid(fullness))
        body = whole(content, validate="strict")
        assert canonical(written(body)) == canonical(content)
        shuffled = json.loads(json.dumps(body, sort_keys=True))
        assert canonical(written(shuffled)) == canonical(content), "the order of keys says nothing"


@pytest.mark.parametrize(("message", "each"), RECORDS.items())
def test_records_put_together_give_the_message(message: str, each: str) -> None:
    maker, found = Maker(message, 2), 0
    for _ in range(6):
        content = as_bytes(maker.valid(0.5))
        document = form().read(io.BytesIO(content))
        bodies = list(document.pieces(tuple(each.split("/"))))
        found += sum(each.rpartition("/")[2] in body for body in bodies)
        if each != "TxDtls":  # entries of which several groups of details have no head of their own
            assert canonical(written(*json.loads(json.dumps(bodies)))) == canonical(content)
        assert [p.body for p in parts(content, each)] == [b for b in bodies if each.rpartition("/")[2] in b]
    assert found


@pytest.mark.parametrize("message", ["pain.001.001.09", "camt.053.001.08", "camt.056.001.08", "pacs.008.001.08"])
def test_whoever_writes_what_a_broken_file_holds_is_refused(message: str) -> None:
    maker, seen, codes = Maker(message, 3), set(), set()
    for _ in range(120):
        fault, root = maker.broken()
        try:
            body = whole(as_bytes(root))
            out = written(body)
        except Rejected as error:
            seen.add(fault)
            codes.add(error.code)
        else:
            assert fault == "order", "only the order of elements is put right"
            assert schemas.schema(message).validate(etree.fromstring(out))
    assert seen == set(FAULTS) - {"order"}
    assert codes <= {f"VAL{number}" for number in (602, 604, 605, 606, 607, 608)}


def test_what_stands_behind_the_records_belongs_to_the_head() -> None:
    more = "<AddtlStmtInf>closing words</AddtlStmtInf></Stmt>"
    content = camt053(
        statement([entry("1.00"), entry("2.00")], closing="103.00").replace("</Stmt>", more),
        statement([entry("3.00")], closing="103.00", name="S2"),
        statement([], closing="100.00", name="S3").replace("</Stmt>", more),
    )
    found = parts(content, "Ntry")
    assert [p.body["Stmt"].get("AddtlStmtInf") for p in found] == ["closing words", "closing words", None]
    document = form().read(io.BytesIO(content))
    assert canonical(written(*document.pieces(("Ntry",)))) == canonical(content)


# ---------------------------------------------------------------- envelopes


HEADER = (
    '<h:AppHdr xmlns:h="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><h:Fr><h:FIId><h:FinInstnId>'
    "<h:BICFI>COBADEFFXXX</h:BICFI></h:FinInstnId></h:FIId></h:Fr><h:To><h:FIId><h:FinInstnId><h:BICFI>ABNANL2AXXX</h:BICFI></h:FinInstnId>"
    "</h:FIId></h:To><h:BizMsgIdr>B1</h:BizMsgIdr><h:MsgDefIdr>pain.001.001.09</h:MsgDefIdr>"
    "<h:CreDt>2026-11-24T10:00:00Z</h:CreDt></h:AppHdr>"
)


def prefixed(content: bytes) -> str:
    """The document with the prefix ``p`` everywhere."""
    root = etree.fromstring(content)
    moved = etree.Element(root.tag, nsmap={"p": etree.QName(root).namespace})
    moved.extend(list(root))
    return etree.tostring(moved, encoding="unicode").replace("<ns0:", "<p:")


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_envelope_is_kept_and_written_again(name: str) -> None:
    around = ENVELOPES[name].replace("<AppHdr/>", HEADER).replace("<Document/>", prefixed(PAIN))
    content = around.encode()
    body = whole(content)
    assert body["envelope"]["name"] == ("Envelope" if name == "SOAP" else name)
    assert body["header"]["message"] == "head.001.001.02"
    assert body["header"]["AppHdr"]["Fr"]["FIId"]["FinInstnId"] == {"BICFI": "COBADEFFXXX"}
    again = written(json.loads(json.dumps(body)))
    assert canonical(again) == canonical(content)
    records = [part.body for part in parts(content, "CdtTrfTxInf", validate="strict")]
    assert canonical(written(*records)) == canonical(content)
    assert canonical(written(body, envelope="none")) == canonical(PAIN)


def test_another_envelope_is_written_when_it_is_asked_for() -> None:
    around = ENVELOPES["Envelope"].replace("<AppHdr/>", HEADER).replace("<Document/>", PAIN.decode())
    again = etree.fromstring(written(whole(around.encode()), envelope="BusMsg"))
    assert [etree.QName(e).localname for e in again] == ["AppHdr", "Document"]
    bare = etree.fromstring(written(whole(PAIN), envelope="DataPDU"))
    assert [etree.QName(e).localname for e in bare.iter()][:4] == ["DataPDU", "Revision", "Body", "Document"]


def test_elements_around_the_document_stay() -> None:
    content = f"<Msg a='1'><Route>x</Route><Body>{PAIN.decode()}<After/></Body><Trailer>y</Trailer></Msg>".encode()
    assert canonical(written(whole(content))) == canonical(content)
    long = content.replace(b"</PmtInf>", transaction().encode() * 20 + b"</PmtInf>")
    document = form().read(io.BytesIO(long))
    assert len(list(document.parts("CdtTrfTxInf"))) == 22
    assert [f.code for f in document.findings] == ["VAL613"]


def test_a_header_and_a_document_without_anything_around_them() -> None:
    body = whole(HEADER.encode() + b"\n" + PAIN)
    assert body["header"]["AppHdr"]["BizMsgIdr"] == "B1"
    assert "envelope" not in body
    assert "VAL612" in refused(body)
    assert len(etree.fromstring(written(body, envelope="RequestPayload"))) == 2


def test_a_banks_own_header_and_namespace_stay() -> None:
    own = PAIN.replace(NAMESPACE.encode(), b"http://bank.example/xsd/")
    content = b"<Env><AppHdr xmlns='urn:bank:header'><From>A</From></AppHdr>" + own + b"</Env>"
    body = whole(content)
    assert body["namespace"] == "http://bank.example/xsd/pain.001.001.09"
    assert set(body["header"]) == {"xml"}
    assert canonical(written(body)) == canonical(content)


@pytest.mark.parametrize(
    "envelope",
    [7, {}, {"xml": "<a>"}, {"xml": "<a/>"}, {"xml": "<Document/>"}, {"xml": "<a><Document/><Document/></a>"}],
)
def test_an_envelope_that_is_none_is_refused(envelope: Any) -> None:
    assert "VAL612" in refused(whole(PAIN) | {"envelope": envelope})


@pytest.mark.parametrize("header", [7, {}, {"xml": "<a"}, {"message": "pain.001.001.09"}])
def test_a_header_that_is_none_is_refused(header: Any) -> None:
    assert "VAL612" in refused(whole(PAIN) | {"header": header}, envelope="BusMsg")


def test_a_header_is_written_strictly() -> None:
    body = whole(PAIN) | {"header": {"message": "head.001.001.02", "AppHdr": {"Fr": {}}}}
    assert "VAL608 header.AppHdr.Fr: exactly one of `OrgId`, `FIId`" in refused(body, envelope="BusMsg")


# ---------------------------------------------------------------- strict when written


def changed(path: str, value: Any) -> Any:
    """The body of the payment order with one value changed, or taken away by ``...``."""
    body = whole(PAIN)
    *steps, last = ["document", "CstmrCdtTrfInitn", *path.split(".")]
    at = body
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("GrpHdr.MsgID", "x", "VAL604 body 1.document.CstmrCdtTrfInitn.GrpHdr: `MsgID` is no element"),
        ("GrpHdr.MsgId", ..., "VAL605 body 1.document.CstmrCdtTrfInitn.GrpHdr: `MsgId` is missing"),
        ("GrpHdr.MsgId", None, "VAL605"),
        ("GrpHdr.MsgId", 7, "VAL606 body 1.document.CstmrCdtTrfInitn.GrpHdr.MsgId: a text is wanted, this is a number"),
        ("GrpHdr.MsgId", "", "VAL607 body 1.document.CstmrCdtTrfInitn.GrpHdr.MsgId: empty"),
        ("GrpHdr.MsgId", "x" * 36, "longer than 35 characters"),
        ("GrpHdr.MsgId", "a\x00b", "VAL607"),
        ("GrpHdr.MsgId", "a\ud800b", "VAL607"),
        ("GrpHdr.CreDtTm", "2026-02-30T10:00:00", "no day of the calendar"),
        ("GrpHdr.CtrlSum", 1.5, "this is a binary float"),
        ("GrpHdr.CtrlSum", "1e3", "VAL607"),
        ("GrpHdr.CtrlSum", Decimal("NaN"), "VAL606"),
        ("GrpHdr.InitgPty", "ACME", "VAL606 body 1.document.CstmrCdtTrfInitn.GrpHdr.InitgPty: an object with `Nm`"),
        ("PmtInf", {}, "VAL606 body 1.document.CstmrCdtTrfInitn.PmtInf: a list is wanted, this is an object"),
        ("PmtInf", [], "VAL605 body 1.document.CstmrCdtTrfInitn: `PmtInf` is missing"),
        ("PmtInf.0.PmtMtd", "XXX", "PmtInf[0].PmtMtd: none of the codes CHK, TRF, TRA"),
        ("PmtInf.0.ReqdExctnDt", {}, "VAL608"),
        ("PmtInf.0.ReqdExctnDt.DtTm", "2026-11-24T10:00:00Z", "PmtInf[0].ReqdExctnDt: exactly one of `Dt`, `DtTm`"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt", "5.00", "CdtTrfTxInf[1].Amt.InstdAmt: an object with `Ccy`, `value`"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt.Ccy", ..., "VAL605"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt.Ccy", "eur", "CdtTrfTxInf[1].Amt.InstdAmt.Ccy: not of the form"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt.value", ..., "VAL605"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt.value", "1.123456", "InstdAmt.value: more than 5 decimals"),
        ("PmtInf.0.CdtTrfTxInf.1.Amt.InstdAmt.currency", "EUR", "VAL604"),
        ("SplmtryData", [{"Envlp": "no xml"}], "VAL615 body 1.document.CstmrCdtTrfInitn.SplmtryData[0].Envlp"),
        ("SplmtryData", [{"Envlp": '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'}], "VAL615"),
        ("SplmtryData", [{"Envlp": {}}], "VAL606"),
    ],
)
def test_what_the_schema_does_not_have_is_refused_with_its_path(path: str, value: Any, told: str) -> None:
    assert told in refused(changed(path, value))


def test_a_hint_names_the_nearest_element() -> None:
    assert "did you mean `MsgId`?" in refused(changed("GrpHdr.MsgID", "x"))


def test_numbers_and_truth_values_may_come_as_such() -> None:
    body = changed("GrpHdr.CtrlSum", Decimal("15.10"))
    body["document"]["CstmrCdtTrfInitn"]["PmtInf"][0] |= {"BtchBookg": True, "CtrlSum": 15}
    group = whole(written(body))["document"]["CstmrCdtTrfInitn"]
    assert (group["GrpHdr"]["CtrlSum"], group["PmtInf"][0]["BtchBookg"], group["PmtInf"][0]["CtrlSum"]) == (
        "15.10",
        "true",
        "15",
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("text", "VAL606"),
        ({}, "VAL600"),
        ({"message": "pain.001.001.99", "document": {}}, "VAL600"),
        ({"message": "pain.001.001.09"}, "VAL605"),
        ({"message": "pain.001.001.09", "document": None}, "VAL606"),
        ({"message": "pain.001.001.09", "document": {}, "PmtInf": {}}, "VAL611"),
        ({"message": "pain.001.001.09", "PmtInf": {}}, "VAL605"),
        ({"message": "pain.001.001.09", "CstmrCdtTrfInitn": {}, "Foo": {}}, "VAL604"),
        ({"message": "pain.001.001.09", "CstmrCdtTrfInitn": 7, "PmtInf": {}}, "VAL606"),
        ({"message": "pain.001.001.09", "namespace": 7, "document": {}}, "VAL606"),
    ],
)
def test_a_body_that_is_none_is_refused(body: Any, told: str) -> None:
    assert told in refused(body)


def test_bodies_of_different_messages_are_never_mixed() -> None:
    first, second = (part.body for part in parts(PAIN, "CdtTrfTxInf"))
    assert "VAL611" in refused(first, second | {"header": {"xml": "<a/>"}})
    assert "VAL611" in refused(whole(PAIN), whole(PAIN))
    assert "VAL600" in refused(whole(PAIN), message="pain.001.001.03")
    assert "VAL616" in refused()
    other = second | {"PmtInf": second["PmtInf"] | {"PmtInfId": "P2"}}
    groups = whole(written(first, other))["document"]["CstmrCdtTrfInitn"]["PmtInf"]
    assert [g["PmtInfId"] for g in groups] == ["P1", "P2"], "another head, another group"


def test_without_validation_values_are_written_as_they_are() -> None:
    assert b"<MsgId>" + b"x" * 36 in written(changed("GrpHdr.MsgId", "x" * 36), validate="off")


# ---------------------------------------------------------------- lenient when read


def test_an_unknown_element_is_kept_and_told() -> None:
    content = PAIN.replace(b"<MsgId>", b"<Extra><A>1</A></Extra><MsgId>")
    document = form().read(io.BytesIO(content))
    body = document.whole()
    (kept,) = body["document"]["CstmrCdtTrfInitn"]["GrpHdr"]["Extra"]
    assert "<A>1</A>" in kept
    assert [(f.code, f.place) for f in document.findings] == [("VAL601", "line 1, GrpHdr/Extra")]
    assert "VAL604" in refused(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<GrpHdr>", "<GrpHdr>text"),
        ("</GrpHdr>", "</GrpHdr>text"),
        ("<MsgId>M1</MsgId>", "<MsgId>M1</MsgId><MsgId>M2</MsgId>"),
        ("<MsgId>M1</MsgId>", "<MsgId><A/></MsgId>"),
        ('<InstdAmt Ccy="EUR">10.10', '<InstdAmt Ccy="EUR"><A/>10.10'),
    ],
)
def test_what_plain_data_cannot_keep_is_refused(old: str, new: str) -> None:
    with pytest.raises(Rejected, match="VAL602"):
        whole(PAIN.replace(old.encode(), new.encode(), 1))


def test_a_bad_record_is_refused_alone_and_sent_back() -> None:
    content = PAIN.replace(b"<EndToEndId>E2E-2", b"<EndToEndId>E2E-2</EndToEndId><EndToEndId>x")
    good, bad = parts(content, "CdtTrfTxInf")
    assert good.error is None
    assert bad.error is not None
    assert bad.error.code == "VAL602"
    assert b"E2E-2" in bad.raw


def test_an_attribute_that_means_nothing_is_told() -> None:
    document = form().read(
        io.BytesIO(PAIN.replace(b"<GrpHdr>", b"<GrpHdr x='1'>").replace(b"<Nm>ACME", b"<Nm y='1'>ACME"))
    )
    document.whole()
    assert [f.code for f in document.findings] == ["VAL603"] * 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<Document xmlns='urn:x'><a/></Document>", "VAL403"),
        (b"<a/>", "VAL403"),
        (PAIN.replace(b"pain.001.001.09", b"pain.001.001.01"), "VAL600"),
        (PAIN[:-30], "VAL401"),
        (PAIN.replace(b"</GrpHdr>", b"</GrpHd>"), "VAL400"),
        (b"", "VAL402"),
        (b"<!DOCTYPE a []>" + PAIN, "SEC100"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes, code: str) -> None:
    for each in ("documents", "CdtTrfTxInf"):
        with pytest.raises(Rejected, match=code):
            parts(content, each)


def test_other_messages_than_wanted_are_refused() -> None:
    assert whole(PAIN, message="pain.001.001.09")
    for message in ("pain.001.001.03", "pain.008", "pacs.008.001.08"):
        with pytest.raises(Rejected, match="VAL404"):
            whole(PAIN, message=message)
    with pytest.raises(Rejected, match=r"VAL609.*`documents`, `PmtInf`, `CdtTrfTxInf`"):
        parts(PAIN, "Ntry")
    with pytest.raises(Rejected, match="VAL609"):
        parts(PAIN, "GrpHdr")


def test_several_documents_in_an_envelope() -> None:
    twice = b"<E>" + PAIN + PAIN.replace(b"M1", b"M2") + b"</E>"
    found = parts(twice, "documents")
    ids = [p.body["document"]["CstmrCdtTrfInitn"]["GrpHdr"]["MsgId"] for p in found]
    assert ids == ["M1", "M2"]
    assert len(parts(twice, "CdtTrfTxInf")) == 4
    with pytest.raises(Rejected, match=r"VAL611.*each: documents"):
        whole(twice)
    other = b"<E>" + PAIN + camt053(statement([], closing="1"))[39:] + b"</E>"
    with pytest.raises(Rejected, match="VAL611"):
        parts(other, "documents")


def test_validation_when_reading() -> None:
    bad = PAIN.replace(b"<MsgId>M1", b"\n<MsgId>" + b"x" * 36)
    assert whole(bad)
    with pytest.raises(Rejected, match=r"VAL405 line 2: Element 'MsgId'"):
        whole(bad, validate="strict")
    document = form(validate="report").read(io.BytesIO(b"<E>\n" + bad + b"</E>"))
    assert document.whole()
    assert [(f.code, f.place) for f in document.findings[:1]] == [("VAL405", "line 3")]
    behind = camt053(statement([entry()]).replace("</Stmt>", "<AddtlStmtInf/><Odd/></Stmt>"))
    document = form(validate="report").read(io.BytesIO(behind))
    assert len(list(document.parts("Ntry"))) == 1
    assert sorted(f.code for f in document.findings) == ["VAL405", "VAL405", "VAL601"]


# ---------------------------------------------------------------- configuration and memory


def test_messages_without_a_canonical_shape_are_plain_data_by_themselves() -> None:
    content = as_bytes(Maker("camt.060.001.05").valid())
    form = Iso20022Spec.model_validate({"message": "camt.060"}).build()
    assert form.read(io.BytesIO(content)).whole()["message"] == "camt.060.001.05"


@pytest.mark.parametrize("message", messages())
def test_every_schema_has_a_model(message: str) -> None:
    found = model(message)
    assert found.namespace.endswith(message)
    assert found.root.type.elements


_MEMORY = """
import io, resource, sys, tempfile
from iso_documents import NAMESPACE, entry
from transforms.iso20022 import Iso20022Spec
from bus import WriteContext
count = int(sys.argv[1])
with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as out:
    file.write(f'<Document xmlns="{NAMESPACE}camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId><CreDtTm>'
        '2026-11-20T18:00:00</CreDtTm></GrpHdr><Stmt><Id>S</Id><Acct><Id><Othr><Id>1</Id></Othr></Id></Acct><Bal><Tp>'
        '<CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-20'
        '</Dt></Dt></Bal>'.encode())
    one = entry().encode()
    for _ in range(count):
        file.write(one)
    file.write(b"</Stmt></BkToCstmrStmt></Document>")
    file.seek(0)
    form = Iso20022Spec.model_validate({"as": "json"}).build()
    form.write((part.body for part in form.read(file).parts("Ntry")), out, WriteContext("a" * 32, 0))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file_in_either_direction() -> None:
    def peak(count: int) -> int:
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {here!r})\n{_MEMORY}", str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    small, big = peak(2_000), peak(8_000)
    assert big - small < 2_000, "KB, for four times the entries"


def test_refusals_are_never_anything_else() -> None:
    for content in (b"<a", b"\xff\xfe", b"{}", b"<Document/>", HEADER.encode(), b"<E/>" * 3):
        with pytest.raises(BusError):
            whole(content)


# ---------------------------------------------------------------- in a route


def test_a_route_takes_a_file_apart_and_puts_it_together() -> None:
    bench = StepBench()
    parser = bench.spec({"parse": {"iso20022": {"as": "json"}}}).format
    split = bench.spec({"split": {"each": "CdtTrfTxInf", "keys": {"payment": "CdtTrfTxInf.PmtId.EndToEndId"}}})
    bodies = [part.body for part in split.build_split(bench, parser).expand(bench.message(PAIN))]
    assert [body["CdtTrfTxInf"]["PmtId"]["EndToEndId"] for body in bodies] == ["E2E-1", "E2E-2"]
    (made,) = bench.run(bench.build({"translate": {"to": "pain.001.001.09", "from": "json"}}), bench.message(bodies))
    assert isinstance(made, Message)
    assert isinstance(made.body, Blob)
    assert canonical(bench.blobs.open(made.body).read()) == canonical(PAIN)
    (whole_body,) = bench.run(bench.build({"parse": {"iso20022": {"as": "json"}}}), bench.message(PAIN))
    assert isinstance(whole_body, Message)
    (again,) = bench.run(bench.build({"translate": {"to": "pain.001.001.09", "from": "json"}}), whole_body)
    assert isinstance(again, Message)
    assert canonical(again.body) == canonical(PAIN)


def test_a_route_converts_a_file_as_it_arrived() -> None:
    bench = StepBench()
    step = bench.build({"translate": {"from": "pain.001.001.09", "to": "pain.001.001.03"}})
    (made,) = bench.run(step, bench.message(PAIN))
    assert isinstance(made, Message)
    assert b"001.001.03" in bench.blobs.open(made.body).read()
    with pytest.raises(Rejected, match="VAL627"):
        bench.run(step, bench.message({"message": "pain.001.001.09", "document": {}}))


def test_messages_are_recognised_though_they_have_no_canonical_shape() -> None:
    assert Iso20022Spec.detect(as_bytes(Maker("camt.060.001.05").valid())[:4096], "x.xml") > 0.9


def test_messages_without_a_canonical_shape_are_inspected() -> None:
    bank = as_bytes(Maker("pacs.009.001.08").valid(0.2))
    told = Iso20022Spec.inspect(io.BytesIO(bank))
    counted: dict[str, tuple[int, Decimal]] = {}
    for amount in etree.fromstring(bank).findall("{*}FICdtTrf/{*}CdtTrfTxInf/{*}IntrBkSttlmAmt"):
        count, total = counted.get(amount.get("Ccy", ""), (0, Decimal(0)))
        counted[amount.get("Ccy", "")] = (count + 1, total + Decimal(str(amount.text)))
    assert (told.format, told.kind, told.findings) == ("pacs.009.001.08", "message", ())
    assert {t.currency: (t.count, t.amount) for t in told.documents[0].totals} == counted
    asked = Iso20022Spec.inspect(io.BytesIO(as_bytes(Maker("camt.060.001.05").valid())))
    assert (asked.kind, len(asked.documents), asked.findings) == ("message", 1, ())
    broken = Maker("camt.060.001.05").broken()[1]
    assert {f.code for f in Iso20022Spec.inspect(io.BytesIO(as_bytes(broken))).findings} & {"VAL405", "VAL403"}
