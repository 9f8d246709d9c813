"""The scripted ERP and the scripted bank: deterministic, strict, and as exact after a crash as before it."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape

import pytest
from iso4217 import Currency
from lxml import etree
from schwifty import BIC, IBAN

from bus.testing.accounts import (
    foreign_account,
    iban,
    is_iban,
    sepa_account,
    unplaced_account,
    with_wrong_check_digits,
)
from bus.testing.bank import Answers, Bank, Event, read_journal
from bus.testing.bank_checks import schema
from bus.testing.erp import Erp
from bus.testing.payrun import BAD, COLUMNS, Line, Mix, PaymentRun

DAY = date(2026, 11, 24)
DEBTOR = "DE89370400440532013000"
CREDITOR = "FR1420041010050500013M02606"


# ---------------------------------------------------------------- accounts


def test_made_up_ibans_satisfy_the_countries_own_rules() -> None:
    rng = Random(1)  # noqa: S311 - made-up accounts, the same every time
    countries = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checker says for which countries it knows no national digits
        for _ in range(2000):
            account = sepa_account(rng)
            checked = IBAN(account.number, validate_bban=True)
            assert checked.in_sepa_zone
            assert checked.country_code == account.country
            assert BIC(account.bic).country_code == account.country
            countries.add(account.country)
        for _ in range(500):
            account = foreign_account(rng)
            assert BIC(account.bic).country_code == account.country
            assert Currency(account.currency).exponent is not None
            if account.number[:2].isalpha():
                assert not IBAN(account.number, validate_bban=True).in_sepa_zone
    assert len(countries) == 22
    assert not any(is_iban(unplaced_account(rng).number) for _ in range(50))


@pytest.mark.parametrize("number", range(98))
def test_wrong_check_digits_are_never_right(number: int) -> None:
    good = iban("DE", f"1000000000000000{number:02d}")
    assert is_iban(good)
    assert not is_iban(with_wrong_check_digits(good))
    assert len(with_wrong_check_digits(good)) == len(good)


@pytest.mark.parametrize(
    "text", ["", "DE", "1" * 20, "DE89 3704 0044 0532 0130 00", "DE8937040044053201300\N{DIGIT ZERO}0", "ÄE89" * 5]
)
def test_what_is_no_iban(text: str) -> None:
    assert not is_iban(text)


# ---------------------------------------------------------------- payment runs


@pytest.fixture
def erp(tmp_path: Path) -> Erp:
    return Erp(tmp_path / "erp", 7)


def rows(run: PaymentRun) -> tuple[list[list[str]], list[list[str]]]:
    """(payment lines, trailer lines), split into fields."""
    head, *lines = run.content.decode().splitlines()
    assert head == ";".join(COLUMNS)
    split = [line.split(";") for line in lines]
    return [row for row in split if row[0] != "T"], [row for row in split if row[0] == "T"]


def test_the_same_seed_gives_the_same_bytes_everywhere(tmp_path: Path) -> None:
    run = Erp(tmp_path / "a", 1).payment_run(1, 50)
    assert run.content == Erp(tmp_path / "b", 1).payment_run(1, 50).content
    assert hashlib.sha256(run.content).hexdigest() == "579996689a20949f70ad6750d156f82d457d415ddc1f8fb5501c044c858ebbac"
    assert run.content != Erp(tmp_path / "a", 2).payment_run(1, 50).content
    assert run.content != Erp(tmp_path / "a", 1).payment_run(2, 50).content


def test_a_run_tells_the_truth_about_itself(erp: Erp) -> None:
    run = erp.payment_run(3, 400, bad_share=0.1)
    payments, trailers = rows(run)
    assert len(payments) == len(run.lines) == 400
    sums: dict[str, tuple[int, Decimal]] = {}
    for index, (row, line) in enumerate(zip(payments, run.lines, strict=True)):
        assert line.place == f"line {index + 2}"
        assert (row[0], row[1], row[2], row[11]) == (line.payment_id, line.end_to_end_id, line.invoice, line.currency)
        assert Decimal(row[10]) == line.amount
        count, total = sums.get(row[11], (0, Decimal(0)))
        sums[row[11]] = (count + 1, total + Decimal(row[10]))
    assert {t[2]: (int(t[1]), Decimal(t[3])) for t in trailers} == sums == run.totals()
    parts: list[dict[str, tuple[int, Decimal]]] = [
        run.totals(o) for o in ("bank-north", "bank-south", "treasury", "bad")
    ]
    assert sum(n for p in parts for n, _ in p.values()) == 400
    assert len({line.end_to_end_id for line in run.lines}) == 400
    assert all(len(line.end_to_end_id) <= 35 for line in run.lines)


def test_each_class_is_what_it_says(erp: Erp) -> None:
    run = erp.payment_run(1, 1000, bad_share=0.08)
    payments, _ = rows(run)
    fields = {
        line.end_to_end_id: dict(zip(COLUMNS, row, strict=False)) for line, row in zip(run.lines, payments, strict=True)
    }
    limit = Decimal(1_000_000)
    for line in run.lines:
        field = fields[line.end_to_end_id]
        assert is_iban(field["debtor_iban"])
        if line.outcome == "bank-north":
            assert line.currency == "EUR"
            assert 0 < line.amount <= limit
            assert is_iban(field["creditor_account"])
        elif line.outcome == "bank-south":
            assert line.currency not in ("EUR", "QQQ")
            assert line.amount == round(line.amount, Currency(line.currency).exponent or 0)
        elif line.kind == "large":
            assert line.amount > limit
        elif line.kind == "unplaced":
            assert field["creditor_country"] in ("", "XX", "ZZ", "QY")
    assert Counter(line.kind for line in run.lines if line.outcome == "treasury") == {"large": 20, "unplaced": 10}
    assert any(line.amount == limit and line.outcome == "bank-north" for line in run.lines)
    assert {line.currency for line in run.expected("bank-south")} >= {"USD", "GBP", "JPY"}


def test_every_kind_of_bad_line_is_bad_in_its_way(erp: Erp) -> None:
    run = erp.payment_run(1, 100, bad_share=0.16)
    payments, _ = rows(run)
    bad = [(line, row) for line, row in zip(run.lines, payments, strict=True) if line.outcome == "bad"]
    assert Counter(line.kind for line, _ in bad) == dict.fromkeys(BAD, 2)
    for line, row in bad:
        field = dict(zip(COLUMNS, row, strict=False))
        assert line.reason == BAD[line.kind]
        wrong = {
            "bad-iban": not is_iban(field["creditor_account"]),
            "no-creditor-name": field["creditor_name"] == "",
            "excess-decimals": line.amount != round(line.amount, 0 if line.currency == "JPY" else 2),
            "negative-amount": line.amount < 0,
            "zero-amount": line.amount == 0,
            "february-30": field["execution_date"].endswith("-02-30"),
            "unknown-currency": field["currency"] == "QQQ",
            "too-many-fields": len(row) == len(COLUMNS) + 1,
        }
        assert [kind for kind, found in wrong.items() if found] == [line.kind]
    assert all(line.reason == "" for line in run.lines if line.outcome != "bad")


def test_the_mix_decides(erp: Erp) -> None:
    run = erp.payment_run(1, 50, bad_share=0, mix=Mix(foreign=0, large=0.5, unplaced=0, limit=Decimal("10.00")))
    assert Counter(line.kind for line in run.lines) == {"sepa": 25, "large": 25}
    assert all((line.amount > 10) == (line.kind == "large") for line in run.lines)
    with pytest.raises(ValueError, match="shares"):
        erp.payment_run(1, 10, bad_share=0.9, mix=Mix(foreign=0.3))
    with pytest.raises(ValueError, match="seed"):
        Erp(erp.root, -1)
    with pytest.raises(ValueError, match="lines"):
        erp.payment_run(1, -1)


def test_an_empty_run_has_a_header_and_a_trailer_of_nothing(erp: Erp) -> None:
    assert rows(erp.payment_run(1, 0)) == ([], [["T", "0", "EUR", "0.00"]])


def test_ids_of_different_seeds_and_runs_never_meet(erp: Erp, tmp_path: Path) -> None:
    other = Erp(tmp_path / "other", 77)
    runs = [erp.payment_run(1, 30), erp.payment_run(11, 30), other.payment_run(1, 30), other.payment_run(7, 30)]
    ids = [line.end_to_end_id for run in runs for line in run.lines]
    assert len(set(ids)) == len(ids)
    largest = Erp(tmp_path / "x", 999_999_999).payment_run(99_999_999, 1)
    assert len(largest.lines[0].end_to_end_id) <= 35


def test_a_run_of_200_lines_is_quick(erp: Erp) -> None:
    erp.payment_run(0, 10)
    begin = time.process_time()
    erp.payment_run(1, 200)
    assert time.process_time() - begin < 0.05


def test_the_faulty_variants(erp: Erp) -> None:
    run = erp.payment_run(1, 60)
    _, trailers = rows(run)
    eur = next(t for t in trailers if t[2] == "EUR")
    changed = [t for t in rows(run.wrong_sum())[1] if t not in trailers]
    assert [Decimal(t[3]) - Decimal(eur[3]) for t in changed] == [Decimal("0.01")]
    changed = [t for t in rows(run.wrong_count())[1] if t not in trailers]
    assert [(int(t[1]) - int(eur[1]), t[3]) for t in changed] == [(1, eur[3])]
    for share in (0.0, 0.5, 1.0):
        cut = run.truncated(share)
        assert run.content.startswith(cut.content)
        assert run.content[len(cut.content) :].strip().splitlines()[-1].startswith(b"T;")
    assert run.duplicate().content == run.duplicate("PAYRUN_again.csv").content == run.content
    assert run.duplicate("PAYRUN_again.csv").name == "PAYRUN_again.csv"
    faults = [r.fault for r in (run, run.duplicate(), run.truncated(), run.wrong_sum(), run.wrong_count())]
    assert faults == ["", "duplicate", "truncated", "wrong-sum", "wrong-count"]


def test_a_drop_is_whole_before_its_marker(erp: Erp) -> None:
    run = erp.payment_run(1, 20)
    path = erp.drop(run)
    assert path.read_bytes() == run.content
    assert sorted(p.name for p in erp.outbox.iterdir()) == [run.name, f"{run.name}.done"]
    assert path.with_name(f"{run.name}.done").stat().st_mtime_ns >= path.stat().st_mtime_ns


def test_the_erp_reads_what_came_back(erp: Erp) -> None:
    assert erp.received().files == {}
    head = ";".join((*COLUMNS, "reason_code", "reason_text"))
    fields = ["P-1", "E2E-1", "INV-1", "ACME", "DE1", "BIC", "N", "A", "B", "DE", "1.50", "EUR", "2026-11-24", "R"]
    lines = [
        [*fields, "AC01", "wrong; and more"],
        [*fields[:10], "much", *fields[11:], "surplus", "FF01", "too many"],
        ["P-2", "FF01", "short"],
    ]
    text = "\n".join([head, *(";".join(f'"{f}"' if ";" in f else f for f in line) for line in lines), "T;3;EUR;4.50"])
    (erp.inbox / "PAYREJ_1.csv").write_text(text)
    status = '{"type": "payment-status", "amount": {"value": 1.10, "currency": "EUR"}}'
    (erp.inbox / "STATUS_1.json").write_text(f'[{status}, {{"type": "statement", "id": "S"}}]')
    (erp.inbox / "CAMT053_1.xml").write_text("<Document/>")
    (erp.inbox / ".half.json").write_text("{")
    (erp.inbox / ".stage").mkdir()
    found = erp.received()
    assert [(r.end_to_end_id, r.reason_code, r.amount) for r in found.rejects] == [
        ("E2E-1", "AC01", Decimal("1.50")),
        ("E2E-1", "FF01", None),
        ("", "FF01", None),
    ]
    assert found.rejects[0].reason_text == "wrong; and more"
    assert found.rejects[1].fields[-1] == "surplus"
    assert found.reject_trailers == {"PAYREJ_1.csv": (("T", "3", "EUR", "4.50"),)}
    assert found.statuses[0]["amount"]["value"] == Decimal("1.10")
    assert isinstance(found.statuses[0]["amount"]["value"], Decimal)
    assert [s["id"] for s in found.statements] == ["S"]
    assert found.others == ("CAMT053_1.xml",)
    assert set(found.files) == {"PAYREJ_1.csv", "STATUS_1.json", "CAMT053_1.xml"}
    (erp.inbox / "bad.json").write_text("[1]")
    with pytest.raises(ValueError, match="objects"):
        erp.received()


# ---------------------------------------------------------------- the bank


NEEDED = (
    "pain.001.001.03",
    "pain.001.001.09",
    "pain.002.001.03",
    "pain.002.001.10",
    "camt.053.001.02",
    "camt.053.001.08",
)


def schema_folders() -> list[Path]:
    """Where all needed schemas are: those that are built, then ISO's own."""
    places = [Path(__file__).parents[2] / "transforms" / "iso20022" / "schemas"]
    if os.environ.get("GIROBUS_XSD"):
        places.append(Path(os.environ["GIROBUS_XSD"]))
    return [place for place in places if all((place / f"{name}.xsd").exists() for name in NEEDED)]


