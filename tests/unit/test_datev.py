"""DATEV files: booking batches written by the book and read again, master data, the fiscal year, German decimals."""

from __future__ import annotations

import csv
import io
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bus import Inspection, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.datev import DatevSpec
from transforms.datev.columns import COLUMNS

CONTEXT = WriteContext("ab" * 16, 1_795_000_000_000)
OPTIONS: dict[str, Any] = {
    "consultant": 1001, "client": 456, "fiscal_year_begin": "2026-01-01", "label": "November", "chart": "03",
}  # fmt: skip
SAMPLES = Path(os.environ.get("GIROBUS_SAMPLES", "/nonexistent")) / "datev-ledermann"
samples = pytest.mark.skipif(not SAMPLES.exists(), reason="GIROBUS_SAMPLES is not set: no sample files in a checkout")


def booking(**changes: Any) -> dict[str, Any]:
    return {
        "amount": Decimal("1190.00"),
        "side": "debit",
        "account": "10000",
        "contra_account": "8400",
        "date": "2026-11-24",
        "currency": "EUR",
        "tax_key": "3",
        "reference": "RE-2026/0815",
        "text": 'Seminar "Bilanz" für Müller; Teil 2',
        "cost_centre": "100",
        "service_date": "2026-10-31",
        "locked": True,
        **changes,
    }


def written(bodies: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    DatevSpec.model_validate(OPTIONS | options).build().write(bodies, target, CONTEXT)
    return target.getvalue()


def read(data: bytes, **options: Any) -> list[Part]:
    return list(DatevSpec.model_validate(options).build().read(io.BytesIO(data)).parts("rows"))


def refused(data: bytes, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, **options)
    assert caught.value.code in codes()
    return caught.value


def inspected(data: bytes) -> Inspection:
    return DatevSpec.inspect(io.BytesIO(data))


# ---------------------------------------------------------------- writing


def test_a_batch_by_its_bytes() -> None:
    data = written([booking(), booking(date="2026-03-05", side="credit", currency="USD", amount=Decimal("0.5"))])
    header, names, first, second, rest = data.decode("cp1252").split("\r\n")
    assert header == (
        '"EXTF";700;21;"Buchungsstapel";13;20261118110640000;;"RE";"";"";1001;456;20260101;4;20260305;20261124;'
        '"November";"";1;0;0;"EUR";;"";;;"03";;;"";""'
    )
    assert len(header.split(";")) == 31
    assert len(names.split(";")) == len(COLUMNS) == 125
    assert names.startswith("Umsatz (ohne Soll/Haben-Kz);Soll/Haben-Kennzeichen;WKZ Umsatz;Kurs;Basis-Umsatz;")
    assert first.startswith(
        '1190,00;"S";"";;;"";10000;8400;"3";2411;"RE-2026/0815";"";;"Seminar ""Bilanz"" für Müller; Teil 2";;"";'
    )
    cells = next(csv.reader([first], delimiter=";"))
    assert (len(cells), cells[36], cells[113], cells[114]) == (125, "100", "1", "31102026")
    assert second.startswith('0,50;"H";"USD";;;"";10000;8400;"3";0503;')
    assert rest == ""
    assert "ü".encode("cp1252") in data


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"amount": Decimal(-1)}, "VAL825", "zero or more"),
        ({"amount": Decimal("1.001")}, "VAL825", "more than 2 decimals"),
        ({"amount": Decimal("12345678901.00")}, "VAL825", "10 digits"),
        ({"amount": 1.5}, "VAL825", "no decimal number"),
        ({"amount": None}, "VAL824", "`amount`"),
        ({"side": "S"}, "VAL825", "neither debit nor credit"),
        ({"account": "123456"}, "VAL825", "length 4"),
        ({"account": "12x4"}, "VAL825", "digits"),
        ({"reference": "RE 1"}, "VAL825", "letters, digits"),
        ({"text": "x" * 61}, "VAL825", "61 characters, the column 60"),
        ({"text": "a\nb"}, "VAL825", "control character"),
        ({"text": "\u0141"}, "VAL333", "cp1252"),
        ({"date": "2026-02-30"}, "VAL825", "no ISO date"),
        ({"date": "2025-12-31"}, "VAL826", "2026-01-01"),
        ({"date": "2027-01-01"}, "VAL826", "2026-01-01"),
        ({"locked": 1}, "VAL825", "true nor false"),
        ({"surplus": 1}, "VAL824", "`surplus`"),
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        written([booking(**changes)])
    assert caught.value.code == code
    assert said in caught.value.message
    assert code in codes()


def test_nothing_is_no_batch_and_the_header_needs_its_options() -> None:
    with pytest.raises(Rejected, match="VAL334"):
        written([])
    with pytest.raises(Rejected, match="VAL335"):
        written([7])
    with pytest.raises(Rejected, match="VAL827"):
        written([booking()], client=0)
    with pytest.raises(ValidationError):
        DatevSpec.model_validate({"fiscal_year_begin": "2026-13-01"})


def test_a_fiscal_year_that_is_no_calendar_year() -> None:
    bodies = [booking(date="2026-07-01"), booking(date="2027-06-30")]
    assert [part.body["date"] for part in read(written(bodies, fiscal_year_begin="2026-07-01"))] == [
        "2026-07-01",
        "2027-06-30",
    ]


