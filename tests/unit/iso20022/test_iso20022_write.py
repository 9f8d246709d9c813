"""Writing pain.001: never two debtors in one block, exact control sums, the same bytes again, nothing invalid out."""

from __future__ import annotations

import hashlib
import io
import re
import threading
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iso_documents import CONTEXT, IBAN, OTHER_IBAN, folder_of, payment, written
from lxml import etree

from bus import Rejected, WriteContext, child_id
from transforms._characters import converter
from transforms.iso20022 import Iso20022Spec

NS = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.%s}"


class Written:
    """A pain.001 seen with nothing but lxml."""

    def __init__(self, content: bytes, version: str = "09") -> None:
        self.root = etree.fromstring(content)
        self.ns = NS % version

    def texts(self, path: str, below: Any = None) -> list[str]:
        steps = "/".join(self.ns + step for step in path.split("/"))
        return [one.text or "" for one in (self.root if below is None else below).findall(f".//{steps}")]

    def blocks(self) -> list[Any]:
        return self.root.findall(f".//{self.ns}PmtInf")

    def summary(self) -> list[tuple[str, str, list[str]]]:
        """(count, sum, end-to-end ids) of each block."""
        return [
            (self.texts("NbOfTxs", b)[0], self.texts("CtrlSum", b)[0], self.texts("EndToEndId", b))
            for b in self.blocks()
        ]


