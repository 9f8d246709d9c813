"""Reading CODA: collective movements counted once, trailers proved, structured communications, both versions."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import StatementEntry
from transforms.coda import CodaSpec

IBAN = "BE68539007547034"
OGM = "010806817183"


def place(text: str, **columns: str) -> str:
    """A record: ``text`` at its begin, then values at columns counted from 1 (``c32="0"``)."""
    line = list(text.ljust(128))
    for name, value in columns.items():
        at = int(name[1:]) - 1
        line[at : at + len(value)] = value
    assert len(line) == 128
    return "".join(line)


def money(value: int) -> str:
    """Thousandths, sign first."""
    return f"{'1' if value < 0 else '0'}{abs(value):015d}"


def header(version: str = "2", duplicate: str = " ") -> str:
    return place("0000024112653905" + duplicate, c61="GEBABEBB", c128=version)


def old(value: int = 100_000, number: str = "016") -> str:
    return place(f"12001{IBAN}", c40="EUR", c43=money(value), c59="231126", c65="ACME NV", c126=number)


def new(value: int, date: str = "241126") -> str:
    return place(f"8001{IBAN}", c39="EUR", c42=money(value), c58=date)


def trailer(count: int, debit: int, credit: int, more: str = "2") -> str:
    return place("9", c17=f"{count:06d}{debit:015d}{credit:015d}", c128=more)


def movement(value: int, text: str = "", number: str = "0001", detail: str = "0000", **columns: str) -> str:
    kind = columns.pop("kind", "0")
    told = {"c11": "BANKREF", "c32": money(value), "c48": "251126", "c54": f"{kind}0150000", "c62": f"0{text:53}"}
    return place(f"21{number}{detail}", **told, c116="241126", **columns)


def file(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def statement(*movements: str, change: int, debit: int = 0, credit: int = 0) -> bytes:
    count = 2 + sum(line[0] in "23" for line in movements)
    return file(header(), old(), *movements, new(100_000 + change), trailer(count, debit, credit))


def read(content: bytes, each: str = "entries", **options: Any) -> list[Any]:
    return list(CodaSpec(**options).build().read(io.BytesIO(content)).parts(each))


def refused(content: bytes) -> Rejected:
    with pytest.raises(Rejected) as error:
        read(content)
    return error.value


def codes(content: bytes) -> list[tuple[str, str]]:
    return [(f.code, f.place) for f in CodaSpec.inspect(io.BytesIO(content)).findings]


def test_a_movement_with_all_its_records() -> None:
    content = statement(
        movement(12_500, "Invoice 4711 of"),
        place("2200010000 November", c64="E2E-1", c99="KREDBEBB", c114="AC04", c122="SUPP"),
        place(f"2300010000{IBAN}", c45="EUR", c48="Supplier BV", c83="and more"),
        place("3100010000", c40="1001Supplier Holding", c128=" "),
        place("3200010000", c11="Street 1"),
        place("4 00010000", c33="free text"),
        change=12_500,
        credit=12_500,
    )
    (part,) = read(content)
    assert part.error is None
    assert MODELS["entry"](part.body) == ()
    StatementEntry.model_validate(part.body)
    assert part.body["signed"] == {"value": Decimal("12.50"), "currency": "EUR"}
    assert (part.body["booking_date"], part.body["value_date"]) == ("2026-11-24", "2026-11-25")
    assert (part.body["bank_reference"], part.body["bank_transaction_code"]) == ("BANKREF", "01/50/000")
    (told,) = part.body["transactions"]
    assert told["counterparty"] == {
        "name": "Supplier Holding",
        "account": {"iban": IBAN, "currency": "EUR"},
        "agent": {"bic": "KREDBEBB"},
    }
    assert (told["end_to_end_id"], told["return_reason"], told["purpose"]) == ("E2E-1", "AC04", "SUPP")
    assert told["remittance"]["unstructured"] == ["Invoice 4711 of November and more"]
    assert told["additional"] == "Street 1"
    (whole,) = read(content, "statements")
    assert (whole.body["sequence_number"], whole.body["account"]["owner"]) == (16, "ACME NV")
    assert whole.body["additional"] == "free text"
    assert codes(content) == []


def test_a_collective_movement_is_one_entry_and_its_details_are_not_counted_again() -> None:
    content = statement(
        movement(-30_000, "salaries", kind="1", c125="1"),
        movement(-10_000, "Ann", detail="0001", kind="5"),
        movement(-20_000, "Bob", detail="0002", kind="5"),
        movement(-30_000, "end", detail="0003", kind="8"),
        movement(5_000, "other", number="0002"),
        change=-25_000,
        debit=30_000,
        credit=5_000,
    )
    first, second = read(content)
    assert [t["amount"]["value"] for t in first.body["transactions"]] == [10, 20]
    assert first.body["additional"] == "salaries\n000: -30.00 EUR"
    assert second.body["signed"]["value"] == 5
    (document,) = CodaSpec.inspect(io.BytesIO(content)).documents
    assert [(t.count, t.credit, t.debit) for t in document.totals] == [(2, 5, 30)]
    assert codes(content) == []
    wrong = content.replace(b"1000000000020000251126", b"1000000000020001251126")
    assert codes(wrong.replace(b"20001251126", b"21000251126")) == [("VAL768", "line 3")]


@pytest.mark.parametrize(
    ("zone", "structured", "texts"),
    [
        (f"101{OGM}", [{"reference": OGM, "type": "SCOR", "issuer": "BBA"}], []),
        ("101010806817184", [{"reference": "010806817184", "type": ""}], []),
        ("100RF18539007547034", [{"reference": "RF18539007547034", "type": "SCOR"}], []),
        (f"127241126111{'BE98ZZZ':35}{'M-7':35}subscription", [], ["subscription"]),
    ],
)
def test_structured_communications(zone: str, structured: list[dict[str, str]], texts: list[str]) -> None:
    lines = [
        movement(-1_000)[:61] + f"1{zone[:53]:53}" + movement(-1_000)[115:],
        place(f"2200010000{zone[53:106]}"),
    ]
    content = statement(*lines, change=-1_000, debit=1_000)
    (part,) = read(content)
    (told,) = part.body["transactions"]
    assert told["remittance"] == {"unstructured": texts, "structured": structured}
    assert (told.get("mandate_id") == "M-7") == zone.startswith("127")
    wrong = [("VAL767", "line 3, column 66")] if structured and not structured[0]["type"] else []
    assert codes(content) == wrong


def test_version_1_has_another_account_and_an_address_where_version_2_goes_on() -> None:
    first = place("10001539007547034", c19="EUR", c43=money(0), c59="231126", c126="001")
    third = place("2300010000539007547034", c48=f"{'Supplier':26}Street 1, Town")
    last = place("8001539007547034", c42=money(1_000), c58="241126")
    content = file(header("1"), first, movement(1_000, "text"), third, last, trailer(4, 0, 1_000))
    (part,) = read(content)
    assert part.body["account"]["other"] == "539007547034"
    (told,) = part.body["transactions"]
    assert told["counterparty"]["name"] == "Supplier"
    assert told["remittance"]["unstructured"] == ["text"]


@pytest.mark.parametrize(
    ("change", "code", "column"),
    [
        ({"count": 4}, "VAL765", 17),
        ({"debit": 1}, "VAL764", 23),
        ({"credit": 1_001}, "VAL764", 38),
    ],
)
def test_a_wrong_trailer_refuses_the_file(change: dict[str, int], code: str, column: int) -> None:
    told = {"count": 3, "debit": 0, "credit": 1_000} | change
    content = file(header(), old(), movement(1_000), new(101_000), trailer(**told))
    error = refused(content)
    assert (error.code, error.place) == (code, f"line 5, column {column}")
    assert len(read(content, balances="ignore")) == 1


def test_a_wrong_balance_refuses_the_file() -> None:
    assert refused(statement(movement(1_000), change=1_010, credit=1_000)).code == "VAL420"


@pytest.mark.parametrize(
    ("lines", "code", "where"),
    [
        ([old()], "VAL760", "line 1"),
        ([header(), movement(1)], "VAL760", "line 2"),
        ([header(), old(), header()], "VAL760", "line 3"),
        ([header(), new(1)], "VAL760", "line 2"),
        ([header(), old(), place("5")], "VAL761", "line 3"),
        ([header(), place(old()[:42] + "x")], "VAL762", "line 2, column 43"),
        ([header(), old(), place("2200010000")], "VAL763", "line 3"),
        ([header(), old(), movement(0), place("2200020000")], "VAL763", "line 4"),
        ([header(), old(), movement(0), movement(0, number="0002", detail="0001")], "VAL763", "line 4"),
        ([header(), old(), movement(0), place("3200010000")], "VAL763", "line 4"),
        ([header(), old(), movement(0)], "VAL766", "line 3"),
        ([header("3"), old()], "VAL769", "line 1, column 128"),
        ([header(), old(), new(1, date="310226")], "VAL413", "line 3, column 58"),
    ],
)
def test_records_in_a_wrong_order_refuse_the_file(lines: list[str], code: str, where: str) -> None:
    error = refused(file(*lines))
    assert (error.code, error.place) == (code, where)
    assert (code, where) in codes(file(*lines))


def test_several_statements_and_one_without_movements() -> None:
    empty = file(header(duplicate="D"), old(5, number="017").replace("0000000000000005", "0000000000005000"),
                 trailer(1, 0, 0))  # fmt: skip
    content = file(header(), old(), movement(1_000), new(101_000), trailer(3, 0, 1_000, "1")) + empty
    bodies = [part.body for part in read(content, "statements")]
    assert [body["id"] for body in bodies] == [f"{IBAN}-2026-016", f"{IBAN}-2026-017"]
    assert bodies[1]["closing"] == {"amount": {"value": 5, "currency": "EUR"}, "date": "2026-11-23", "type": "CLBD"}
    assert bodies[1]["copy_kind"] == "DUPL"
    alone = content[: -len(empty)]
    assert codes(alone) == [("VAL766", "line 5, column 128")]


def test_a_bad_movement_is_refused_alone_and_counted() -> None:
    bad = movement(1_000).replace("241126", "300226")
    content = statement(bad, movement(2_000, number="0002"), change=3_000, credit=3_000)
    first, second = read(content)
    assert (first.error.code, first.place) == ("VAL413", "line 3, column 116")
    assert second.error is None


def test_the_head_of_a_file_is_recognised() -> None:
    assert CodaSpec.detect(statement(change=0), "x") > 0.9
    assert CodaSpec.detect(b"0000 something else\n", "x") == 0
