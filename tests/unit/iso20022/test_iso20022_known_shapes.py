"""Records of known shapes are read without libxml2: nothing else may come out than where it sees every byte."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import camt053, details, entry, read, statement
from lxml import etree

from bus import Rejected
from transforms._xml import is_text
from transforms.iso20022 import Iso20022Spec

ENTRIES = [entry(f"{n}.00", ref=f"r{n}", inner=details(f"E{n}")) + "\n" for n in range(1, 15)]
TWELVE = camt053(statement(ENTRIES, closing="205.00"))
ODD = [
    *(bytes([n]) for n in range(256)),
    *(b"", b"&amp;", b"&#65;", b"&#0;", b"&#xD800;", b"&amp", b"&x;", b"]]>", b"\r\n", b"\xc0\x80", b"\xed\xa0\x80"),
    *(b"\xef\xbf\xbd", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xf4\x90\x80\x80"),
    *(
        b"</Ntry>",
        b"<Ntry>",
        b"<",
        b"/>",
        b" a='b'",
        b' Ccy="x\ty"',
        b"<A/>",
        b"<1/>",
        b"<!-- -->",
        b"<?p?>",
        b"<![CDATA[",
    ),
]


def result(content: bytes, **options: Any) -> list[Any]:
    """All that is told of a file: records, places, and last the findings, or why all of it is refused."""
    told: list[Any] = []
    try:
        document = Iso20022Spec(**options).build().read(io.BytesIO(content))
        told.extend((part.place, part.body, part.raw, str(part.error)) for part in document.parts(""))
    except Rejected as error:
        return [*told, (error.code, error.place, error.message, error.findings)]
    return [*told, list(document.findings)]


def is_well_formed(content: bytes) -> bool:
    try:
        etree.fromstring(content)
    except etree.XMLSyntaxError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(st.integers(700, len(TWELVE) - 1), st.integers(0, 3), st.sampled_from(ODD))
def test_a_changed_byte_changes_the_result_as_libxml2_says(at: int, less: int, more: bytes) -> None:
    content = TWELVE[:at] + more + TWELVE[at + less :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transforms.iso20022.stream._BLOCK", 700)
        quick = result(content)
        patch.setattr("transforms.iso20022.stream.is_text", lambda _: False)
        assert quick == result(content)
    if not is_well_formed(content) and not more.startswith((b"<!", b"<?")):  # those are taken out before
        assert quick[-1][0].startswith(("VAL", "SEC"))


def test_libxml2_sees_only_what_is_not_of_a_known_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 2_000)
    seen: list[bytes] = []
    monkeypatch.setattr("transforms.iso20022.stream.must_be_well_formed", lambda content, *_: seen.append(content))
    other = entry("1.00", ref="other", inner="<AddtlNtryInf>x</AddtlNtryInf>")
    assert len(read(camt053(statement([*ENTRIES * 5, other, *ENTRIES * 5])))) == 141
    assert len(seen) == 1
    assert b"other" in seen[0]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(ODD), max_size=4).map(b"".join))
def test_text_is_what_libxml2_takes_between_two_tags(content: bytes) -> None:
    element = b"<a>" + content + b"</a>"
    if b"<" not in content:
        is_utf8 = content.decode(errors="replace").encode() == content
        assert not (is_utf8 and is_text(content)) or is_well_formed(element)
