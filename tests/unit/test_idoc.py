"""SAP IDocs: the same tree from XML and from flat records, payments, orders and invoices, records that got lost."""

from __future__ import annotations

import io
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import Inspection, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.canonical import MODELS
from transforms.idoc import IdocSpec
from transforms.idoc.segments import CONTROL, CONTROL_LENGTH, HEAD, HEAD_LENGTH, SEGMENTS, usual_name

PAYMENTS = """<?xml version="1.0" encoding="UTF-8"?>
<PEXR2002>
<IDOC BEGIN="1">
<EDI_DC40 SEGMENT="1"><TABNAM>EDI_DC40</TABNAM><DOCNUM>0000000000814490</DOCNUM>
<IDOCTYP>PEXR2002</IDOCTYP><MESTYP>PAYEXT</MESTYP></EDI_DC40>
<E1IDKU1 SEGMENT="1"><BGMREF>2000000815</BGMREF></E1IDKU1>
<E1EDK02 SEGMENT="1"><QUALF>022</QUALF><BELNR>F110-2000000815</BELNR></E1EDK02>
<E1EDK03 SEGMENT="1"><IDDAT>026</IDDAT><DATUM>20261123</DATUM></E1EDK03>
<E1EDK03 SEGMENT="1"><IDDAT>017</IDDAT><DATUM>20261124</DATUM></E1EDK03>
<E1IDKU5 SEGMENT="1"><MOAQUAL>002</MOAQUAL><MOABETR>3570.00-</MOABETR><CUXWAERZ>EUR</CUXWAERZ></E1IDKU5>
<E1IDB02 SEGMENT="1"><FIIQUALI>BA</FIIQUALI><FIIBKENN>ABNANL2A</FIIBKENN>
<FIIKONTO>NL91ABNA0417164300</FIIKONTO></E1IDB02>
<E1IDB02 SEGMENT="1"><FIIQUALI>BB</FIIQUALI><FIIBKENN>37040044</FIIBKENN><FIIKONTO>0532013000</FIIKONTO></E1IDB02>
<E1EDKA1 SEGMENT="1"><PARVW>AG</PARVW><NAME1>Example Manufacturing BV</NAME1></E1EDKA1>
<E1EDKA1 SEGMENT="1"><PARVW>BE</PARVW><NAME1>Muster GmbH</NAME1><NAME2>&amp; Co. KG</NAME2>
<STRAS>Hauptstr.</STRAS><HAUSN>1</HAUSN><PSTLZ>50667</PSTLZ><ORT01>K\u00f6ln</ORT01><LAND1>DE</LAND1></E1EDKA1>
<E1IDPU1 SEGMENT="1"><DOCNAME>INV</DOCNAME>
<E1EDP02 SEGMENT="1"><QUALF>010</QUALF><BELNR>INV-1</BELNR></E1EDP02></E1IDPU1>
<E1IDPU1 SEGMENT="1"><DOCNAME>INV</DOCNAME>
<E1EDP02 SEGMENT="1"><QUALF>009</QUALF><BELNR>INV-2</BELNR></E1EDP02></E1IDPU1>
</IDOC>
<IDOC BEGIN="1">
<EDI_DC40 SEGMENT="1"><DOCNUM>0000000000814491</DOCNUM><IDOCTYP>PEXR2002</IDOCTYP><MESTYP>REMADV</MESTYP></EDI_DC40>
<E1IDKU1 SEGMENT="1"><BGMREF>2000000816</BGMREF>
<E1EDK03 SEGMENT="1"><IDDAT>026</IDDAT><DATUM>20261125</DATUM></E1EDK03>
<E1EDKA1 SEGMENT="1"><PARVW>LF</PARVW><LIFNR>1000009</LIFNR></E1EDKA1>
<E1IDPU5 SEGMENT="1"><MOAQUAL>001</MOAQUAL><MOABETR>1190.00-</MOABETR><CUXWAERZ>EUR</CUXWAERZ></E1IDPU5>
</E1IDKU1>
</IDOC>
</PEXR2002>
"""
TREE: list[tuple[str, str, dict[str, str]]] = [
    ("E2EDK01005", "", {"CURCY": "EUR", "ZTERM": "0001", "BSART": "NB", "BELNR": "4500000100"}),
    ("E2EDK03", "", {"IDDAT": "012", "DATUM": "20261124"}),
    ("E2EDK02", "", {"QUALF": "001", "BELNR": "4500000100"}),
    ("E2EDKA1003", "", {"PARVW": "LF", "PARTN": "0000100009", "NAME1": "Muster GmbH", "ORT01": "K\u00f6ln",
                        "LAND1": "DE"}),
    ("E2EDP01007", "", {"POSEX": "00010", "MENGE": "2.000", "MENEE": "PCE", "VPREI": "95.05", "NETWR": "190.10",
                        "CURCY": "EUR"}),
    ("E2EDP19001", "E2EDP01007", {"QUALF": "001", "IDTNR": "MAT-1", "KTEXT": "Pump"}),
    ("E2EDP01007", "", {"POSEX": "00020", "MENGE": "1", "MENEE": "PCE", "NETWR": "10.00-", "CURCY": "EUR"}),
    ("Z2EXTRA000", "E2EDP01007", {"SDATA": "something of ours"}),
    ("E2EDS01", "", {"SUMID": "002", "SUMME": "180.10"}),
]  # fmt: skip