@pytest.fixture(scope="session")
def schemas() -> Path:
    folders = schema_folders()
    if not folders:
        pytest.skip("no ISO 20022 schemas: build them, or set GIROBUS_XSD")
    return folders[0]


class Clock:
    def now(self) -> int:
        return 1_795_500_000_000


@dataclass
class Payment:
    id: str
    amount: str = "100.10"
    currency: str = "EUR"
    account: str = CREDITOR
    name: str = "Müller & Söhne"


def element(tag: str, *parts: str) -> str:
    return f"<{tag}>{''.join(parts)}</{tag}>"


def account(tag: str, number: str) -> str:
    return element(
        tag, element("Id", element("IBAN", number) if is_iban(number) else element("Othr", element("Id", number)))
    )


def agent(tag: str, version: str, bic: str) -> str:
    return element(tag, element("FinInstnId", element("BIC" if version == "03" else "BICFI", bic)))


def pain001(
    message: str,
    blocks: dict[str, list[Payment]],
    *,
    version: str = "09",
    debtor: str = DEBTOR,
    wrong: dict[str, str] | None = None,
) -> bytes:
    """A payment file; ``wrong`` replaces totals: ``NbOfTxs``, ``CtrlSum`` (header), ``B.NbOfTxs``, ``B.CtrlSum``."""
    told = wrong or {}

    def totals(payments: list[Payment], prefix: str) -> str:
        count, total = str(len(payments)), f"{sum((Decimal(p.amount) for p in payments), Decimal(0)):f}"
        return element("NbOfTxs", told.get(f"{prefix}NbOfTxs", count)) + element(
            "CtrlSum", told.get(f"{prefix}CtrlSum", total)
        )

    def transaction(payment: Payment) -> str:
        return element(
            "CdtTrfTxInf",
            element("PmtId", element("InstrId", f"I-{payment.id}"[:35]), element("EndToEndId", payment.id)),
            f'<Amt><InstdAmt Ccy="{payment.currency}">{payment.amount}</InstdAmt></Amt>',
            agent("CdtrAgt", version, "PSSTFRPPXXX"),
            element("Cdtr", element("Nm", escape(payment.name))),
            account("CdtrAcct", payment.account),
            element("RmtInf", element("Ustrd", f"Invoice {payment.id}")),
        )

    def block(number: str, payments: list[Payment]) -> str:
        due = DAY.isoformat()
        return element(
            "PmtInf",
            element("PmtInfId", number),
            element("PmtMtd", "TRF"),
            totals(payments, "B."),
            element("ReqdExctnDt", due if version == "03" else element("Dt", due)),
            element("Dbtr", element("Nm", "ACME GmbH")),
            account("DbtrAcct", debtor),
            agent("DbtrAgt", version, "COBADEFFXXX"),
            *(transaction(payment) for payment in payments),
        )

    header = element(
        "GrpHdr",
        element("MsgId", message),
        element("CreDtTm", "2026-11-24T08:00:00Z"),
        totals([p for payments in blocks.values() for p in payments], ""),
        element("InitgPty", element("Nm", "ACME GmbH")),
    )
    body = element("CstmrCdtTrfInitn", header, *(block(*item) for item in blocks.items()))
    return f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.{version}">{body}</Document>'.encode()


