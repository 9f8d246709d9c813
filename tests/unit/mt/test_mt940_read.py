"""Reading MT940 and MT942: every subfield, every structure of :86:, statements kept apart, sums that must agree."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from swift_messages import IBAN, bodies, mt940, only, read

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import EntryTransaction, Statement, StatementEntry
from transforms.mt940 import Mt940Spec

EUR = {"currency": "EUR"}


def inspected(content: bytes) -> Any:
    return Mt940Spec.inspect(io.BytesIO(content))


def refused(content: bytes, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as error:
        read(content, **options)
    return error.value


def test_an_entry_has_every_field_of_the_canonical_model() -> None:
    content = mt940(
        ":61:2611241125CR12,5NTRFINV-1//BANK-1",
        "/OCMT/USD13,/",
        ":86:166?00GUTSCHRIFT?20EREF+E2E-1?21SVWZ+Rechnung 4711 vom 1?222. November?30COBADEFFXXX?31"
        + IBAN
        + "?32ACME?33 AG",
        closing="C261124EUR112,50",
    )
    (part,) = read(content)
    worth = {"value": Decimal("12.50"), **EUR}
    assert part.body == {
        "type": "entry",
        "statement_id": "REF1",
        "account": {"iban": IBAN, **EUR},
        "reference": "",
        "index": 0,
        "amount": worth,
        "direction": "credit",
        "signed": worth,
        "reversal": False,
        "status": "BOOK",
        "booking_date": "2026-11-25",
        "value_date": "2026-11-24",
        "bank_reference": "BANK-1",
        "bank_transaction_code": "NTRF+166",
        "additional": "GUTSCHRIFT\n/OCMT/USD13,/",
        "transactions": [
            {
                "end_to_end_id": "E2E-1",
                "instruction_id": "INV-1",
                "transaction_id": "",
                "amount": worth,
                "counterparty": {"name": "ACME AG", "account": {"iban": IBAN}, "agent": {"bic": "COBADEFFXXX"}},
                "remittance": {"unstructured": ["Rechnung 4711 vom 12. November"], "structured": []},
                "return_reason": "",
            }
        ],
    }
    assert part.place == "line 5, :61:"
    assert MODELS["entry"](part.body) == ()
    StatementEntry.model_validate(part.body)


def test_a_statement_has_its_balances_number_and_time() -> None:
    content = mt940(":61:261124D1,NMSCNONREF", closing="C261124EUR99,00").replace(
        b"-\r\n", b":64:C261124EUR99,00\r\n:65:C261125EUR90,00\r\n:86:for all\r\n-\r\n"
    )
    (body,) = bodies(content, "statements")
    assert body["opening"] == {"amount": {"value": Decimal("100.00"), **EUR}, "date": "2026-11-23", "type": "OPBD"}
    assert body["closing"] == {"amount": {"value": Decimal("99.00"), **EUR}, "date": "2026-11-24", "type": "CLBD"}
    assert [balance["type"] for balance in body["balances"]] == ["CLAV", "FWAV"]
    assert (body["id"], body["sequence_number"], body["entries"]) == ("REF1", 7, 1)
    assert body["additional"] == "for all"
    assert MODELS["statement"](body) == ()
    Statement.model_validate(body)


@pytest.mark.parametrize(
    ("mark", "signed", "reversal", "status"),
    [
        ("C", "5.00", False, "BOOK"),
        ("D", "-5.00", False, "BOOK"),
        ("RC", "-5.00", True, "BOOK"),
        ("RD", "5.00", True, "BOOK"),
        ("CR", "5.00", False, "BOOK"),
        ("RCR", "-5.00", True, "BOOK"),
        ("EC", "5.00", False, "PDNG"),
        ("ED", "-5.00", False, "PDNG"),
    ],
)
def test_the_mark_decides_the_sign(mark: str, signed: str, *, reversal: bool, status: str) -> None:
    closing = Decimal(100) + (Decimal(signed) if status == "BOOK" else 0)
    closing_text = f"C261124EUR{closing:.2f}".replace(".", ",")
    (entry,) = bodies(mt940(f":61:2611241124{mark}5,00NTRFNONREF", closing=closing_text))
    assert (entry["signed"]["value"], entry["reversal"], entry["status"]) == (Decimal(signed), reversal, status)
    assert entry["direction"] == ("debit" if signed.startswith("-") else "credit")


@pytest.mark.parametrize(
    ("dates", "valued", "booked"),
    [
        ("2612310102", "2026-12-31", "2027-01-02"),
        ("2701011231", "2027-01-01", "2026-12-31"),
        ("2611241124", "2026-11-24", "2026-11-24"),
        ("261124    ", "2026-11-24", ""),
        ("261124", "2026-11-24", ""),
        ("9901010101", "1999-01-01", "1999-01-01"),
        ("0001011231", "2000-01-01", "1999-12-31"),
    ],
)
def test_the_year_of_the_entry_date_is_the_nearest(dates: str, valued: str, booked: str) -> None:
    (entry,) = bodies(mt940(f":61:{dates}C0,NTRFNONREF"))
    assert (entry["value_date"], entry["booking_date"]) == (valued, booked)


def test_sepa_tags_cut_by_the_end_of_a_piece_are_found_and_words_that_look_alike_are_not() -> None:
    text = "105?20EREF+ABC 1?21MREF+M-77 CRED+DE98ZZZ0?229999S?23VWZ+pay xEREF+ now?24ABWA+Other Ltd?32Shop"
    found = only(mt940(":61:2611241124D0,NDDTNONREF", f":86:{text}"))
    assert found["end_to_end_id"] == "ABC 1"
    assert found["mandate_id"] == "M-77"
    assert found["own_references"] == [{"id": "DE98ZZZ09999", "scheme": "creditor-id"}]
    assert found["remittance"]["unstructured"] == ["pay xEREF+ now"]
    assert found["ultimate_debtor"] == {"name": "Other Ltd"}
    EntryTransaction.model_validate(found)
    assert found["counterparty"]["name"] == "Shop"


def test_pieces_without_sepa_tags_are_texts_of_their_own() -> None:
    found = only(mt940(":61:2611241124D0,NMSCNONREF", ":86:035?20Anzahl Posten:      9", "4?21Anw-Nr. 77?34540"))
    assert found["remittance"]["unstructured"] == ["Anzahl Posten:      94", "Anw-Nr. 77"]


@pytest.mark.parametrize("mark", ["<", "^"])
def test_polish_sub_fields(mark: str) -> None:
    text = "844?00PRZELEW?20FAKTURA 12?21/2026?27JAN NOWAK?28 WARSZAWA?38PL29114010810000267002001002"
    found = only(mt940(":61:2611241124C0,NTRFNONREF", ":86:" + text.replace("?", mark)))
    assert found["counterparty"] == {"name": "JAN NOWAK WARSZAWA", "account": {"iban": "PL29114010810000267002001002"}}
    assert found["remittance"]["unstructured"] == ["FAKTURA 12", "/2026"]


def test_dutch_code_words() -> None:
    lines = [
        ":86:/TRTP/SEPA OVERBOEKING/IBAN/NL91ABNA0417164300/BIC/ABNANL2A/NAME/J",
        " DE VRIES/REMI/factuur 12/3 april/EREF/NOTPROVIDED",
    ]
    found = only(mt940(":61:2611241124C0,NTRFNONREF", *lines))
    assert found["counterparty"] == {
        "name": "J DE VRIES",
        "account": {"iban": "NL91ABNA0417164300"},
        "agent": {"bic": "ABNANL2A"},
    }
    assert found["remittance"]["unstructured"] == ["factuur 12/3 april"]
    assert found["end_to_end_id"] == ""
    other = "/RTRN/MS03//EREF/E-1//CNTP/NL91ABNA0417164300/ABNANL2A/Jan/Delft/REMI/STRD/CUR/RF18539007547034/"
    found = only(mt940(":61:2611241124C0,NTRFNONREF", f":86:{other}"))
    assert found["return_reason"] == "MS03"
    assert found["end_to_end_id"] == "E-1"
    assert found["counterparty"]["name"] == "Jan"
    assert found["remittance"]["structured"] == [{"reference": "RF18539007547034", "type": "SCOR"}]


def test_code_words_of_amounts_and_charges() -> None:
    """Swift's own code words: ordered amount, rate, charges, who is behind the parties."""
    text = "/IREF/I-1/ORDP/Muster AG/OCMT/EUR100,50/EXCH/0,9532/CHGS/CHF2,5/ULTB/Filiale/NRTX/3/REMI/Rechnung 7"
    found = only(mt940(":61:2611241124C0,NTRFNONREF", f":86:{text[:65]}", text[65:]))
    assert (found["instruction_id"], found["counterparty"]["name"]) == ("I-1", "Muster AG")
    assert found["amounts"] == {
        "instructed": {
            "amount": {"value": Decimal("100.50"), "currency": "EUR"},
            "exchange": {"rate": Decimal("0.9532")},
        }
    }
    assert found["total_charges"] == {"value": Decimal("2.5"), "currency": "CHF"}
    assert found["ultimate_creditor"] == {"name": "Filiale"}
    assert found["own_references"] == [{"id": "3", "scheme": "NRTX"}]
    assert found["remittance"]["unstructured"] == ["Rechnung 7"]
    EntryTransaction.model_validate(found)
    odd = only(mt940(":61:2611241124C0,NTRFNONREF", ":86:/EXCH/0,9/OCMT/100 EUR/CHGS/none"))
    assert [(r["id"], r["scheme"]) for r in odd["own_references"]] == [
        ("0,9", "exchange-rate"), ("100 EUR", "OCMT"), ("none", "CHGS"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("supplement", "lines", "code", "name", "texts", "references"),
    [
        ("Gutschrift", ["Z04?Muster AG Gutschrift"], "Z04", "", ["Muster AG Gutschrift"], []),
        ("Zahlung", ["DE1?20 Franken? Baeckerei", "8001 Bern"], "DE1", "", ["20 Franken? Baeckerei", "8001 Bern"], []),
        (
            "eBanking: Muster AG, Allee des",
            ["?ZKB:2214 Muster AG", "Allee des Hains 68", "Gemaess Ihrem Auftrag B-1", "?ZI:?3:1,132886?9:1"],
            "2214",
            "Muster AG",
            ["Muster AG", "Allee des Hains 68", "Gemaess Ihrem Auftrag B-1"],
            [{"id": "1,132886", "scheme": "exchange-rate"}],
        ),
        ("eBanking (4)", ["?ZKB:2214", "Gemaess Ihrem Auftrag", "?ZI:?9:4"], "2214", "", ["Gemaess Ihrem Auftrag"],
         [{"id": "4", "scheme": "BTCH"}]),
        ("Einkauf: Laden Nord", ["?ZKB:2218", "Laden Nordwest 1205"], "2218", "", ["Laden Nordwest 1205"], []),
        ("", ["?ZKB:2196", "Zins", "?ZI:odd"], "2196", "", ["Zins"], [{"id": "odd", "scheme": "ZI"}]),
    ],
)  # fmt: skip
def test_swiss_structures(
    supplement: str, lines: list[str], code: str, name: str, texts: list[str], references: list[dict[str, str]]
) -> None:
    about = [":61:2611241124C0,NTRFNONREF//T1", supplement or "x", f":86:{lines[0]}", *lines[1:]]
    (entry,) = bodies(mt940(*about))
    found = entry["transactions"][0]
    assert entry["bank_transaction_code"] == f"NTRF+{code}"
    assert found["counterparty"]["name"] == name
    assert found["remittance"]["unstructured"] == texts
    assert found.get("own_references", []) == references
    EntryTransaction.model_validate(found)


def test_charges_of_a_swiss_entry_are_money() -> None:
    for told, value in (("CHF0,", "0"), ("CHF1,5", "1.5")):
        found = only(mt940(":61:2611241124C0,NTRFNONREF", ":86:?ZKB:2313", "Lohn", f"?ZI:?4:{told}?9:1"))
        assert found["total_charges"] == {"value": Decimal(value), "currency": "CHF"}
    found = only(mt940(":61:2611241124C0,NTRFNONREF", ":86:?ZKB:2313", "Lohn", "?ZI:?4:none"))
    assert found["own_references"] == [{"id": "none", "scheme": "ZI4"}]


def test_the_lines_of_a_free_text_stay_lines_and_every_byte_stays_in_the_raw_record() -> None:
    content = mt940(":61:2611241124C0,NTRFNONREF", ":86:first line", "  second", "", "third")
    (part,) = read(content)
    assert part.body["transactions"][0]["remittance"]["unstructured"] == ["first line", "second", "third"]
    assert part.raw == b":61:2611241124C0,NTRFNONREF\r\n:86:first line\r\n  second\r\n\r\nthird\r\n"


def test_a_time_that_was_wrapped_begins_no_field() -> None:
    content = mt940(":61:2611241124D0,NMSCNONREF", ":86:106?20/PL 12-09-2026T16", ":20:37 Folgenr. 007")
    assert only(content)["remittance"]["unstructured"] == ["/PL 12-09-2026T16:20:37 Folgenr. 007"]


def test_statements_of_one_file_are_never_merged() -> None:
    first = mt940(":61:2611241124C5,NTRFNONREF", closing="C261124EUR105,")
    second = mt940(
        ":61:2611241124D7,NTRFNONREF", account="DE02120300000000202051", opening="C261123USD10,", closing="C261124USD3,"
    )
    found = bodies(first + second)
    assert [(e["statement_id"], e["account"]["iban"], e["signed"]) for e in found] == [
        ("REF1", IBAN, {"value": Decimal("5.00"), "currency": "EUR"}),
        ("REF1/2", "DE02120300000000202051", {"value": Decimal("-7.00"), "currency": "USD"}),
    ]
    assert [d.account for d in inspected(first + second).documents] == [IBAN, "DE02120300000000202051"]


def test_pages_of_one_statement_are_joined_when_they_fit() -> None:
    one = mt940(":61:2611241124C5,NTRFNONREF", ends="M", closing="C261124EUR105,")
    two = mt940(
        ":61:2611241124C6,NTRFNONREF", number="7/2", begins="M", opening="C261124EUR105,", closing="C261124EUR111,"
    )
    (body,) = bodies(one + two, "statements")
    assert (body["entries"], body["opening"]["amount"]["value"], body["closing"]["amount"]["value"]) == (2, 100, 111)
    wrong = two.replace(b":60M:C261124EUR105,", b":60M:C261124EUR104,")
    assert refused(one + wrong).code == "VAL727"
    other = two.replace(IBAN.encode(), b"DE02120300000000202051")
    assert [b["closing"]["type"] for b in bodies(one + other, "statements")] == ["ITBD", "CLBD"]


def test_balances_that_are_a_cent_off_refuse_the_file() -> None:
    content = mt940(":61:2611241124C5,NTRFNONREF", closing="C261124EUR105,01")
    error = refused(content)
    assert (error.code, error.place, error.reason) == ("VAL420", "line 1", "AM10")
    assert "0.01 EUR" in error.message
    assert len(bodies(content, balances="ignore")) == 1


def test_an_intraday_report_proves_its_sums_and_is_no_statement() -> None:
    lines = [
        ":20:R1", f":25:{IBAN}", ":28C:3/1", ":34F:EURD0,", ":13D:2611241815+0100",
        ":61:2611241124D0,42NMSCNONREF", ":61:2611241124C1,NMSCNONREF", ":90D:1EUR0,42", ":90C:1EUR1,", "-",
    ]  # fmt: skip
    content = "\n".join(lines).encode()
    found = inspected(content)
    assert (found.format, found.kind, found.findings) == ("mt942", "report", ())
    (body,) = bodies(content, "statements", message="mt942")
    assert (body["kind"], body["created"], body["opening"]) == ("report", "2026-11-24T18:15:00+01:00", None)
    assert refused(content).code == "VAL729"
    wrong = refused(content.replace(b":90C:1EUR1,", b":90C:2EUR1,"), message="mt942")
    assert (wrong.code, wrong.place) == ("VAL726", "line 9, :90C:")


def test_swift_blocks_and_control_characters_around_messages() -> None:
    block = b"{1:F01BANKDEFFAXXX0000000000}{2:O940BANKDEFFXXXXN}{3:}{4:\r\n"
    content = block + mt940().replace(b"-\r\n", b"-}{5:{MAC:0}}") + block + mt940().replace(b"-\r\n", b"-}$\r\n")
    assert [body["id"] for body in bodies(content, "statements")] == ["REF1", "REF1/2"]
    assert len(bodies(b"\x01\r\n" + mt940().replace(b"-\r\n", b"-\x03\r\n"), "statements")) == 1
    assert refused(block.replace(b"O940", b"O103") + mt940()).code == "VAL729"


@pytest.mark.parametrize(
    ("line", "code", "in_balance"),
    [
        (":61:2602300301D6,00NTRFNONREF", "VAL413", "-6.00"),
        (":61:2611241340D6,00NTRFNONREF", "VAL413", "-6.00"),
        (":61:2611241124D6.00NTRFNONREF", "VAL722", None),
        (":61:2611241124D6,001NTRFNONREF", "VAL411", "-6.001"),
        (":61:26112", "VAL722", None),
        (":61:2611241124X6,NTRFNONREF", "VAL722", None),
    ],
)
def test_a_bad_entry_is_refused_with_its_place_and_still_counted(line: str, code: str, in_balance: str | None) -> None:
    content = mt940(":61:2611241124C6,NTRFNONREF", line)
    good, bad = read(content, balances="ignore")
    assert good.error is None
    assert bad.error is not None
    assert (bad.error.code, bad.place) == (code, "line 6, :61:")
    found = inspected(content)
    assert found.documents[0].totals[0].count == 2
    assert found.documents[0].totals[0].debit == -Decimal(in_balance or 0)
    if in_balance is None:
        assert refused(content).code == "VAL421"


def test_yen_have_no_decimals() -> None:
    (entry,) = bodies(mt940(":61:2611241124C300,NTRFNONREF", opening="C261123JPY0,", closing="C261124JPY300,00"))
    assert entry["amount"] == {"value": Decimal(300), "currency": "JPY"}
    content = mt940(":61:2611241124C3,5NTRFNONREF", opening="C261123JPY0,", closing="C261124JPY3,")
    (part,) = read(content, balances="ignore")
    assert part.error is not None
    assert part.error.code == "VAL411"


@pytest.mark.parametrize("missing", [":25:", ":60F:", ":62F:"])
def test_a_message_without_account_or_balance_refuses_the_file(missing: str) -> None:
    lines = mt940(":61:2611241124C0,NTRFNONREF").decode().splitlines(keepends=True)
    content = "".join(line for line in lines if not line.startswith(missing)).encode()
    error = refused(content)
    assert error.code == "VAL721"
    assert missing in error.message


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (f":25:{IBAN}\r\n", "VAL728"),
        (":60F:C261123EUR1,\r\n", "VAL728"),
        (":62F:whatever\r\n", "VAL723"),
    ],
)
def test_what_stands_at_a_wrong_place_refuses_the_file(extra: str, code: str) -> None:
    assert refused(mt940().replace(b":62F:", extra.encode() + b":62F:")).code == code
    assert refused(b"text\r\n" + mt940()).code == "VAL724"


def test_the_encoding_is_declared() -> None:
    content = mt940(":61:2611241124C0,NTRFNONREF", ":86:Müller", encoding="iso-8859-1")
    (part,) = read(content)
    assert part.error is not None
    assert part.error.code == "VAL306"
    assert only(content, encoding="iso-8859-1")["remittance"]["unstructured"] == ["Müller"]
    assert [f.code for f in inspected(content).findings] == ["VAL306"]


@pytest.mark.parametrize(("content", "code"), [(b"", "VAL302"), (b"\n\n", "VAL720"), (b":20:\0", "VAL304")])
def test_files_that_are_none(content: bytes, code: str) -> None:
    assert refused(content).code == code
    assert [f.code for f in inspected(content).findings if f.severity == "error"] == [code]


def test_a_field_without_end_is_refused() -> None:
    assert refused(mt940(":61:2611241124C0,NTRFNONREF", ":86:x", *["y"] * 3000)).code == "VAL720"


def test_text_keys_that_end_with_a_currency() -> None:
    (body,) = bodies(mt940(account="51210600/9223382012EUR"), "statements")
    assert body["account"] == {"other": "51210600/9223382012", "currency": "EUR"}
