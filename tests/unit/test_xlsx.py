"""XLSX workbooks: exact numbers, dates of both systems, headers, ranges, errors in cells, bombs that do not go off."""

from __future__ import annotations

import io
import zipfile
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import Inspection, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.xlsx import XlsxSpec
from transforms.xlsx.cells import column_letters, column_number, is_date_format, number

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="dd\\.mm\\.yyyy"/>'
    '<numFmt numFmtId="165" formatCode="#,##0.00&quot; days&quot;"/></numFmts><cellXfs count="5"><xf numFmtId="0"/>'
    '<xf numFmtId="164"/><xf numFmtId="22"/><xf numFmtId="165"/><xf numFmtId="21"/></cellXfs></styleSheet>'
)
TEXTS = (
    f'<sst xmlns="{MAIN}"><si><t>id</t></si><si><t>Betrag</t></si><si><t>currency</t></si><si><t>due</t></si>'
    '<si><r><t>Caf</t></r><r><t>\u00e9 _x0041_</t></r><rPh sb="0" eb="1"><t>x</t></rPh></si></sst>'
)
ROWS = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>Payments of November</t></is></c></row>'
    '<row r="3"><c r="A3" t="s"><v>0</v></c><c r="B3" t="s"><v>1</v></c><c r="C3" t="s"><v>2</v></c>'
    '<c r="D3" t="s"><v>3</v></c></row>'
    '<row r="4"><c r="A4" t="s"><v>4</v></c><c r="B4"><v>0.1</v></c><c r="C4" t="str"><v>EUR</v></c>'
    '<c r="D4" s="1"><v>46350</v></c></row>'
    '<row r="5"><c r="A5"><v>42</v></c><c r="B5"><f>0.1+0.2</f><v>0.30000000000000004</v></c>'
    '<c r="C5" t="str"><v>EUR</v></c><c r="D5" s="2"><v>46350.4375</v></c></row>'
    '<row r="7"><c r="A7" t="b"><v>1</v></c><c r="B7" s="3"><v>-1234.56</v></c><c r="C7" t="str"><v>USD</v></c></row>'
)


def sheet(rows: str) -> str:
    return f'<?xml version="1.0"?>\n<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'


def workbook(*sheets: str, properties: str = "", **parts: str) -> bytes:
    names = [f"Sheet{n}" for n in range(1, len(sheets) + 1)]
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}" state="{"hidden" if n == 2 else "visible"}"/>'
        for n, name in enumerate(names, 1)
    )
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{DOCUMENT}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    files = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships xmlns="{RELS}"><Relationship Id="r" Type="{DOCUMENT}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{DOCUMENT}">{properties}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{RELS}">{related}'
        f'<Relationship Id="s" Type="{DOCUMENT}/styles" Target="/xl/styles.xml"/>'
        f'<Relationship Id="t" Type="{DOCUMENT}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": STYLES,
        "xl/sharedStrings.xml": TEXTS,
        **{f"xl/worksheets/sheet{n}.xml": text for n, text in enumerate(sheets, 1)},
        **parts,
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            if text:
                archive.writestr(name, text)
    return target.getvalue()


BOOK = workbook(sheet(ROWS), sheet(""))
OPTIONS: dict[str, Any] = {"header_row": 3, "aliases": {"amount": ["Betrag", "Total"]}}


def read(data: bytes, **options: Any) -> list[Part]:
    return list(XlsxSpec.model_validate(options).build().read(io.BytesIO(data)).parts("rows"))


def refused(data: bytes, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, **options)
    assert caught.value.code in codes()
    return caught.value


def inspected(data: bytes) -> Inspection:
    return XlsxSpec.inspect(io.BytesIO(data))


def one(cell: str, **options: Any) -> Part:
    """The only record of a sheet with the heading ``a`` and one cell below it."""
    rows = f'<row r="1"><c r="A1" t="str"><v>a</v></c></row><row r="2">{cell}</row>'
    (part,) = read(workbook(sheet(rows), **options))
    return part