@pytest.fixture
def make(tmp_path: Path, schemas: Path) -> Callable[..., Bank]:
    """Starts a bank over the test's folder; again and again, as after a crash."""

    def start(
        *, effect: Callable[[str], None] = lambda _: None, root: Path = tmp_path / "bank", **answers: object
    ) -> Bank:
        chosen = replace(Answers(reject_permille=0), **answers)  # type: ignore[arg-type]  # each test knows the fields
        return Bank("bank-north", root, schemas=schemas, clock=Clock(), answers=chosen, effect=effect)

    return start


def deliver(bank: Bank, name: str, content: bytes) -> None:
    (bank.inbox / name).write_bytes(content)


def written(bank: Bank) -> dict[str, etree._Element]:
    """All published documents by name, each valid against every schema of its name there is, without namespaces."""
    found = {}
    for path in sorted(bank.outbox.glob("*.xml")):
        root = etree.parse(path).getroot()
        space = str(root.tag)[1:].partition("}")[0]
        for folder in schema_folders():
            rules = schema(folder, space.rpartition(":")[2])
            assert rules.validate(root), (path.name, str(rules.error_log))
        for node in root.iter():
            node.tag = str(node.tag).partition("}")[2]
        found[path.name] = root
    return found


def texts(root: etree._Element, path: str) -> list[str]:
    return [node.text or "" for node in root.findall(path)]