def _filled(length: int, fields: tuple[tuple[str, int, int], ...], values: dict[str, str]) -> str:
    text = [" "] * length
    for name, first, last in fields:
        text[first:last] = values.get(name, "").ljust(last - first)
    return "".join(text)


def flat(end: str = "\r\n", number: str = "0000000000814500") -> str:
    records = [
        _filled(CONTROL_LENGTH, CONTROL, {"TABNAM": "EDI_DC40", "MANDT": "800", "DOCNUM": number, "IDOCTYP": "ORDERS05",
                                          "MESTYP": "ORDERS", "SNDPRN": "ERP"})
    ]  # fmt: skip
    last: dict[str, str] = {}
    for count, (name, above, fields) in enumerate(TREE, 1):
        last[name] = f"{count:06}"
        head = {"SEGNAM": name, "MANDT": "800", "DOCNUM": number, "SEGNUM": last[name],
                "PSGNUM": last.get(above, "000000"), "HLEVEL": "02" if above else "01"}  # fmt: skip
        data = fields.get("SDATA") or _filled(1000, SEGMENTS[usual_name(name)], fields)
        records.append(_filled(HEAD_LENGTH, HEAD, head) + data.ljust(1000))
    return "".join(record + end for record in records)


def orders_xml() -> str:
    """The same order as XML, made without a look at the flat records."""
    item = "<E1EDP01 SEGMENT='1'>{}</E1EDP01>"

    def fields(values: dict[str, str]) -> str:
        return "".join(f"<{name}>{text}</{name}>" for name, text in values.items())

    def segment(name: str, values: dict[str, str]) -> str:
        return f"<{usual_name(name)} SEGMENT='1'>{fields(values)}</{usual_name(name)}>"

    inside = "".join(segment(name, values) for name, above, values in TREE[:4] if not above)
    inside += item.format(fields(TREE[4][2]) + segment(TREE[5][0], TREE[5][2]))
    inside += item.format(fields(TREE[6][2]) + segment(TREE[7][0], TREE[7][2])) + segment(TREE[8][0], TREE[8][2])
    control = fields({"TABNAM": "EDI_DC40", "DOCNUM": "0000000000814500", "IDOCTYP": "ORDERS05", "MESTYP": "ORDERS"})
    return f"<ORDERS05><IDOC BEGIN='1'><EDI_DC40 SEGMENT='1'>{control}</EDI_DC40>{inside}</IDOC></ORDERS05>"


def edited(record: int, at: int, text: str) -> bytes:
    """The flat order with ``text`` at a position of one of its data records, counted from 1."""
    records = flat().splitlines(keepends=True)
    records[record] = records[record][:at] + text + records[record][at + len(text) :]
    return "".join(records).encode()


