"""Hostile and broken XML: refused with a code and a line, in every encoding, before it costs anything."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from iso_documents import camt053, entry, read, statement

from bus import Rejected
from transforms._plain_xml import plain
from transforms.iso20022 import Iso20022Spec

GOOD = camt053(statement([entry(ref="A"), entry(ref="B")], closing="120.00"))
BODY = GOOD.split(b"\n", 1)[1]
BOMB = (
    b'<!DOCTYPE Document [<!ENTITY a "1234567890">'
    + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]>"
)


def refusal(content: bytes, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(content, **options)
    return caught.value


@pytest.mark.parametrize(
    "prolog",
    [
        b"<!DOCTYPE Document>",
        b'<!DOCTYPE Document SYSTEM "file:///etc/passwd">',
        b'<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        b"<!-- harmless --><!DOCTYPE Document []>",
        b"<?pi x?>\n\n<!DOCTYPE Document []>",
        BOMB,
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_any_document_type_declaration_is_refused_in_every_encoding(prolog: bytes, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n'.encode() + prolog + BODY
    error = refusal(text.decode().encode(encoding))
    assert error.code == "SEC100"
    assert error.place.startswith("line ")


def test_an_external_entity_is_never_read(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("10.00")
    text = GOOD.replace(b"<Document", f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret}">]><Document'.encode(), 1)
    assert refusal(text.replace(b">10.00<", b">&x;<")).code == "SEC100"


def test_an_entity_without_a_declaration_is_refused_in_plain_and_rewritten_files() -> None:
    text = GOOD.replace(b">10.00<", b">&amount;<")
    assert refusal(text).code == "SEC105"
    assert refusal(text.replace(b"<BkToCstmrStmt>", b"<BkToCstmrStmt><!-- c -->")).code == "SEC105"


def test_the_five_entities_and_character_references_are_read() -> None:
    text = GOOD.replace(b"<NtryRef>A<", b"<NtryRef>&amp;lt;&lt;&#65;&#x42;&apos;&quot;&gt;<")
    assert [part.body["reference"] for part in read(text)] == ["&lt;<AB'\">", "B"]


@pytest.mark.parametrize("cut", [1, 30, 200, 700, 1000, len(GOOD) - 3])
def test_a_truncated_file_is_refused_with_its_last_line(cut: int) -> None:
    error = refusal(GOOD[:cut])
    assert error.code == "VAL401"
    assert error.place in ("line 1", "line 2")


def test_a_truncated_file_gives_parts_before_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 512)
    text = camt053(statement([entry(ref=str(n)) + "\n" for n in range(50)]))
    parts = Iso20022Spec().build().read(io.BytesIO(text[:-400])).parts("entries")
    seen = []
    with pytest.raises(Rejected, match="VAL401"):
        seen.extend(parts)
    with pytest.raises(Rejected, match="line 52"):
        list(Iso20022Spec().build().read(io.BytesIO(text[:-30])).parts("entries"))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "VAL402"),
        (b" \n\t", "VAL402"),
        (b"not xml", "VAL400"),
        (b"\xff\xfe", "VAL401"),
        (GOOD.replace(b"</Ntry>", b"</Ntri>", 1), "VAL400"),
        (GOOD + b"<more/>", "VAL400"),
        (GOOD.replace(b"Ccy=", b"Ccy='X' Ccy=", 1), "VAL400"),
        (GOOD.replace(b"<MsgId>M1", b"<MsgId>M\x001"), "VAL400"),
        (GOOD.replace(b"<MsgId>M1", b"<MsgId>M\x011"), "VAL400"),
        (GOOD.replace(b"<MsgId>M1", b"<MsgId>M\xe41"), "VAL407"),
        (GOOD.replace(b"UTF-8", b"UTF-16"), "VAL407"),
        (GOOD.replace(b"UTF-8", b"UTF-7"), "SEC104"),
        (GOOD.replace(b"UTF-8", b"x-nonsense"), "SEC104"),
        (GOOD.replace(b"UTF-8", b"US-ASCII").replace(b"M1", "Ü".encode()), "VAL407"),
        (GOOD.decode().encode("utf-16"), "VAL407"),
        (GOOD.decode().replace("UTF-8", "UTF-16").encode("utf-16")[:-1], "VAL401"),
        (b"\xef\xbb\xbf" + GOOD.replace(b"UTF-8", b"ISO-8859-1"), "VAL407"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><!-- a -- b -->"), "VAL400"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><!-- a --->"), "VAL400"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><!-- a"), "VAL401"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><!ENTITY x 'y'>"), "VAL400"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><!DOCTYPE x>"), "SEC100"),
        (GOOD.replace(b"<Stmt>", b"<Stmt><?xml version='1.0'?>"), "VAL400"),
        (GOOD + b"<!", "VAL401"),
        (GOOD + b"<", "VAL400"),
        (b'\n<?xml version="1.0" encoding="UTF-8"?>' + BODY, "VAL400"),
        (b"<html><body>404</body></html>", "VAL403"),
        (GOOD.replace(b"camt.053.001.08", b"pacs.009.001.08").replace(b"BkToCstmrStmt", b"FICdtTrf"), "VAL403"),
        (GOOD.replace(b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", b"urn:other"), "VAL403"),
    ],
)
def test_what_is_no_message_is_refused_with_its_code(content: bytes, code: str) -> None:
    error = refusal(content)
    assert error.code == code
    assert "Traceback" not in error.message


def test_broken_xml_is_told_with_the_line_of_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 1024)
    lines = [entry(ref=str(n)) + "\n" for n in range(200)]
    lines[150] = lines[150].replace("</Amt>", "</Amd>")
    assert refusal(camt053(statement(lines))).place == "line 152"
    lines[150] = entry(ref="\udcff").encode("utf-8", "surrogateescape").decode("latin-1") + "\n"
    text = camt053(statement(["@\n" if n == 150 else entry() + "\n" for n in range(200)])).replace(b"@", b"\xff")
    assert refusal(text).code == "VAL407"


def test_elements_nested_too_deeply_are_refused() -> None:
    deep = "<X>" * 70 + "</X>" * 70
    assert refusal(camt053(statement([entry(inner=deep)]))).code == "SEC101"
    assert refusal(camt053(statement([entry(inner="<!-- c -->" + deep)]))).code == "SEC101"
    assert refusal(camt053(statement([entry(inner="<X>" * 300 + "</X>" * 300)]))).code == "SEC103"


def test_a_huge_text_is_refused() -> None:
    assert refusal(camt053(statement([entry(ref="x" * 10_000_001)]))).code == "SEC103"


def test_the_size_limit_holds_for_files_and_streams() -> None:
    assert refusal(GOOD, max_size=len(GOOD) - 1).code == "SEC102"
    assert len(read(GOOD, max_size=len(GOOD))) == 2
    assert refusal(GOOD.decode().replace("UTF-8", "UTF-16").encode("utf-16"), max_size=1000).code == "SEC102"

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert len(list(Iso20022Spec().build().read(Pipe(GOOD)).parts("entries"))) == 2
    with pytest.raises(Rejected, match="SEC102"):
        Iso20022Spec(max_size=100).build().read(Pipe(GOOD))


def test_one_record_may_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._LONGEST_RECORD", 2_000)
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 500)
    assert refusal(camt053(statement([entry(inner="<X>y</X>" * 500)]))).code == "SEC107"


def test_a_head_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.opening._LONGEST_HEAD", 10_000)
    assert refusal(b"<Envelope>" + b"<a>b</a>" * 10_000 + b"</Envelope>").code == "SEC106"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [("UTF-16", "utf-16"), ("ISO-8859-1", "latin-1"), ("windows-1252", "cp1252"), ("utf-8", "utf-8-sig")],
)
def test_accepted_encodings_are_read(declared: str, codec: str) -> None:
    text = GOOD.decode().replace("UTF-8", declared).replace("<NtryRef>A<", "<NtryRef>Größe<")
    assert [part.body["reference"] for part in read(text.encode(codec))] == ["Größe", "B"]


def test_a_plain_file_is_not_copied_and_an_odd_one_is_rewritten_with_its_lines() -> None:
    source = io.BytesIO(GOOD)
    assert plain(source, 10_000).file is source
    odd = GOOD.replace(b"<Stmt>", b"<!--\n\n--><Stmt><![CDATA[ \n ]]><?x\ny?>")
    rewritten = plain(io.BytesIO(odd), 10_000)
    assert rewritten.file is not source
    text = rewritten.file.read()
    assert b"<!" not in text
    assert text.count(b"\n") == odd.count(b"\n")
    odd = odd.replace(b"<Amt", b"<Amt\n", 2).replace(b">10.00<", b">10<!-- -->.00<", 1)
    odd = odd.replace(b"<BookgDt><Dt>2026-11-20", b"<BookgDt><Dt>2026-11-32")
    error = [part.error for part in read(odd)][1]
    assert error is not None
    assert error.place == "line 8, Ntry 2"


def test_no_message_quotes_what_stands_in_the_file() -> None:
    for content in (GOOD.replace(b">10.00<", b">s3cret<"), GOOD.replace(b"CRDT", b"s3cret")):
        text = str(refusal(content, validate="strict"))
        assert "s3cret" not in text
        assert all("s3cret" not in f.message for f in Iso20022Spec.inspect(io.BytesIO(content)).findings)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_oddities_are_taken_out_wherever_a_block_ends(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = GOOD.replace(b">10.00<", b">1<!-- - \n> -->0<![CDATA[.0]]>0<?p?q > ?><")
    odd = odd.replace(b"<Stmt>", b"<!-- a\n --><Stmt><?x <Ntry>?>")
    whole = plain(io.BytesIO(odd), 10_000).file.read()
    monkeypatch.setattr("transforms._plain_xml._BLOCK", size)
    assert plain(io.BytesIO(odd), 10_000).file.read() == whole
    assert b"<!" not in whole
    assert b"<?" not in whole
    text = GOOD.replace(b"<NtryRef>A", b"<NtryRef><![CDATA[A & <B> ]]]]><![CDATA[>]]>")
    assert [p.body["reference"] for p in read(text)] == ["A & <B> ]]>", "B"]


@pytest.mark.parametrize("brace", "{}")
@pytest.mark.parametrize("where", ["Document", "Stmt", "wrapper", "attribute"])
def test_braces_in_a_namespace_are_no_crash(brace: str, where: str) -> None:
    uri = f'xmlns="urn:a{brace}b"'
    content = camt053(statement([entry()])).decode().partition("?>")[2]
    if where == "Document":
        content = content.replace('xmlns="urn', f'xmlns="urn{brace}', 1)
    elif where == "Stmt":
        content = content.replace("<Ntry>", f"<Document {uri}><BkToCstmrStmt/></Document><Ntry>")
    elif where == "wrapper":
        content = f"<E {uri}>{content}</E>"
    else:
        content = f"<E xmlns:n='urn:{brace}' n:a='1'>{content}</E>"
    Iso20022Spec.inspect(io.BytesIO(content.encode()))
    for spec in (Iso20022Spec(balances="ignore"), Iso20022Spec.model_validate({"as": "json"})):
        for each in ("records", "Ntry"):
            with contextlib.suppress(Rejected):
                list(spec.build().read(io.BytesIO(content.encode())).parts(each))