@pytest.mark.parametrize(("version", "report"), [("03", "pain.002.001.03"), ("09", "pain.002.001.10")])
def test_a_good_file_is_answered_twice(make: Callable[..., Bank], version: str, report: str) -> None:
    bank = make()
    deliver(bank, "PAIN001_1.xml", pain001("M1", {"B1": [Payment("E1"), Payment("E2", "0.05")]}, version=version))
    events = bank.work_once()
    assert events[0] == Event("accepted", "PAIN001_1.xml", 1, "M1", "", 2, 0)
    assert [e.kind for e in events[1:]] == ["published", "published"]
    assert report.encode() in (bank.outbox / events[1].file).read_bytes()
    first, second = written(bank).values()
    assert texts(first, ".//GrpSts") == ["ACTC"]
    assert texts(first, ".//OrgnlMsgId") == texts(second, ".//OrgnlMsgId") == ["M1"]
    assert texts(first, ".//OrgnlMsgNmId") == [f"pain.001.001.{version}"]
    assert texts(first, ".//OrgnlCtrlSum") == ["100.15"]
    assert texts(second, ".//GrpSts") == texts(second, ".//PmtInfSts") == ["ACSC"]
    assert texts(second, ".//TxInfAndSts") == []  # they inherit
    assert list(bank.inbox.iterdir()) == []
    assert [p.name for p in (bank.root / "processed").iterdir()] == ["000001-PAIN001_1.xml"]
    assert bank.work_once() == []
    assert [
        (r.file, r.message_id, r.payment_information_id, r.end_to_end_id, r.amount, r.currency, r.creditor_account)
        for r in bank.journal()
    ] == [
        ("PAIN001_1.xml", "M1", "B1", "E1", Decimal("100.10"), "EUR", CREDITOR),
        ("PAIN001_1.xml", "M1", "B1", "E2", Decimal("0.05"), "EUR", CREDITOR),
    ]
    assert bank.journal()[0].creditor_name == "Müller & Söhne"