XML = PAYMENTS.encode()
FLAT = flat().encode()


def read(data: bytes, each: str = "idocs", **options: Any) -> list[Part]:
    return list(IdocSpec.model_validate(options).build().read(io.BytesIO(data)).parts(each))


def refused(data: bytes, each: str = "idocs", **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, each, **options)
    assert caught.value.code in codes()
    return caught.value


def inspected(data: bytes) -> Inspection:
    return IdocSpec.inspect(io.BytesIO(data))


# ---------------------------------------------------------------- payments


def test_a_payment_order_is_a_canonical_payment() -> None:
    first, second = (part.body for part in read(XML, "payments"))
    assert first == {
        "type": "payment",
        "id": "2000000815",
        "end_to_end_id": "F110-2000000815",
        "debtor": {
            "name": "Example Manufacturing BV",
            "account": {"iban": "NL91ABNA0417164300"},
            "address": {},
            "agent": {"bic": "ABNANL2A"},
        },
        "creditor": {
            "name": "Muster GmbH & Co. KG",
            "account": {"other": "0532013000"},
            "address": {
                "street": "Hauptstr.",
                "building": "1",
                "postcode": "50667",
                "town": "K\u00f6ln",
                "country": "DE",
            },
            "agent": {"member_id": "37040044"},
        },
        "amount": {"value": Decimal("3570.00"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "remittance": {
            "unstructured": [],
            "structured": [{"reference": "INV-1", "type": "CINV"}, {"reference": "INV-2", "type": "CINV"}],
        },
        "message_id": "0000000000814490",
    }
    assert not MODELS["payment"](first)
    assert (second["amount"]["value"], second["execution_date"]) == (Decimal("1190.00"), "2026-11-25")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("3570.00-", "3.570,00", "VAL807"),
        ("3570.00-", "-3570.00-", "VAL807"),
        ("3570.00-", "3570.005", "VAL807"),
        ("3570.00-", "", "VAL806"),
        ("<MOAQUAL>002", "<MOAQUAL>099", "VAL806"),
        ("<DATUM>20261124", "<DATUM>20260230", "VAL807"),
        ("E1IDKU1", "E1IDKUX", "VAL806"),
        (">EUR<", ">XXQ<", "VAL807"),
    ],
)
def test_a_bad_payment_is_refused_alone(old: str, new: str, code: str) -> None:
    begin, middle, end = PAYMENTS.partition("</IDOC>")
    data = (begin.replace(old, new) + middle + end).encode()
    assert data != XML
    parts = read(data, "payments")
    assert [part.error.code if part.error else None for part in parts] == [code, None]
    assert code in {finding.code for finding in inspected(data).findings}


# ---------------------------------------------------------------- orders, invoices, trees


def test_an_order_is_the_same_from_xml_and_flat_records() -> None:
    (order,) = (part.body for part in read(FLAT, "documents"))
    assert order == {
        "type": "ORDERS05",
        "message_type": "ORDERS",
        "document_number": "0000000000814500",
        "number": "4500000100",
        "kind": "NB",
        "currency": "EUR",
        "payment_terms": "0001",
        "dates": {"012": "2026-11-24"},
        "references": {"001": "4500000100"},
        "partners": {
            "LF": {"number": "0000100009", "name": "Muster GmbH", "address": {"town": "K\u00f6ln", "country": "DE"}}
        },
        "items": [
            {
                "line": "00010",
                "quantity": Decimal("2.000"),
                "unit": "PCE",
                "price": Decimal("95.05"),
                "amount": Decimal("190.10"),
                "currency": "EUR",
                "identifiers": {"001": "MAT-1"},
                "text": "Pump",
                "references": {},
            },
            {
                "line": "00020",
                "quantity": Decimal(1),
                "unit": "PCE",
                "price": None,
                "amount": Decimal("-10.00"),
                "currency": "EUR",
                "identifiers": {},
                "text": "",
                "references": {},
            },
        ],
        "sums": {"002": Decimal("180.10")},
    }
    assert [part.body for part in read(orders_xml().encode(), "documents")] == [order]


