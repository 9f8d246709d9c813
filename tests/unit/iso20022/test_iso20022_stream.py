"""The stream: whatever the layout of a file and wherever it is cut, the same records come out, each exactly once."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import NAMESPACE, camt053, details, entry, pain001, read, statement
from lxml import etree

from bus import Rejected
from transforms._plain_xml import plain
from transforms.iso20022.opening import opening
from transforms.iso20022.shapes import Shapes
from transforms.iso20022.stream import Record, events


def flat(content: bytes) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Events with the non-empty values of their records."""
    file = plain(io.BytesIO(content), 1 << 30)
    return [
        (event.kind, [told(record) for record in event.records])
        for event in events(file, opening(file))
        if event.kind != "message"
    ]


def told(record: Record) -> tuple[str, ...]:
    """The non-empty values of a record, those of its details last, where they stand in the entries of these tests."""
    values = [*record.values, *(value for _, inner in record.details for value in inner)]
    return tuple(v.strip() for v in values if v.strip())


def joined(content: bytes) -> list[tuple[str, list[tuple[str, ...]]]]:
    """As :func:`flat`, with the records of a container in one list however the file was cut."""
    together: list[tuple[str, list[tuple[str, ...]]]] = []
    for kind, records in flat(content):
        if kind == "records" and together and together[-1][0] == "records":
            together[-1][1].extend(records)
        else:
            together.append((kind, list(records)))
    return together


def by_tree(content: bytes) -> list[tuple[str, list[tuple[str, ...]]]]:
    """The same from one tree of the whole document, without any of the code under test."""
    root = etree.fromstring(content, etree.XMLParser(remove_comments=True, remove_pis=True, strip_cdata=True))
    found: list[tuple[str, list[tuple[str, ...]]]] = []

    def texts(element: Any, skip: str = "") -> tuple[str, ...]:
        values: list[str] = []

        def go(one: Any) -> None:
            values.extend(str(v) for v in one.attrib.values())
            inner = [child for child in one if etree.QName(child).localname != skip or one is not element]
            if not len(one):
                values.append(one.text or "")
            for child in inner:
                go(child)

        go(element)
        return tuple(v.strip() for v in values if v.strip())

    for container in root.iter("{*}Stmt"):
        found.append(("container", [texts(container, "Ntry")]))
        records = [texts(one) for one in container.iterchildren("{*}Ntry")]
        if records:
            found.append(("records", records))
        found.append(("end", []))
    return found


MANY = camt053(
    statement([]),
    statement([entry(ref=f"a{n}", inner=details() if n % 3 else "") + "\n" for n in range(40)]),
    statement([entry(ref="only")]),
    statement([]),
    statement([entry(ref=f"b{n}", inner=details(f"E{n}") * (n % 4)) for n in range(40)], closing="500.00"),
    statement([]),
)