BOOKINGS = st.fixed_dictionaries(
    {
        "amount": st.decimals(0, 9_999_999_999, places=2),
        "side": st.sampled_from(["debit", "credit"]),
        "account": st.integers(1000, 99999).map(str),
        "contra_account": st.integers(1000, 9999).map(str),
        "date": st.dates(date(2026, 4, 1), date(2027, 3, 31)).map(str),
        "currency": st.sampled_from(["EUR", "USD"]),
    },
    optional={
        "reference": st.from_regex("[A-Z0-9/-]{1,36}", fullmatch=True),
        "text": st.from_regex("[A-Za-z0-9äöüß€;\"' ]{0,58}[a-z]", fullmatch=True).map(str.strip),
        "exchange_rate": st.decimals("0.000001", 9999, places=6),
        "tax_key": st.from_regex("[1-9][0-9]{0,3}", fullmatch=True),
        "due_date": st.dates(date(2000, 1, 1)).map(str),
        "note_1_kind": st.just("Filiale"),
        "note_1": st.just("Köln"),
        "Skontotyp": st.just("1"),
        "locked": st.booleans(),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(BOOKINGS, min_size=1, max_size=5), st.sampled_from(["cp1252", "utf-8-sig"]))
def test_what_is_written_comes_back(bodies: list[dict[str, Any]], encoding: str) -> None:
    data = written(bodies, encoding=encoding, fiscal_year_begin="2026-04-01")
    assert [part.body for part in read(data, encoding=encoding)] == bodies
    assert not inspected(data).findings


# ---------------------------------------------------------------- reading

DATA = written([booking(), booking(side="credit", amount=Decimal("90.10"))])


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('1190,00;"S"', '1.190,00;"S"', ""),
        ('1190,00;"S"', '1190.00;"S"', "VAL823"),
        ('1190,00;"S"', '1190,00;"X"', "VAL823"),
        (";2411;", ";3111;", "VAL823"),
        (";2411;", ";24.11;", "VAL823"),
        ('1190,00;"S"', '1190,00;"S"x', "VAL822"),
        ('1190,00;"S"', '"S"', "VAL822"),
    ],
)
def test_a_bad_line_is_refused_alone(old: str, new: str, code: str) -> None:
    data = DATA.decode("cp1252").replace(old, new, 1).encode("cp1252")
    assert data != DATA
    assert [part.error.code for part in read(data) if part.error] == [code] * bool(code)
    assert [finding.code for finding in inspected(data).findings] == [code] * bool(code)
    assert len(read(data)) == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "VAL302"),
        (b"a;b\r\n1;2\r\n", "VAL820"),
        (DATA.replace(b"20260101", b"20261301"), "VAL820"),
        (DATA.split(b"\r\n")[0], "VAL821"),
        (b'"EXTF', "VAL820"),
        (b"\xef\xbb\xbf" + DATA, "VAL305"),
    ],
)
def test_the_file_is_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code
    if code != "VAL305":
        assert code in {finding.code for finding in inspected(data).findings}


def test_bytes_of_another_encoding() -> None:
    data = DATA.replace(b"f\xfcr", b"f\x81r", 1)
    assert [part.error.code for part in read(data) if part.error] == ["VAL306"]
    with pytest.raises(Rejected, match="VAL301"):
        list(DatevSpec().build().read(io.BytesIO(DATA)).parts("bookings"))


def test_inspection() -> None:
    found = inspected(DATA)
    (total,) = found.documents[0].totals
    assert (found.format, found.kind, found.documents[0].id) == ("datev", "bookings", "November")
    assert (total.currency, total.count, total.debit, total.credit) == ("EUR", 2, Decimal("1190.00"), Decimal("90.10"))
    assert DatevSpec.detect(DATA, "x") > 0.9
    assert DatevSpec.detect(b"EXTF is a word", "x.csv") == 0


@samples
@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [
        ("EXTF_Buchungsstapel.csv", "bookings", "Beispiel-Buchungen"),
        ("EXTF_Kontenbeschriftungen.csv", "accounts", "Beispiel-Konten"),
        ("EXTF_Stammdaten.csv", "master-data", "Kunden und Lieferanten"),
    ],
)
def test_sample_files_count_as_an_independent_count_does(name: str, kind: str, label: str) -> None:
    data = (SAMPLES / name).read_bytes()
    rows = list(csv.reader(data.decode("cp1252").splitlines()[2:], delimiter=";"))
    found = inspected(data)
    assert (found.kind, found.documents[0].id, found.findings) == (kind, label, ())
    assert sum(total.count for total in found.documents[0].totals) == len(rows) > 0
    if kind == "bookings":
        sums = {side: sum(Decimal(r[0].replace(",", ".")) for r in rows if r[1] == side) for side in "SH"}
        (total,) = found.documents[0].totals
        assert (total.debit, total.credit) == (sums["S"], sums["H"])
        (first, _) = (part.body for part in read(data))
        assert (first["date"], first["text"]) == ("2018-02-21", "Fachbuch: Controlling für Dummies")
    else:
        assert next(part.body for part in read(data)).keys() >= {"Konto"}


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(DATA)), st.binary(max_size=6), st.integers(0, 20)).map(
            lambda x: DATA[: x[0]] + x[1] + DATA[x[0] + x[2] :]
        ),
    )
)
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes) -> None:
    inspected(data)
    try:
        read(data)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right