def test_trees_keep_what_is_not_known() -> None:
    (tree,) = (part.body for part in read(FLAT))
    assert tree["control"]["SNDPRN"] == "ERP"
    assert tree["E1EDP01"][1]["Z1EXTRA"] == [{"SDATA": "something of ours"}]
    (own,) = (part.body for part in read(FLAT, segments={"Z1EXTRA": "WHAT:10 REST:20"}))
    assert own["E1EDP01"][1]["Z1EXTRA"] == [{"WHAT": "something", "REST": "of ours"}]
    for text in ("WHAT", "WHAT:0x", "A:999 B:2", ""):
        with pytest.raises(ValidationError, match="Z1EXTRA"):
            IdocSpec.model_validate({"segments": {"Z1EXTRA": text}})


def test_flat_records_without_line_ends_and_several_idocs() -> None:
    data = flat("") + flat("", "0000000000814501")
    assert len(data) == 2 * (524 + len(TREE) * 1063)
    bodies = [part.body for part in read(data.encode("latin-1"), "documents", encoding="iso-8859-1")]
    assert [body["document_number"] for body in bodies] == ["0000000000814500", "0000000000814501"]
    assert len(read(data.encode(), "documents")) == 2, "a character is a character, whatever its bytes"
    trimmed = "\n".join(line.rstrip() for line in flat().splitlines())
    assert [part.body for part in read(trimmed.encode(), "documents")] == [
        part.body for part in read(FLAT, "documents")
    ]


@pytest.mark.parametrize(
    ("external", "usual"),
    [
        ("E2EDK01005", "E1EDK01"),
        ("E2EDKA1", "E1EDKA1"),
        ("Z2EXTRA000", "Z1EXTRA"),
        ("E1EDK01", "E1EDK01"),
        ("ZZZ", "ZZZ"),
    ],
)
def test_names_of_segments(external: str, usual: str) -> None:
    assert usual_name(external) == usual


def test_another_type_is_an_error_of_its_own() -> None:
    (part,) = read(FLAT, "payments")
    assert part.error is not None
    assert part.error.code == "VAL805"
    assert [part.error.code for part in read(XML, "documents") if part.error] == ["VAL805"] * 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "VAL302"),
        (b"hello world\n", "VAL800"),
        (b"<a/>", "VAL800"),
        (b"<PEXR2002><IDOC/></PEXR2002>", "VAL801"),
        (XML[:-20], "VAL401"),
        (b"<!DOCTYPE x []>" + XML[39:], "SEC100"),
        (b"<A><IDOC><EDI_DC40/>" + b"<S SEGMENT='1'>" * 80 + b"</S>" * 80 + b"</IDOC></A>", "SEC101"),
        (edited(2, 33, "0000000000814599"), "VAL802"),
        (edited(3, 49, "000001"), "VAL803"),
        (edited(6, 55, "000099"), "VAL803"),
        (flat("").encode()[:-100], "VAL804"),
        (FLAT.replace("\u00f6".encode(), b"\xf6"), "VAL306"),
    ],
)  # fmt: skip
def test_the_file_is_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_inspection_counts_as_an_independent_count_does() -> None:
    found = inspected(XML)
    assert (found.format, found.kind, found.findings) == ("idoc", "payments", ())
    amounts = [Decimal(text) for text in re.findall(r"<MOABETR>([0-9.]+)-</MOABETR>", PAYMENTS)]
    assert len(found.documents) == PAYMENTS.count("<IDOC ") == len(amounts)
    assert sum(total.amount for document in found.documents for total in document.totals) == sum(amounts)
    (order,) = inspected(FLAT).documents
    assert [(t.currency, t.count, t.amount) for t in order.totals] == [("EUR", 2, Decimal("200.10"))]
    assert IdocSpec.detect(FLAT[:4096], "x") > 0.9
    assert IdocSpec.detect(XML[:4096], "x") > 0.9