@pytest.mark.parametrize("size", [150, 300, 777, 4_000, 1 << 20])
def test_records_do_not_depend_on_where_the_file_is_cut(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", size)
    assert joined(MANY) == by_tree(MANY)


ODD: dict[str, Any] = {
    "comments": lambda t: t.replace(b"<Ntry>", b"<Ntry><!-- </Ntry><Ntry> -->"),
    "cdata": lambda t: t.replace(b"<NtryRef>a", b"<NtryRef><![CDATA[</Ntry>a]]>"),
    "instructions": lambda t: t.replace(b"</Ntry>", b"</Ntry><?pi </Ntry>?>"),
    "spaced-ends": lambda t: t.replace(b"</Ntry>", b"</Ntry \n>"),
    "spaced-starts": lambda t: t.replace(b"<Ntry>", b"<Ntry\t>").replace(b"<Stmt>", b"<Stmt >"),
    "crlf": lambda t: t.replace(b"\n", b"\r\n").replace(b"><", b">\r\n   <"),
    "attributes": lambda t: t.replace(b"<Ntry>", b"<Ntry a='b>c' b=\"d\">"),
    "gaps": lambda t: t.replace(b"</Ntry>", b"</Ntry>\n\n  "),
    "empty": lambda t: t.replace(b"<BkTxCd>", b"<Empty/><Empty></Empty><BkTxCd>"),
    "utf16": lambda t: t.replace(b"UTF-8", b"UTF-16").decode().encode("utf-16"),
    "references": lambda t: t.replace(b">a", b">&#97;&amp;&lt;Ntry&gt;"),
    "nested": lambda t: t.replace(b"<NtryRef>a1</NtryRef>", b"<Ntry><Ntry>nested</Ntry></Ntry>"),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
@pytest.mark.parametrize("size", [500, 1 << 20])
def test_odd_spellings_give_the_same_records(change: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", size)
    text = change(MANY)
    if b"nested" in text:
        with pytest.raises(Rejected, match="VAL416"):
            flat(text)
    else:
        assert joined(text) == by_tree(text)


def test_any_prefix_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 600)
    root = etree.fromstring(MANY)
    whole = etree.Element(root.tag, nsmap={"p": etree.QName(root).namespace})
    whole.extend(root)
    etree.cleanup_namespaces(whole, keep_ns_prefixes=["p"])
    text = etree.tostring(whole)
    assert b"<p:Ntry>" in text
    assert joined(text) == by_tree(MANY)


@pytest.mark.parametrize("wrapper", ["Envelope", "BusMsg", "DataPDU", "RequestPayload"])
def test_a_message_is_found_in_any_wrapper(wrapper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 600)
    header = (
        '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr><FIId><FinInstnId>'
        "<BICFI>COBADEFFXXX</BICFI>"
        "</FinInstnId></FIId></Fr><To><OrgId><Id><OrgId><AnyBIC>ACMEDEFFXXX</AnyBIC></OrgId></Id></OrgId></To>"
        "<BizMsgIdr>B1</BizMsgIdr><MsgDefIdr>camt.053.001.08</MsgDefIdr><CreDt>2026-11-20T18:00:00Z</CreDt></AppHdr>"
    )
    inner = MANY.split(b"\n", 1)[1]
    text = f'<w:{wrapper} xmlns:w="urn:wrapper">{header}<Body>'.encode() + inner + f"</Body></w:{wrapper}>".encode()
    assert joined(text) == by_tree(MANY)
    file = plain(io.BytesIO(text), 1 << 30)
    assert opening(file).facts()["application_header"] == {
        "from": "COBADEFFXXX",
        "to": "ACMEDEFFXXX",
        "business_message_id": "B1",
        "message_definition": "camt.053.001.08",
        "created": "2026-11-20T18:00:00Z",
    }


def test_several_messages_in_one_wrapper_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = MANY.split(b"\n", 1)[1]
    text = b"<All>" + inner * 3 + b"</All>"
    for size in (700, 5_000, 1 << 20):
        monkeypatch.setattr("transforms.iso20022.stream._BLOCK", size)
        assert joined(text) == by_tree(text)


def test_nothing_is_lost_silently_beside_what_is_read() -> None:
    inner = MANY.split(b"\n", 1)[1]
    other = inner.replace(b"camt.053.001.08", b"camt.053.001.02")
    with pytest.raises(Rejected, match="VAL417"):
        flat(b"<All>" + inner + other + b"</All>")
    with pytest.raises(Rejected, match="VAL416"):
        flat(MANY.replace(b"</BkToCstmrStmt>", entry().encode() + b"</BkToCstmrStmt>"))
    with pytest.raises(Rejected, match="VAL416"):
        flat(camt053(entry()))
    foreign = MANY.replace(
        b"</Ntry>", b'<SplmtryData><x:Document xmlns:x="urn:x"><x:Ntry/></x:Document></SplmtryData></Ntry>'
    )
    assert len([r for kind, rs in joined(foreign) for r in rs if kind == "records"]) == 81


def test_elements_of_another_namespace_are_not_taken_for_ours() -> None:
    inner = '<x:Amt xmlns:x="urn:x" Ccy="EUR">999.00</x:Amt>'
    assert [p.body["amount"]["value"] for p in read(camt053(statement([entry("1.00", inner=inner)])))] == [1]
    text = camt053(statement([entry("1.00")])).replace(
        b"<NtryRef>", b'<Amt xmlns="urn:x" Ccy="EUR">999.00</Amt><NtryRef>'
    )
    assert [str(p.body["amount"]["value"]) for p in read(text)] == ["1.00"]


def test_texts_that_do_not_stand_for_the_records_beside_them_are_not_used() -> None:
    """One end tag is spelled so that the text is not cut there, and a foreign element makes up for it in number."""
    records = [entry(ref=name) for name in "ABCDE"]
    records[1] = records[1].replace("</Ntry>", "</Ntry >")
    records[4] = entry(ref="E", inner='<SplmtryData><Ntry xmlns="urn:x"></Ntry></SplmtryData>')
    text = camt053(statement(records))
    assert text.count(b"</Ntry>") == len(records)
    assert [part.body["reference"] for part in read(text)] == list("ABCDE")


def test_lines_and_numbers_of_records_are_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 700)
    text = camt053(statement(["\n\n" + entry(ref=str(n)) for n in range(30)]), statement(["\n" + entry()]))
    places = [part.place for part in read(text)]
    assert places[:2] == ["line 4, Ntry 1", "line 6, Ntry 2"]
    assert places[29:] == ["line 62, Ntry 30", "line 63, Ntry 31"]


def test_a_file_can_be_read_more_than_once() -> None:
    source = io.BytesIO(b"before" + MANY)
    source.seek(6)
    file = plain(source, 1 << 30)
    begun = opening(file)
    assert [e.kind for e in events(file, begun)] == [e.kind for e in events(file, begun)]


TEXTS = st.text(st.sampled_from("ab <>&\"']é\r\n\tﷰ𐍈-!?x;#"), max_size=12)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.lists(st.tuples(st.sampled_from(["A", "Ntr", "NtryX", "B"]), inner), min_size=1, max_size=3),
    max_leaves=8,
)