def test_a_share_of_payments_is_refused_by_their_ids(make: Callable[..., Bank]) -> None:
    bank = make(reject_permille=200, first="ACCP")
    payments = [Payment(f"E{n}") for n in range(100)]
    deliver(bank, "a.xml", pain001("M1", {"B1": payments[:50], "B2": payments[50:]}))
    accepted = bank.work_once()[0]
    expected = {p.id: bank.answers.reason(p.id) for p in payments if bank.answers.reason(p.id)}
    assert 5 < len(expected) < 40
    assert accepted.rejected == len(expected)
    assert set(expected.values()) <= set(bank.answers.reasons)
    first, second = written(bank).values()
    assert texts(first, ".//GrpSts") == ["ACCP"]
    assert texts(second, ".//GrpSts") == ["PART"]
    assert texts(second, ".//PmtInfSts") == ["ACSC", "ACSC"]
    ids = texts(second, ".//TxInfAndSts/OrgnlEndToEndId")
    assert dict(zip(ids, texts(second, ".//TxInfAndSts/StsRsnInf/Rsn/Cd"), strict=True)) == expected
    assert set(texts(second, ".//TxSts")) == {"RJCT"}
    counts = dict(zip(texts(second, ".//DtldSts"), texts(second, ".//DtldNbOfTxs"), strict=True))
    assert counts == {"ACSC": str(100 - len(expected)), "RJCT": str(len(expected))}
    assert {r.end_to_end_id: r.reason for r in bank.journal() if r.status == "rejected"} == expected


def test_answers_may_be_explicit_and_all_may_be_refused(make: Callable[..., Bank]) -> None:
    bank = make(explicit=True)
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    assert texts(list(written(bank).values())[1], ".//TxSts") == ["ACSC"]
    bank = make(reject_permille=1000, reasons=("AC04",))
    deliver(bank, "b.xml", pain001("M2", {"B2": [Payment("E2")]}))
    bank.work_once()
    last = list(written(bank).values())[-1]
    assert (texts(last, ".//GrpSts"), texts(last, ".//PmtInfSts"), texts(last, ".//TxSts")) == (
        ["RJCT"],
        ["RJCT"],
        ["RJCT"],
    )