STATS = {"E1STATS": "TABNAM:10 MANDT:3 DOCNUM:16 STATUS:2 STATXT:70"}
PAYMENT_SEGMENTS = {
    "E1IDKU1": "BGMTYP:3 BGMREF:35",
    "E1IDKU5": "MOAQUAL:3 MOABETR:18 CUXWAERZ:3",
    "E1IDPU5": "MOAQUAL:3 MOABETR:18 CUXWAERZ:3",
    "E1IDPU1": "DOCNAME:3",
}
"""As a route declares those of its own release."""


def written(bodies: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    IdocSpec.model_validate(options).build().write(bodies, target, WriteContext("0" * 32, 1_795_000_000_000))
    return target.getvalue()


STATUS: dict[str, Any] = {
    "control": {"MANDT": "800", "DOCNUM": "0000000000000001", "IDOCTYP": "SYSTAT01", "MESTYP": "STATUS"},
    "E1STATS": [
        {"TABNAM": "EDI_DS", "DOCNUM": "0000000000814490", "STATUS": "16", "STATXT": "Bank took it & paid"},
        {"TABNAM": "EDI_DS", "DOCNUM": "0000000000814491", "STATUS": "17", "STATXT": "AC04 <closed>"},
    ],
}


def test_an_acknowledgement_is_written_in_both_forms() -> None:
    head = {"TABNAM": "EDI_DC40", "CREDAT": "20261118", "CRETIM": "110640"}
    wanted = {**STATUS, "control": {**STATUS["control"], **head}}
    data = written([STATUS, STATUS])
    assert [part.body for part in read(data)] == [wanted, wanted]
    flat_data = written([STATUS], form="flat", names={"E1STATS": "E2STATS002"}, line_end="none", segments=STATS)
    assert len(flat_data) == 524 + 2 * 1063
    assert flat_data[524:].startswith(b"E2STATS002".ljust(30) + b"800" + b"0000000000000001" + b"00000100000002")
    (body,) = (part.body for part in read(flat_data, segments=STATS))
    assert body["E1STATS"] == STATUS["E1STATS"]
    assert {k: v for k, v in body["control"].items() if v} == wanted["control"]


def test_a_status_record_has_the_fields_that_sap_documents() -> None:
    """SAP Library, E2STATS: where the text of a status begins, and that later fields are not taken for it."""
    flat_data = written([STATUS], form="flat", names={"E1STATS": "E2STATS"}, line_end="none")
    record = flat_data[524:][:1063].decode()
    assert (record[63:73].strip(), record[76:92], record[106:108]) == ("EDI_DS", "0000000000814490", "16")
    assert record[63 + 103 :].startswith("Bank took it & paid ")
    assert [part.body["E1STATS"] for part in read(flat_data)] == [STATUS["E1STATS"]]


def test_payments_in_flat_records_need_the_segments_of_their_release() -> None:
    trees = [part.body for part in read(XML)]
    flat_data = written(trees, form="flat", segments=PAYMENT_SEGMENTS)
    wanted = [part.body for part in read(XML, "payments")]
    assert [part.body for part in read(flat_data, "payments", segments=PAYMENT_SEGMENTS)] == wanted
    # What the bodies do not come from need not be declared to read them.
    needed = {name: PAYMENT_SEGMENTS[name] for name in ("E1IDKU1", "E1IDKU5", "E1IDPU5")}
    assert [part.body for part in read(flat_data, "payments", segments=needed)] == wanted


@pytest.mark.parametrize("left_out", ["E1IDKU1", "E1IDKU5", "E1IDT01"])
def test_a_flat_segment_that_is_not_declared_is_told_with_what_to_write(left_out: str) -> None:
    declared = {**PAYMENT_SEGMENTS, "E1IDT01": "TXTVW:3 TXT01:70 TXT02:70"}
    (tree, _) = (part.body for part in read(XML))
    data = written([{**tree, "E1IDT01": [{"TXT01": "Thank you"}]}], form="flat", segments=declared)
    del declared[left_out]
    (part,) = read(data, "payments", segments=declared)
    assert part.error is not None
    assert (part.error.code, left_out in part.error.message) == ("VAL670", True)
    assert f'segments: {{{left_out}: "' in part.error.hint
    assert "WE60" in part.error.hint
    assert part.error.place.endswith(left_out)


def test_the_banks_of_a_flat_payment_stand_where_the_data_dictionary_has_them() -> None:
    """E1IDB02: qualifier, bank key and its type, another key and its type, name and city, country, account."""
    bank = {
        "FIIQUALI": "BB",
        "FIIBKENN": "37040044",
        "FIIBKUKN": "COBADEFFXXX",
        "FIIBLAND": "DE",
        "FIIKONTO": "532013000",
    }
    control = {"DOCNUM": "1", "IDOCTYP": "PEXR2002", "MESTYP": "PAYEXT"}
    record = written([{"control": control, "E1IDB02": [bank]}], form="flat").decode().splitlines()[1]
    assert (record[:7], record[63:66], record[66:74], record[80:91]) == ("E2IDB02", "BB ", "37040044", "COBADEFFXXX")
    assert (record[240:242], record[243:252]) == ("DE", "532013000")


PAID = st.lists(st.tuples(st.integers(1, 10**12), st.sampled_from(["EUR", "JPY", "KWD"])), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(PAID, st.sampled_from(["xml", "flat"]))
def test_a_payment_run_of_any_amounts_is_counted_and_summed_alike(worths: list[tuple[int, str]], form: str) -> None:
    digits = {"EUR": 2, "JPY": 0, "KWD": 3}
    amounts = [(Decimal(cents).scaleb(-digits[currency]), currency) for cents, currency in worths]
    (pattern, _) = (part.body for part in read(XML))
    trees = [
        {
            **pattern,
            "control": {**pattern["control"], "DOCNUM": f"{number:016}"},
            "E1IDKU5": [{"MOAQUAL": "002", "MOABETR": f"{value:f}-", "CUXWAERZ": currency}],
        }
        for number, (value, currency) in enumerate(amounts, 1)
    ]
    data = written(trees, form=form, segments=PAYMENT_SEGMENTS)
    bodies = [part.body for part in read(data, "payments", segments=PAYMENT_SEGMENTS)]
    assert [(body["amount"]["value"], body["amount"]["currency"]) for body in bodies] == amounts
    assert bodies[0]["creditor"]["account"] == {"other": "0532013000"}


def test_the_kind_of_a_text_is_no_text() -> None:
    text = "<E1IDT01 SEGMENT='1'><TXTVW>ZZ</TXTVW><TXT01>Invoice 7</TXT01><TXT02>less 2 %</TXT02></E1IDT01>"
    first = read(PAYMENTS.replace("<E1IDPU1", text + "<E1IDPU1", 1).encode(), "payments")[0]
    assert first.body["remittance"]["unstructured"] == ["Invoice 7", "less 2 %"]


@pytest.mark.parametrize("data", [FLAT, XML], ids=["flat", "xml"])
def test_what_was_read_is_written_again(data: bytes) -> None:
    bodies = [part.body for part in read(data)]
    assert [p.body for p in read(written(bodies)) if p.error is None] == [_without_blanks(body) for body in bodies]
    if data is FLAT:
        again = read(written(bodies, form="flat"))
        assert [_without_blanks(part.body) for part in again] == [_without_blanks(body) for body in bodies]


def _without_blanks(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: _without_blanks(value) for key, value in body.items() if value not in ("", [])} | (
            {"control": _control(body["control"])} if "control" in body else {}
        )
    return [_without_blanks(value) for value in body] if isinstance(body, list) else body


def _control(fields: dict[str, str]) -> dict[str, str]:
    return {"TABNAM": "EDI_DC40", "CREDAT": "20261118", "CRETIM": "110640", **{k: v for k, v in fields.items() if v}}


@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [
        ({"control": {"IDOCTYP": "SYSTAT01"}}, {}, "VAL808"),
        ({"control": {**STATUS["control"], "WHAT": "x"}}, {}, "VAL808"),
        ({"control": {**STATUS["control"], "MANDT": "8000"}}, {}, "VAL808"),
        ({"control": 7}, {}, "VAL335"),
        ({"E1STATS": [7]}, {}, "VAL808"),
        ({"e1<": [{}]}, {}, "VAL808"),
        ({"E1STATS": [{"a b": "1"}]}, {}, "VAL808"),
        ({"E1STATS": [{"STATXT": "\x00"}]}, {}, "VAL808"),
        ({"E1STATS": [{"STATXT": 1.5}]}, {}, "VAL808"),
        ({"E1STATS": [{"STATXT": "x" * 71}]}, {"form": "flat", "segments": STATS}, "VAL808"),
        ({"E1STATS": [{"STATXT": "a\nb"}]}, {"form": "flat", "segments": STATS}, "VAL808"),
        ({"E1OTHER": [{"FIELD": "1"}]}, {"form": "flat"}, "VAL808"),
        ({"E1STATS": [{"STATXT": "\u20ac"}]}, {"form": "flat", "encoding": "iso-8859-1", "segments": STATS}, "VAL333"),
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any], options: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        written([{**STATUS, **changes}], **options)
    assert caught.value.code == code
    assert code in codes()


def test_nothing_and_another_type_and_other_records() -> None:
    with pytest.raises(Rejected, match="VAL334"):
        written([])
    with pytest.raises(Rejected, match="VAL808"):
        written([STATUS, {**STATUS, "control": {**STATUS["control"], "IDOCTYP": "ALEAUD01"}}])
    assert refused(XML, "rows").code == "VAL301"


VALUES = st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S")), min_size=1, max_size=20)
OWN = {"Z1ONE": "FIRST:20 SECOND:20", "Z1TWO": "THIRD:20"}


def segments(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Segments of the two kinds with fields and with others below them."""
    below = st.dictionaries(st.sampled_from(sorted(OWN)), st.lists(children, min_size=1, max_size=2), max_size=2)
    one = st.fixed_dictionaries({"FIRST": VALUES}, optional={"SECOND": VALUES})
    two = st.fixed_dictionaries({"THIRD": VALUES})
    return st.one_of(st.tuples(st.just("Z1ONE"), one, below), st.tuples(st.just("Z1TWO"), two, below)).map(
        lambda made: {made[0]: [{**made[1], **_of_kind(made[2])}]}
    )


def _of_kind(below: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What stands below a segment, by the name of its kind."""
    found: dict[str, Any] = {}
    for bodies in below.values():
        for body in bodies:
            for name, rows in body.items():
                found.setdefault(name, []).extend(rows)
    return found


TREES = st.recursive(st.builds(lambda text: {"Z1TWO": [{"THIRD": text}]}, VALUES), segments, max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(TREES, min_size=1, max_size=3), st.sampled_from(["xml", "flat"]), st.sampled_from(["lf", "crlf", "none"])
)
def test_any_tree_comes_back(trees: list[dict[str, Any]], form: str, end: str) -> None:
    control = {"DOCNUM": "0000000000000001", "IDOCTYP": "ZOWN01", "MESTYP": "ZOWN"}
    bodies = [{"control": {**control, "DOCNUM": f"{n:016}"}, **tree} for n, tree in enumerate(trees, 1)]
    options = {"form": form, "line_end": end, "segments": OWN, "encoding": "iso-8859-1"}
    again = read(written(bodies, **options), segments=OWN, encoding="iso-8859-1")
    assert [_without_blanks(part.body) for part in again] == [_without_blanks(body) for body in bodies]


@settings(max_examples=120, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(
            st.sampled_from([XML, FLAT, flat("").encode()]),
            st.integers(0, 4000),
            st.integers(0, 30),
            st.binary(max_size=6),
        ).map(lambda x: x[0][: x[1]] + x[3] + x[0][x[1] + x[2] :]),
    ),
    st.sampled_from(["idocs", "payments", "documents"]),
)
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes, each: str) -> None:
    inspected(data)
    try:
        read(data, each)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right