def refusal(*payments: Any, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(payments, **options)
    return caught.value


DEBTOR_2 = {"name": "ACME GmbH", "account": {"iban": OTHER_IBAN}, "agent": {"bic": "ABNANL2AXXX"}}


@pytest.mark.parametrize("version", [f"{n:02}" for n in range(3, 13)])
def test_the_result_is_valid_by_the_schema_that_iso_publishes(version: str) -> None:
    schema = etree.XMLSchema(etree.parse(folder_of("GIROBUS_XSD") / f"pain.001.001.{version}.xsd"))
    everything = payment(
        purpose="SUPP",
        category_purpose="SUPP",
        local_instrument="INST",
        debtor={
            "name": "ACME",
            "account": {"iban": IBAN, "currency": "EUR"},
            "address": {"country": "DE", "town": "Köln", "lines": ["a", "b"]},
        },
        creditor={
            "name": "O'Neill & <Co>",
            "account": {"other": "123-456"},
            "address": {"street": "Main St", "country": "US"},
        },
        remittance={
            "unstructured": ["one", "two"],
            "structured": [
                {"reference": "R1", "type": "SCOR"},
                {"reference": "N1", "type": "CINV"},
                {"reference": "X", "type": ""},
                {"reference": "Y", "type": "OWN"},
            ],
        },
    )
    content = written([payment(), everything, payment(id="", end_to_end_id="")], message=f"pain.001.001.{version}")
    schema.assertValid(etree.fromstring(content))
    assert Written(content, version).texts("Othr/Id")[:1] == ["NOTPROVIDED"]


def test_identifiers_are_made_from_the_unit_and_those_of_the_erp_are_kept() -> None:
    file = Written(written([payment(), payment(end_to_end_id="", id="x" * 40)]))
    assert file.texts("GrpHdr/MsgId") == [CONTEXT.id]
    assert file.texts("GrpHdr/CreDtTm") == ["2026-11-24T10:00:00.123Z"]
    assert file.texts("PmtInfId") == [child_id(CONTEXT.id, "PmtInf", "", 0)]
    assert file.texts("EndToEndId") == ["E2E-1", child_id(CONTEXT.id, "EndToEndId", "", 1)]
    assert file.texts("InstrId") == ["P-1", child_id(CONTEXT.id, "InstrId", "", 1)]
    raw = hashlib.sha256(f"{CONTEXT.id}\x1fE2E-1\x1f0".encode()).hexdigest()
    uetr = file.texts("UETR")[0].replace("-", "")
    assert (uetr[:12], uetr[13:16], uetr[17:]) == (raw[:12], raw[13:16], raw[17:32])
    assert all(
        re.fullmatch(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}", u)
        for u in file.texts("UETR")
    )
    assert Written(written([payment()], message="pain.001.001.03"), "03").texts("UETR") == []


def test_a_uetr_that_came_along_is_kept_and_a_wrong_one_refused() -> None:
    known = "0a1b2c3d-0000-4000-8000-000000000001"
    assert Written(written([payment(uetr=known)])).texts("UETR") == [known]
    assert refusal(payment(uetr=known.upper())).code == "VAL445"


def test_the_same_unit_writes_the_same_bytes_and_another_does_not() -> None:
    payments = [payment(end_to_end_id=f"E{n}") for n in range(5)]
    assert written(payments) == written(iter(payments))
    assert written(payments) != written(payments, WriteContext("f" * 32, CONTEXT.created_at))


@pytest.mark.parametrize(
    "change",
    [
        {"debtor": DEBTOR_2},
        {"debtor": {**payment()["debtor"], "name": "ACME B.V."}},
        {"debtor": {**payment()["debtor"], "agent": None}},
        {"execution_date": "2026-11-25"},
        {"service_level": None},
        {"service_level": "URGP"},
        {"local_instrument": "INST"},
        {"category_purpose": "SALA"},
        {"service_level": None, "charge_bearer": "SHAR"},
        {"service_level": None, "amount": {"value": Decimal("5.00"), "currency": "USD"}},
    ],
)
def test_payments_that_differ_in_what_a_block_shares_are_never_merged(change: dict[str, Any]) -> None:
    one, other = payment(end_to_end_id="A"), payment(**{"end_to_end_id": "B"} | change)
    file = Written(written([one, other, other, one]))
    assert [ids for _, _, ids in file.summary()] == [["A"], ["B", "B"], ["A"]]
    assert len(set(file.texts("PmtInfId"))) == 3
    debtors = [file.texts("DbtrAcct/Id/IBAN", b)[0] for b in file.blocks()]
    dates = [file.texts("ReqdExctnDt/Dt", b)[0] for b in file.blocks()]
    assert debtors == [p["debtor"]["account"]["iban"] for p in (one, other, one)]
    assert dates == [p["execution_date"] for p in (one, other, one)]


def test_counts_and_sums_are_exact_at_both_levels() -> None:
    amounts = ["0.10"] * 10 + ["999999999999.99", "0.01"]
    payments = [payment(amount={"value": Decimal(a), "currency": "EUR"}) for a in amounts]
    payments.append(payment(debtor=DEBTOR_2, amount={"value": 7, "currency": "EUR"}))
    file = Written(written(payments))
    assert [s[:2] for s in file.summary()] == [("12", "1000000000001.00"), ("1", "7.00")]
    assert (file.texts("GrpHdr/NbOfTxs"), file.texts("GrpHdr/CtrlSum")) == (["13"], ["1000000000008.00"])
    yen = payment(service_level=None, amount={"value": Decimal("1E+2"), "currency": "JPY"})
    assert Written(written([yen])).texts("InstdAmt") == ["100"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.booleans(), st.sampled_from(["2026-11-24", "2026-11-25"])),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_is_paid_stands_in_the_file_once_under_its_own_debtor(rows: list[tuple[int, bool, str]]) -> None:
    payments = [
        payment(
            end_to_end_id=f"E{n}",
            execution_date=day,
            amount={"value": Decimal(cents) / 100, "currency": "EUR"},
            **({"debtor": DEBTOR_2} if second else {}),
        )
        for n, (cents, second, day) in enumerate(rows)
    ]
    file = Written(written(payments))
    found = []
    for one in file.blocks():
        debtor, day = file.texts("DbtrAcct/Id/IBAN", one)[0], file.texts("ReqdExctnDt/Dt", one)[0]
        pairs = list(zip(file.texts("EndToEndId", one), file.texts("InstdAmt", one), strict=True))
        assert sum(Decimal(a) for _, a in pairs) == Decimal(file.texts("CtrlSum", one)[0])
        found += [(e, Decimal(a), debtor, day) for e, a in pairs]
    assert found == [
        (p["end_to_end_id"], p["amount"]["value"], p["debtor"]["account"]["iban"], p["execution_date"])
        for p in payments
    ]


def test_texts_are_brought_into_the_sepa_character_set() -> None:
    creditor = {"name": " Müller & Söhne_GmbH ", "account": {"iban": OTHER_IBAN}}
    texts = {"unstructured": ['Rechnung „7“ \u2013 "bezahlt"\tŁódź 東京'], "structured": []}
    file = Written(written([payment(creditor=creditor, remittance=texts)]))
    assert file.texts("Cdtr/Nm") == ["Muller + Sohne-GmbH"]
    assert file.texts("Ustrd") == ["Rechnung '7' - 'bezahlt' Lodz DongJing"]
    kept = Written(written([payment(creditor=creditor, remittance=texts)], charset="any"))
    assert kept.texts("Cdtr/Nm") == ["Müller & Söhne_GmbH"]
    assert converter("sepa-latin")("Cafe\u0301") == "Cafe"


@pytest.mark.parametrize(
    ("name", "charset"), [("a\ue000b", "latin"), ("a\x07b", "latin"), ("a\x07b", "any"), ("a\ud800b", "any")]
)
def test_a_character_without_a_counterpart_is_refused_not_dropped(name: str, charset: str) -> None:
    error = refusal(payment(), payment(creditor={"name": name, "account": {"iban": OTHER_IBAN}}), charset=charset)
    assert (error.code, error.reason) == ("VAL444", "RR10")
    assert "payment 2" in error.message


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"end_to_end_id": "E" * 36}, "VAL437", "FF08"),
        ({"end_to_end_id": "E_1"}, "VAL437", "FF08"),
        ({"end_to_end_id": "/E"}, "VAL437", "FF08"),
        ({"end_to_end_id": "E//1"}, "VAL437", "FF08"),
        ({"end_to_end_id": "Ü"}, "VAL437", "FF08"),
        ({"amount": {"value": Decimal("1.001"), "currency": "EUR"}}, "VAL433", "AM12"),
        ({"amount": {"value": Decimal("1.5"), "currency": "JPY"}}, "VAL433", "AM12"),
        ({"amount": {"value": Decimal(-1), "currency": "EUR"}}, "VAL433", "AM12"),
        ({"amount": {"value": Decimal("NaN"), "currency": "EUR"}}, "VAL433", "AM12"),
        ({"amount": {"value": 1.5, "currency": "EUR"}}, "VAL433", "AM12"),
        ({"amount": {"value": Decimal(0), "currency": "EUR"}}, "VAL433", "AM01"),
        ({"amount": {"value": Decimal(1), "currency": "XXY"}}, "VAL434", "AM03"),
        ({"amount": {"value": Decimal(1), "currency": "USD"}}, "VAL443", "AM03"),
        ({"charge_bearer": "SHAR"}, "VAL443", "BE19"),
        ({"execution_date": "2026-02-30"}, "VAL435", "DT01"),
        ({"creditor": {"name": "", "account": {"iban": IBAN}}}, "VAL436", "BE22"),
        ({"creditor": {"name": "n" * 141, "account": {"iban": IBAN}}}, "VAL436", "BE20"),
        ({"remittance": {"unstructured": ["x" * 141]}}, "VAL440", "RR07"),
    ],
)
def test_a_payment_that_cannot_be_made_refuses_the_file_with_its_number_and_reason(
    change: Any, code: str, reason: str
) -> None:
    error = refusal(payment(), payment(**change), payment())
    assert (error.code, error.reason) == (code, reason)
    assert error.message.startswith("payment 2")