def test_rows_as_they_are_shown() -> None:
    document = XlsxSpec.model_validate(OPTIONS).build().read(io.BytesIO(BOOK))
    assert document.head == {"sheet": "Sheet1", "columns": ["id", "amount", "currency", "due"]}
    assert document.whole() == [
        {"id": "Caf\u00e9 A", "amount": Decimal("0.1"), "currency": "EUR", "due": "2026-11-24"},
        {"id": Decimal(42), "amount": Decimal("0.3"), "currency": "EUR", "due": "2026-11-24T10:30:00"},
        {"id": True, "amount": Decimal("-1234.56"), "currency": "USD", "due": None},
    ]
    assert [part.place for part in read(BOOK, **OPTIONS)] == ["row 4", "row 5", "row 7"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("0.1", "0.1"),
        ("0.10000000000000001", "0.1"),
        ("1234567.8900000001", "1234567.89"),
        ("-0.30000000000000004", "-0.3"),
        ("1E3", "1000"),
        ("12345678901234567", "12345678901234600"),
        ("1.5000000000000001E-7", "0.00000015"),
        ("0", "0"),
    ],
)
def test_numbers_have_no_noise(raw: str, shown: str) -> None:
    assert f"{number(raw):f}" == shown


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ('<c r="A2" s="1"><v>1</v></c>', "1900-01-01"),
        ('<c r="A2" s="1"><v>59</v></c>', "1900-02-28"),
        ('<c r="A2" s="1"><v>61</v></c>', "1900-03-01"),
        ('<c r="A2" s="4"><v>0.75</v></c>', "18:00:00"),
        ('<c r="A2" t="d"><v>2026-11-24</v></c>', "2026-11-24"),
        ('<c r="A2" s="77"><v>5</v></c>', Decimal(5)),
        ("<c><v>5</v></c>", Decimal(5)),
        ('<c r="A2" t="str"><f>A1</f><v></v></c>', None),
    ],
)  # fmt: skip
def test_cells(cell: str, value: Any) -> None:
    head = '<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c></row>'
    rows = f'{head}<row r="2">{cell}<c r="B2"><v>1</v></c></row>'
    (part,) = read(workbook(sheet(rows)))
    assert part.error is None
    assert (part.body["a"] or None) == value


def test_the_other_date_system() -> None:
    found = read(workbook(sheet(ROWS), properties='<workbookPr date1904="1"/>'), **OPTIONS)
    assert found[0].body["due"] == "2030-11-25"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('<c r="A2" t="e"><v>#N/A</v></c>', "VAL850"),
        ('<c r="A2"><f>1+1</f></c>', "VAL851"),
        ('<c r="A2" s="1"><v>60</v></c>', "VAL852"),
        ('<c r="A2" s="1"><v>-1</v></c>', "VAL852"),
        ('<c r="A2" s="1"><v>9999999</v></c>', "VAL852"),
        ('<c r="A2"><v>1E999</v></c>', "VAL846"),
        ('<c r="A2"><v>x</v></c>', "VAL846"),
        ('<c r="A2" t="s"><v>99</v></c>', "VAL846"),
        ('<c r="B2"><v>1</v></c>', "VAL849"),
    ],
)
def test_a_bad_cell_refuses_its_row_alone(cell: str, code: str) -> None:
    part = one(cell)
    assert part.error is not None
    assert part.error.code == code
    assert part.error.place in ("A2", "B2")


def test_sheets_ranges_and_headers() -> None:
    assert len(read(BOOK, header_row=3, sheet="1")) == 3
    assert refused(BOOK, sheet="Sheet9").code == "VAL848"
    assert refused(BOOK, sheet="3").code == "VAL848"
    assert refused(BOOK, sheet="Sheet2").code == "VAL849", "an empty sheet has no header"
    assert refused(BOOK, header_row=2).code == "VAL849"
    assert refused(BOOK, columns=["id", "amount"], header_row=3).code == "VAL849"
    assert [p.body for p in read(BOOK, range="B3:C5")][1] == {"Betrag": Decimal("0.3"), "currency": "EUR"}
    rows = read(BOOK, range="B4:C7", header=False, columns=["n", "c"])
    assert [part.body["n"] for part in rows] == [Decimal("0.1"), Decimal("0.3"), Decimal("-1234.56")]
    twice = sheet('<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>a</v></c></row>')
    assert refused(workbook(twice)).code == "VAL849"