BAD_FILES = {
    "count": (pain001("M1", {"B1": [Payment("E1")]}, wrong={"NbOfTxs": "2"}), "AM18", 1),
    "sum": (pain001("M1", {"B1": [Payment("E1")]}, wrong={"CtrlSum": "100.11"}), "AM10", 1),
    "count of a block": (pain001("M1", {"B1": [Payment("E1")]}, wrong={"B.NbOfTxs": "2"}), "AM18", 1),
    "sum of a block": (pain001("M1", {"B1": [Payment("E1")]}, wrong={"B.CtrlSum": "100.09"}), "AM10", 1),
    "against the schema": (pain001("M1", {"B1": [Payment("E1", "-1.00")]}), "FF01", 0),
    "missing element": (pain001("M1", {"B1": [Payment("E1")]}).replace(b"<PmtMtd>TRF</PmtMtd>", b""), "FF01", 0),
    "long id": (pain001("M" * 100, {"B1": [Payment("E1")]}), "FF01", 0),
    "cut off": (pain001("M1", {"B1": [Payment("E1")]})[:-20], "FF01", 0),
    "empty": (b"", "FF01", 0),
    "no XML": (b"\xff\xfe\x00PAYRUN", "FF01", 0),
    "another message": (b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.008.001.02"/>', "FF01", 0),
    "another root": (b"<html/>", "FF01", 0),
    "unknown version": (pain001("M1", {"B1": [Payment("E1")]}, version="12"), "FF01", 0),
    "doctype": (b"<!DOCTYPE Document>" + pain001("M1", {"B1": [Payment("E1")]}), "FF01", 0),
    "entity": (
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        + pain001("M1", {"B1": [Payment("E1")]}).replace(b">M1<", b">&x;<"),
        "FF01",
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_is_wrong_as_a_whole_is_refused_as_a_whole(make: Callable[..., Bank], what: str) -> None:
    content, reason, transactions = BAD_FILES[what]
    bank = make()
    deliver(bank, "a.xml", content)
    refused = bank.work_once()[0]
    assert (refused.kind, refused.reason, refused.transactions) == ("refused", reason, transactions)
    (report,) = written(bank).values()
    assert texts(report, ".//GrpSts") == ["RJCT"]
    assert texts(report, ".//OrgnlGrpInfAndSts/StsRsnInf/Rsn/Cd") == [reason]
    assert {(r.status, r.reason) for r in bank.journal()} == ({("refused", reason)} if transactions else set())
    assert b"root:" not in b"".join(p.read_bytes() for p in bank.outbox.glob("*.xml"))
    # Corrected, it may come again under the same identifiers.
    deliver(bank, "b.xml", pain001("M1", {"B1": [Payment("E1")]}))
    assert bank.work_once()[0].kind == "accepted"


def test_sums_are_exact_where_floats_are_not(make: Callable[..., Bank]) -> None:
    bank = make()
    payments = [
        Payment("E1", "999999999999999.99"),
        Payment("E2", "0.01"),
        Payment("E3", "0.10"),
        Payment("E4", "0.20"),
    ]
    deliver(bank, "a.xml", pain001("M1", {"B1": payments}))
    deliver(bank, "b.xml", pain001("M2", {"B2": payments}, wrong={"CtrlSum": "1000000000000000.31"}))
    assert [e.reason for e in bank.work_once() if e.arrival] == ["", "AM10"]


def test_nothing_is_taken_twice(make: Callable[..., Bank]) -> None:
    bank = make()
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    bank = make()  # what it knows, it knows from the disk
    deliver(bank, "b.xml", pain001("M1", {"B9": [Payment("E9")]}))
    deliver(bank, "c.xml", pain001("M2", {"B1": [Payment("E2")], "B2": [Payment("E3")]}))
    deliver(
        bank,
        "d.xml",
        pain001(
            "M3", {"B3": [Payment("E1"), Payment("E4"), Payment("E4"), Payment("NOTPROVIDED"), Payment("NOTPROVIDED")]}
        ),
    )
    deliver(bank, "e.xml", pain001("M4", {"B4": [Payment("E4"), Payment("NOTPROVIDED")]}))
    bank.work_once()
    outcome = [(r.arrival, r.end_to_end_id, r.status, r.reason) for r in bank.journal()]
    assert outcome == [
        (1, "E1", "settled", ""),
        (2, "E1", "refused", "DU01"),
        (3, "E9", "refused", "DU01"),
        (4, "E2", "rejected", "DU02"),
        (4, "E3", "settled", ""),
        (5, "E1", "rejected", "DU04"),
        (5, "E4", "settled", ""),
        (5, "E4", "rejected", "DU04"),
        (5, "NOTPROVIDED", "settled", ""),
        (5, "NOTPROVIDED", "settled", ""),
        (6, "E4", "rejected", "DU04"),
        (6, "NOTPROVIDED", "settled", ""),
    ]
    reports = written(bank)
    assert texts(reports["PAIN002_bank-north_000004_2.xml"], ".//PmtInfSts") == ["RJCT", "ACSC"]


def test_a_payment_block_twice_in_one_file_is_taken_once(make: Callable[..., Bank]) -> None:
    bank = make()
    content = pain001("M1", {"B1": [Payment("E1")], "B2": [Payment("E2")]}).replace(b">B2<", b">B1<")
    deliver(bank, "a.xml", content)
    bank.work_once()
    assert [(r.end_to_end_id, r.reason) for r in bank.journal()] == [("E1", ""), ("E2", "DU02")]


@pytest.mark.parametrize(
    ("payment", "reason"),
    [
        (Payment("E1", "0.00"), "AM01"),
        (Payment("E1", "1.001"), "AM12"),
        (Payment("E1", "1.5", "JPY"), "AM12"),
        (Payment("E1", "1.234", "KWD"), ""),
        (Payment("E1", "1.100"), ""),
        (Payment("E1", account="123456789"), ""),
    ],
)
def test_what_the_schema_lets_pass_the_bank_does_not(make: Callable[..., Bank], payment: Payment, reason: str) -> None:
    bank = make()
    deliver(bank, "a.xml", pain001("M1", {"B1": [payment]}))
    bank.work_once()
    assert [r.reason for r in bank.journal()] == [reason]


def test_a_wrong_iban_is_refused(make: Callable[..., Bank]) -> None:
    bank = make()
    content = pain001("M1", {"B1": [Payment("E1")]}).replace(
        CREDITOR.encode(), with_wrong_check_digits(CREDITOR).encode()
    )
    deliver(bank, "a.xml", content)
    bank.work_once()
    assert [r.reason for r in bank.journal()] == ["AC01"]


def test_what_is_not_there_yet_is_left_alone(make: Callable[..., Bank]) -> None:
    bank = make()
    (bank.inbox / ".stage").mkdir()
    (bank.inbox / ".stage" / "x.xml").write_bytes(b"half")
    (bank.inbox / ".hidden.xml").write_bytes(b"half")
    (bank.inbox / "folder").mkdir()
    (bank.inbox / "link.xml").symlink_to("/etc/passwd")
    assert bank.work_once() == []
    assert {p.name for p in bank.inbox.iterdir()} == {".stage", ".hidden.xml", "folder", "link.xml"}


def test_strange_names_are_taken(make: Callable[..., Bank]) -> None:
    bank = make()
    good = pain001("M1", {"B1": [Payment("E1")]})
    (bank.inbox / ("n" * 250)).write_bytes(good)
    Path(os.fsdecode(os.fsencode(bank.inbox) + b"/\xff\xfe.xml")).write_bytes(good)
    assert [e.kind for e in bank.work_once()][:2] == ["accepted", "refused"]
    assert len(written(bank)) == 3
    assert len(make().journal()) == 2


def test_a_bank_needs_a_name_that_files_can_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        Bank("../up", tmp_path, schemas=tmp_path, clock=Clock())


def test_a_batch_may_be_limited(make: Callable[..., Bank]) -> None:
    bank = make()
    for n in range(5):
        deliver(bank, f"{n}.xml", pain001(f"M{n}", {f"B{n}": [Payment(f"E{n}")]}))
    assert [sum(e.kind == "accepted" for e in bank.work_once(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_silent_bank_says_nothing_and_makes_up_for_it(make: Callable[..., Bank]) -> None:
    bank = make(silent=True, reject_permille=500)
    payments = [Payment(f"E{n}") for n in range(20)]
    deliver(bank, "a.xml", pain001("M1", {"B1": payments}))
    deliver(bank, "b.xml", b"junk")
    assert [e.kind for e in bank.work_once()] == ["accepted", "refused"]
    assert bank.work_once() == []
    assert written(bank) == {}
    rejected = {r.end_to_end_id for r in bank.journal() if r.status == "rejected"}
    assert rejected
    bank = make()  # not silent; what was refused then is still refused
    assert [e.kind for e in bank.work_once()] == ["published"] * 3
    found = written(bank)
    assert set(texts(found["PAIN002_bank-north_000001_2.xml"], ".//TxInfAndSts/OrgnlEndToEndId")) == rejected
    assert texts(found["PAIN002_bank-north_000002_1.xml"], ".//Rsn/Cd") == ["FF01"]


# ---------------------------------------------------------------- statements


def signed(node: etree._Element) -> Decimal:
    value = Decimal(texts(node, "Amt")[0])
    return value if texts(node, "CdtDbtInd") == ["CRDT"] else -value


def balances(root: etree._Element) -> dict[str, Decimal]:
    return {texts(b, "Tp/CdOrPrtry/Cd")[0]: signed(b) for b in root.findall(".//Bal")}


@pytest.mark.parametrize(("version", "name"), [("03", "camt.053.001.02"), ("09", "camt.053.001.08")])
def test_statements_add_up_day_after_day(make: Callable[..., Bank], version: str, name: str) -> None:
    bank = make(reject_permille=100, opening=Decimal(1000))
    settled: set[str] = set()
    previous: Decimal | None = None
    for day in range(1, 4):
        payments = [Payment(f"E{day}-{n}", f"{n + 1}.{n % 100:02d}") for n in range(30)]
        deliver(bank, f"{day}.xml", pain001(f"M{day}", {f"B{day}": payments}, version=version))
        bank.work_once()
        (event,) = bank.statement(date(2026, 11, day))
        assert event == Event("published", f"CAMT053_{DEBTOR}_EUR_2026110{day}.xml")
        assert name.encode() in (bank.outbox / event.file).read_bytes()
        statement = written(bank)[event.file]
        entries = statement.findall(".//Ntry")
        told = balances(statement)
        assert told["OPBD"] == (Decimal(1000) if previous is None else previous)
        assert told["OPBD"] + sum((signed(e) for e in entries), Decimal(0)) == told["CLBD"]
        previous = told["CLBD"]
        assert texts(statement, ".//ElctrncSeqNb") == [str(day)]
        debits = [e for e in entries if texts(e, "CdtDbtInd") == ["DBIT"]]
        booked = [i for e in debits for i in texts(e, "NtryDtls/TxDtls/Refs/EndToEndId")]
        today = [r.end_to_end_id for r in bank.journal() if r.status == "settled" and r.message_id == f"M{day}"]
        assert booked == today
        assert 20 < len(booked) < 30
        assert settled.isdisjoint(booked)
        settled |= set(booked)
        assert len(entries) > len(debits)  # customers pay too
        assert texts(statement, ".//TxsSummry/TtlDbtNtries/NbOfNtries") == [str(len(debits))]
        references = texts(statement, ".//AcctSvcrRef")
        assert len(set(references)) == len(entries)
    assert previous is not None
    assert previous != 1000


def test_each_currency_of_an_account_has_its_own_statement(make: Callable[..., Bank]) -> None:
    bank = make(credits=0, opening=Decimal(100))
    payments = [Payment("E1", "500", "JPY"), Payment("E2", "1.234", "KWD"), Payment("E3", "7.5", "USD")]
    deliver(bank, "a.xml", pain001("M1", {"B1": payments}, debtor="ACC-1/x"))
    bank.work_once()
    bank.statement(DAY)
    found = {n: (balances(r), texts(r, ".//Ntry/Amt")) for n, r in written(bank).items() if "CAMT" in n}
    assert found == {
        "CAMT053_ACC1x_JPY_20261124.xml": ({"OPBD": Decimal(100), "CLBD": Decimal(-400)}, ["500"]),
        "CAMT053_ACC1x_KWD_20261124.xml": ({"OPBD": Decimal("100.000"), "CLBD": Decimal("98.766")}, ["1.234"]),
        "CAMT053_ACC1x_USD_20261124.xml": ({"OPBD": Decimal("100.00"), "CLBD": Decimal("92.50")}, ["7.50"]),
    }


def test_a_day_is_stated_once_and_late_payments_the_day_after(make: Callable[..., Bank]) -> None:
    bank = make(credits=0)
    assert bank.statement(DAY) == []
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    assert len(bank.statement(DAY)) == 1
    deliver(bank, "b.xml", pain001("M2", {"B2": [Payment("E2")]}))
    bank.work_once()
    assert bank.statement(DAY) == []
    assert make().statement(DAY) == []
    assert bank.statement(date(2026, 11, 23)) == []
    (event,) = bank.statement(date(2026, 11, 25))
    assert texts(written(bank)[event.file], ".//TxDtls/Refs/EndToEndId") == ["E2"]
    (event,) = bank.statement(date(2026, 11, 26))  # a day without entries
    quiet = written(bank)[event.file]
    assert quiet.findall(".//Ntry") == []
    assert balances(quiet)["OPBD"] == balances(quiet)["CLBD"]


# ---------------------------------------------------------------- crashes


class CrashError(Exception):
    """Stands for kill -9: whatever the bank had in memory is gone."""


class CrashAt:
    """Raises at the n-th effect."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.label = ""

    def __call__(self, label: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.label = label
            raise CrashError(label)


def scenario() -> list[Callable[[Bank], object]]:
    files = [
        ("a.xml", pain001("M1", {"B1": [Payment(f"E{n}") for n in range(10)]})),
        ("b.xml", b"junk"),
        ("c.xml", pain001("M1", {"B1": [Payment("E1")]})),
    ]
    later = ("d.xml", pain001("M2", {"B2": [Payment("E1"), Payment("E20")]}, version="03"))

    def deliver_all(bank: Bank) -> None:
        for file in files:
            deliver(bank, *file)

    return [
        deliver_all,
        lambda bank: bank.work_once(),
        lambda bank: deliver(bank, *later),
        lambda bank: bank.work_once(),
        lambda bank: bank.statement(DAY),
        lambda bank: bank.work_once(),
        lambda bank: bank.statement(date(2026, 11, 25)),
    ]


def play(start: Callable[..., Bank], crash: CrashAt) -> tuple[Bank, list[tuple[str, bytes]]]:
    """Run the scenario with one crash; the customer empties the outbox at the crash and at the end."""
    try:
        bank = start(effect=crash)
    except CrashError:
        bank = start()
    collected: list[tuple[str, bytes]] = []

    def collect() -> None:
        for path in sorted(bank.outbox.glob("*.xml")):
            collected.append((path.name, path.read_bytes()))
            path.unlink()

    steps = scenario()
    while steps:
        try:
            steps[0](bank)
        except CrashError:
            collect()
            bank = start()
            continue
        steps.pop(0)
    collect()
    return bank, sorted(collected)


def test_a_crash_at_any_point_neither_loses_nor_doubles(make: Callable[..., Bank], tmp_path: Path) -> None:
    def starter(number: int) -> Callable[..., Bank]:
        return lambda **extra: make(root=tmp_path / str(number), reject_permille=300, **extra)

    expected_bank, expected = play(starter(0), CrashAt(0))
    assert len(expected) == 2 + 1 + 1 + 2 + 2
    number = 1
    seen: set[str] = set()
    while True:
        crash = CrashAt(number)
        bank, collected = play(starter(number), crash)
        if not crash.label:
            break
        seen.add(crash.label)
        assert collected == expected, crash.label
        assert bank.journal() == expected_bank.journal(), crash.label
        assert list((bank.root / ".answers").iterdir()) == []
        number += 1
    things = ("take", "journal", "state", "answer", "publish")
    assert seen == {f"bank.{thing}:{when}" for thing in things for when in ("before", "after")}


def test_a_half_written_line_of_the_journal_is_written_again(make: Callable[..., Bank]) -> None:
    bank = make()
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    path = bank.root / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"arrival":2,"fi')
    assert len(read_journal(path)) == 1
    assert len(make().journal()) == 1
    assert path.read_bytes() == whole


def test_answers_that_were_never_decided_on_are_thrown_away(make: Callable[..., Bank]) -> None:
    bank = make()
    for name in (".PAIN002_half.xml", "PAIN002_whole.xml"):
        (bank.root / ".answers" / name).write_bytes(b"x")
    assert make().work_once() == []
    assert list((bank.root / ".answers").iterdir()) == []
    assert list(bank.outbox.iterdir()) == []


def test_a_bank_that_lost_its_memory_does_not_start(make: Callable[..., Bank]) -> None:
    bank = make()
    deliver(bank, "a.xml", pain001("M1", {"B1": [Payment("E1")]}))
    bank.work_once()
    (bank.root / "journal.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match="lost lines"):
        make()
    (bank.root / "state.json").unlink()
    with pytest.raises(ValueError, match="is gone"):
        make()


def test_the_partners_understand_each_other_at_speed(make: Callable[..., Bank], erp: Erp) -> None:
    bank = make(reject_permille=20)
    sent: list[Line] = []
    for number in range(20):
        run = erp.payment_run(number, 200, bad_share=0)
        fields = {line.end_to_end_id: row for line, row in zip(run.lines, rows(run)[0], strict=True)}
        north = run.expected("bank-north")
        payments = [
            Payment(line.end_to_end_id, f"{line.amount:f}", line.currency, fields[line.end_to_end_id][7])
            for line in north
        ]
        deliver(bank, f"{run.name}.xml", pain001(f"M{number}", {f"B{number}": payments}))
        sent += north
    begin = time.process_time()
    events = bank.work_once()
    bank.statement(DAY)
    assert time.process_time() - begin < 5
    assert sum(e.transactions for e in events) == len(sent)
    received = {r.end_to_end_id: r.amount for r in bank.journal()}
    assert received == {line.end_to_end_id: line.amount for line in sent}
    assert not any(r.reason for r in bank.journal() if r.reason not in bank.answers.reasons)
    assert len(written(bank)) == 41