@pytest.mark.parametrize("name", ["n" * 71, "ß" * 36])
def test_nothing_is_cut_off_to_fit(name: str) -> None:
    """36 times ß are 72 characters in the SEPA character set."""
    error = refusal(payment(creditor={"name": name * 2, "account": {"iban": OTHER_IBAN}}))
    assert error.code in ("VAL436", "VAL452")


def test_the_first_wrong_payment_is_told_whatever_is_wrong_with_it() -> None:
    rows = [payment() for _ in range(5)]
    rows[3] = payment(uetr="A" * 36)  # found when it is written …
    rows[4] = payment(end_to_end_id="/x")  # … and this one before, when it is checked
    error = refusal(*rows)
    assert (error.code, error.place) == ("VAL445", "payment 4 (E2E-1)")
    assert [(place, one.code) for place, one in error.records] == [(3, "VAL445"), (4, "VAL437")]
    assert refusal(*rows[:3], rows[4]).place == "payment 4"


def test_a_party_of_a_known_name_is_looked_at_when_anything_of_it_is_new() -> None:
    wrong = payment()
    wrong["creditor"] = wrong["creditor"] | {"account": {"iban": "DE89370400440532013001"}}
    error = refusal(payment(), payment(), wrong)
    assert (error.code, error.place) == ("VAL431", "payment 3 (E2E-1)")