def test_inspection() -> None:
    found = inspected(BOOK)
    assert (found.format, found.kind, [document.id for document in found.documents]) == (
        "xlsx",
        "table",
        ["Sheet1", "Sheet2"],
    )
    assert found.documents[0].totals[0].count == 4
    assert [(f.code, f.severity) for f in found.findings] == [("VAL848", "info")]
    payments = inspected(workbook(sheet(ROWS[ROWS.index('<row r="3">') :])))
    assert [(t.currency, t.count, t.amount) for t in payments.documents[0].totals] == [
        ("EUR", 2, Decimal("0.4")),
        ("USD", 1, Decimal("1234.56")),
    ]
    assert XlsxSpec.detect(BOOK[:4096], "x.bin") > 0.9
    assert XlsxSpec.detect(b"PK\x03\x04", "x.zip") == 0


def bomb() -> bytes:
    return workbook(sheet('<row r="1"/>' + " " * 80_000_000))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "VAL302"),
        (b"a;b\n1;2\n", "VAL845"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "VAL845"),
        (BOOK[:-40], "VAL846"),
        (b"PK\x03\x04", "VAL846"),
        (workbook(sheet(ROWS).replace("</row>", "")), "VAL846"),
        (workbook(sheet(ROWS), **{"xl/sharedStrings.xml": "<!DOCTYPE x [<!ENTITY a 'b'>]><sst><si/></sst>"}), "SEC100"),
        (workbook(sheet(ROWS), **{"xl/workbook.xml": ""}), "VAL845"),
        (workbook("<!DOCTYPE worksheet []>" + sheet(ROWS)[22:]), "SEC100"),
    ],
)
def test_the_file_is_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code
    assert code in {finding.code for finding in inspected(data).findings}


def test_limits() -> None:
    assert refused(bomb()).code == "VAL847"
    assert refused(BOOK, max_unpacked=1000).code == "VAL847"
    assert refused(BOOK, max_cells=3).code == "VAL853"
    assert refused(BOOK, max_size=100).code == "SEC102"
    wide = sheet("<row>" + "".join(f"<c><v>{n}</v></c>" for n in range(101_000)) + "</row>")
    assert refused(workbook(wide), max_cells=100_000).code == "VAL853"
    # 17 MB without a row or cell would be a tree of that size and more in memory.
    odd = "".join(f"<foo a='{n}'/>" for n in range(1_050_000))
    assert refused(workbook(f'<worksheet xmlns="{MAIN}">{odd}</worksheet>')).code == "VAL847"


def test_it_is_read_only() -> None:
    with pytest.raises(Rejected, match="VAL854"):
        XlsxSpec().build().write([], io.BytesIO(), WriteContext("0" * 32, 0))
    with pytest.raises(Rejected, match="VAL301"):
        list(XlsxSpec().build().read(io.BytesIO(BOOK)).parts("entries"))


@pytest.mark.parametrize(
    ("code", "date"),
    [("dd/mm/yyyy", True), ("[$-407]d. mmmm yyyy", True), ("hh:mm", True), ("[h]:mm", False), ("0.00E+00", False),
     ("General", False), ('0.00" days"', False), ("#,##0.00", False), ("[Red]0.00", False), ("yyyy;@", True)],
)  # fmt: skip
def test_number_formats(code: str, date: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_date_format(200, code) is date


def test_letters_of_columns() -> None:
    assert [column_letters(n) for n in (1, 26, 27, 702, 703, 16384)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert all(column_number(column_letters(n)) == n for n in range(1, 2000))


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200).map(lambda data: b"PK\x03\x04" + data),
        st.tuples(st.integers(0, len(BOOK) - 1), st.integers(0, 255)).map(
            lambda x: BOOK[: x[0]] + bytes([x[1]]) + BOOK[x[0] + 1 :]
        ),
        st.tuples(st.integers(0, len(ROWS)), st.text('<>/ctrv0123456789"&;= ', max_size=12)).map(
            lambda x: workbook(sheet(ROWS[: x[0]] + x[1] + ROWS[x[0] :]))
        ),
    )
)
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes) -> None:
    inspected(data)
    try:
        read(data)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right