def built(parent: Any, tree: Any, attribute: str) -> None:
    if isinstance(tree, str):
        parent.text = tree
        if attribute:
            parent.set("Ccy", attribute)
        return
    for name, inner in tree:
        built(etree.SubElement(parent, f"{{{NAMESPACE}camt.053.001.08}}{name}"), inner, attribute)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TREES, TEXTS), min_size=1, max_size=8), st.booleans())
def test_reading_by_text_equals_reading_the_tree(records: list[tuple[Any, str]], pretty: bool) -> None:  # noqa: FBT001
    root = etree.fromstring(camt053(statement([])))
    stmt = root.find(".//{*}Stmt")
    assert stmt is not None
    for tree, attribute in records:
        built(etree.SubElement(stmt, f"{{{NAMESPACE}camt.053.001.08}}Ntry"), tree, attribute)
    text = etree.tostring(root, encoding="UTF-8", pretty_print=pretty)
    assert joined(text) == by_tree(text)


def test_a_shape_is_learned_once_and_reads_what_the_tree_says() -> None:
    shapes = Shapes("Ntry", 4)
    known = shapes.read(entry("1.00").removesuffix("</Ntry>"))
    again = shapes.read("</Stmt><Stmt>" + entry("2.00", ref="x &amp; y").removesuffix("</Ntry>"))
    assert known is not None
    assert again is not None
    assert known[0] is again[0]
    assert [again[1][again[0].index(path)] for path in ("Amt", "Amt@Ccy", "NtryRef", "Sts/Cd", "No|NtryRef", "No")] == [
        "2.00",
        "EUR",
        "x & y",
        "BOOK",
        "x & y",
        "",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "<NtryX><A></A>",
        "<Ntry><A>",
        "<Ntry></A>",
        "<Ntry><A></B>",
        "<Ntry>t<A></A>",
        "<Ntry><A x:y='1'></A>",
        "<Ntry><A b=1></A>",
        "<Ntry><A xmlns='u'></A>",
        "<Ntry><A></A></Ntry><Ntry>",
        "<Ntry><A>" + "<B>" * 70,
        "<Ntry>" + "<A></A>" * 3_000,
    ],
)
def test_what_is_not_exactly_one_record_is_left_to_the_tree(text: str) -> None:
    assert Shapes("Ntry", 4).read(text) is None


def test_shapes_that_never_repeat_are_not_collected_without_end() -> None:
    shapes = Shapes("Ntry", 4)
    found = [shapes.read(f"<Ntry><A{n}>x</A{n}>") for n in range(100)]
    assert sum(one is not None for one in found) == 48
    text = camt053(statement([entry(inner=f"<X{n}>y</X{n}>") for n in range(120)]))
    assert joined(text) == by_tree(text)


def test_pain001_with_many_blocks_is_cut_within_and_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from iso_documents import block, transaction  # noqa: PLC0415 - only this test needs them

    blocks = [block([transaction(end_to_end=f"{b}-{n}") for n in range(b % 5 + 1)], "", "", f"P{b}") for b in range(30)]
    text = pain001(blocks, "", "")
    for size in (300, 2_000, 1 << 20):
        monkeypatch.setattr("transforms.iso20022.stream._BLOCK", size)
        found = [(p.body["payment_information_id"], p.body["end_to_end_id"]) for p in read(text)]
        assert found == [(f"P{b}", f"{b}-{n}") for b in range(30) for n in range(b % 5 + 1)]


def test_shapes_that_never_repeat_are_at_last_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.shapes._LUCK", 10)
    shapes = Shapes("Ntry", 4)
    for n in range(60):
        shapes.read(f"<Ntry><A{n}>x</A{n}>")
    assert shapes.read("<Ntry><A0>x</A0>") is None
    text = camt053(statement([entry(inner=f"<X{n}>y</X{n}>") for n in range(100)]), statement([entry()] * 5))
    assert joined(text) == by_tree(text)