def test_the_result_is_checked_against_the_schema_and_the_payment_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.stream._BLOCK", 2_000)
    bad = payment(creditor={"name": "Supplier", "account": {"iban": OTHER_IBAN}, "address": {"town": "ß" * 35}})
    payments = [payment()] * 11 + [bad] + [payment()] * 5
    error = refusal(*payments)
    assert (error.code, error.place) == ("VAL452", "payment 12")
    assert "TwnNm" in error.message
    assert "ssss" not in error.message
    assert written(payments, validate="off")


@pytest.mark.parametrize("spilled", [1, 3, 400])
@pytest.mark.parametrize("piece", [0, 2_000, 200_000])
def test_whatever_breaks_the_schema_is_found_in_every_piece(
    monkeypatch: pytest.MonkeyPatch, spilled: int, piece: int
) -> None:
    monkeypatch.setattr("transforms.iso20022.write._LINES_IN_MEMORY", spilled)
    monkeypatch.setattr("transforms.iso20022.write._PIECE", piece)
    town = {"town": "ß" * 35}
    bad = payment(creditor={"name": "Supplier", "account": {"iban": OTHER_IBAN}, "address": town})
    right = [*[payment()] * 7, *[payment(debtor=DEBTOR_2)] * 4, payment(), *[payment(debtor=DEBTOR_2)] * 2]
    assert written(right) == written(right, validate="off")
    for number in range(len(right)):
        error = refusal(*right[:number], bad | {"debtor": right[number]["debtor"]}, *right[number + 1 :])
        assert (error.code, error.place) == ("VAL452", f"payment {number + 1}")
    shared = refusal(*right, payment(debtor=DEBTOR_2 | {"name": "Other", "address": town}))
    assert [position for position, _ in shared.records] == [len(right)]
    assert not [one for one in threading.enumerate() if one.name.startswith("validation")]


def test_what_is_proved_piece_by_piece_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.iso20022.write._LINES_IN_MEMORY", 2)
    monkeypatch.setattr("transforms.iso20022.write._validate", lambda *_: pytest.fail("the whole was read again"))
    assert written([payment()] * 9)


def test_nothing_reaches_the_target_when_a_payment_is_refused() -> None:
    target = io.BytesIO()
    with pytest.raises(Rejected):
        Iso20022Spec(message="pain.001.001.09").build().write([payment(), {}], target, CONTEXT)
    assert target.getvalue() == b""


def test_no_payment_and_other_messages_are_refused() -> None:
    assert refusal().code == "VAL451"
    assert refusal(payment(), message="pain.001.001.99").code == "VAL450"
    assert refusal(payment(), message="pacs.008").code == "VAL450"
    assert refusal(payment(), message="camt.053").code == "VAL450"
    assert b"pain.001.001.09" in written([payment()], message="pain.001")


def test_no_message_of_a_refusal_holds_what_was_to_be_paid() -> None:
    secret = payment(end_to_end_id="s3cret_1", creditor={"name": "s3cret\ue000", "account": {"iban": "s3cret"}})
    assert "s3cret" not in str(refusal(secret))


class TestSepaProfile:
    """``profile: sepa-sct``."""

    def test_fills_in_what_sepa_prescribes(self) -> None:
        file = Written(written([payment(service_level=None, charge_bearer=None)], profile="sepa-sct"))
        assert (file.texts("SvcLvl/Cd"), file.texts("ChrgBr")) == (["SEPA"], ["SLEV"])
        bare = Written(written([payment(service_level=None, charge_bearer=None)]))
        assert (bare.texts("SvcLvl/Cd"), bare.texts("ChrgBr")) == ([], [])
        assert Written(written([payment(charge_bearer=None)])).texts("ChrgBr") == ["SLEV"]

    @pytest.mark.parametrize(
        ("change", "code", "reason"),
        [
            ({"amount": {"value": Decimal("1000000000.00"), "currency": "EUR"}}, "VAL689", "AM02"),
            ({"service_level": None, "amount": {"value": Decimal(1), "currency": "USD"}}, "VAL688", "AM03"),
            ({"service_level": "URGP"}, "VAL686", "FF04"),
            ({"service_level": None, "charge_bearer": "SHAR"}, "VAL686", "BE19"),
            ({"creditor": {"name": "n" * 71, "account": {"iban": IBAN}}}, "VAL683", "BE20"),
            ({"creditor": {"name": "n", "account": {"other": "1"}}}, "VAL690", "AC01"),
            ({"debtor": {"name": "n", "account": {"other": "1"}}}, "VAL690", "AC02"),
            (
                {"remittance": {"unstructured": ["a"], "structured": [{"reference": "R", "type": "SCOR"}]}},
                "VAL694",
                "RR07",
            ),
        ],
    )
    def test_refuses_what_the_scheme_does_not_take(self, change: Any, code: str, reason: str) -> None:
        error = refusal(payment(**change), profile="sepa-sct")
        assert (error.code, error.reason) == (code, reason)

    def test_takes_the_highest_amount(self) -> None:
        highest = payment(amount={"value": Decimal("999999999.99"), "currency": "EUR"})
        assert b"999999999.99" in written([highest], profile="sepa-sct")

    def test_has_its_own_character_set(self) -> None:
        creditor = {"name": "Müller", "account": {"iban": OTHER_IBAN}}
        assert Written(written([payment(creditor=creditor)], profile="sepa-sct", charset="any")).texts("Cdtr/Nm") == [
            "Muller"
        ]


def test_memory_stays_flat_however_many_payments() -> None:
    def peak(count: int) -> int:
        sink = io.BytesIO()
        sink.write = len  # type: ignore[assignment, method-assign]  # counts and forgets, as a blob on disk would
        tracemalloc.start()
        written_format = Iso20022Spec(message="pain.001.001.09").build()
        written_format.write((payment(end_to_end_id=f"E{n}") for n in range(count)), sink, CONTEXT)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(12_000) < peak(2_000) + 12_000_000  # 12,000 payments are 6 MB of XML; two spools of 4 MB may fill


def test_the_initiating_party_is_configured_or_the_first_debtor() -> None:
    assert Written(written([payment()])).texts("InitgPty/Nm") == ["ACME GmbH"]
    assert Written(written([payment()], initiating_party="ACME Group")).texts("InitgPty/Nm") == ["ACME Group"]
