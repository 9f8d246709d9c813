"""A payment that its file cannot hold is refused by itself; what is wrong with the file refuses the group."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from bus import Rejected, WriteContext
from bus.ledger.reading import Reading
from bus.ledger.reading_trace import Tracer
from bus.ledger.store import Store
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec
from transforms.mt101 import Mt101Spec
from transforms.nacha import NachaSpec

READ = """\
from: {file: {path: in}}
steps:
  - parse: json
  - split: {name: rows, each: rows, keys: {reference: end_to_end_id}}
"""
GATHER = "  - aggregate: {name: file, complete: {batch: true}}\n"
WRITE = "  - translate: {name: write, to: pain.001.001.09, profile: PROFILE}\nto: out\n"
BACK = "on_reject: {collect: batch, to: rejects, as: {json: {document: list}}}\n"
SMALL = "profile: small\nextends: sepa-sct\neditions:\n  - source: agreement\n    rules: {files: {most_payments: 2}}\n"


def payment(number: int, **other: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "end_to_end_id": f"E-{number}",
        "debtor": {"name": "ACME", "account": {"iban": "NL91ABNA0417164300"}},
        "creditor": {"name": f"Supplier {number}", "account": {"iban": "DE89370400440532013000"}},
        "amount": {"value": Decimal(f"{number}.10"), "currency": "EUR"},
        "execution_date": "2026-12-01",
        **other,
    }


LONG = {"creditor": {"name": "N" * 71, "account": {"iban": "DE89370400440532013000"}}}
"""Longer than SEPA takes, not than others do."""
DOLLARS = {"amount": {"value": Decimal("5.00"), "currency": "USD"}}


def send(desk: Desk, *payments: dict[str, Any]) -> None:
    desk.send(json.dumps({"rows": payments}, default=float))
    desk.settle()


def found(content: bytes) -> tuple[list[str], list[str]]:
    """(references, declared count and sum of the message) of a file, which is proved when it is read."""
    document = Iso20022Spec().build().read(BytesIO(content))
    references = [part.body["end_to_end_id"] for part in document.parts("payments")]
    text = content.decode()
    return references, [text.split(f"<{tag}>")[1].split("<")[0] for tag in ("NbOfTxs", "CtrlSum")]


def where(desk: Desk, file: Path, reference: str) -> tuple[str, str, str]:
    """What the trace of a payment ends with."""
    with Reading(file) as reading:
        traced = Tracer(reading, desk.clock.now()).trace(reference)
    assert traced is not None
    return traced.where.kind, traced.where.code, traced.where.step


def write(profile: str = "sepa-sct") -> str:
    return WRITE.replace("PROFILE", profile)


def test_payments_that_break_the_profile_go_back_and_the_others_are_paid(tmp_path: Path) -> None:
    with Desk(tmp_path, {"a": READ + GATHER + write() + BACK}, store=Store(tmp_path / "bus.db")) as desk:
        send(desk, payment(1), payment(2, **LONG), payment(3), payment(4, **DOLLARS), payment(5))
        desk.later(10_000)
        (paid,) = desk.got()
        assert found(paid) == (["E-1", "E-3", "E-5"], ["3", "9.30"])
        (back,) = (json.loads(content) for content in desk.got("rejects"))
        assert [(row["end_to_end_id"], row["reason_code"]) for row in back] == [("E-2", "BE20"), ("E-4", "AM03")]
        assert desk.cases() == ["VAL683", "VAL688"]
        told = {f"E-{n}": where(desk, tmp_path / "bus.db", f"E-{n}") for n in (1, 2, 4)}
        assert told == {
            "E-1": ("delivered", "", ""),
            "E-2": ("rejected", "VAL683", "write"),
            "E-4": ("rejected", "VAL688", "write"),
        }
        assert (desk.left(), desk.rows("SELECT DISTINCT state FROM gathering")) == ({}, [("swept",)])


def test_without_a_reject_file_each_is_a_dead_letter_that_can_be_tried_again(tmp_path: Path) -> None:
    with Desk(tmp_path, {"a": READ + GATHER + write()}) as desk:
        send(desk, payment(1), payment(2, **LONG), payment(3))
        assert [found(content)[0] for content in desk.got()] == [["E-1", "E-3"]]
        assert ([body["end_to_end_id"] for body in desk.dead()], desk.cases()) == (["E-2"], ["VAL683"])
        desk.write({"a": READ + GATHER + WRITE.replace(", profile: PROFILE", "")})
        desk.app.reload()
        desk.app.bus.control.retry(desk.case("VAL683"), "me", "the bank takes long names")
        desk.settle()
        assert found(desk.got()[1]) == (["E-2"], ["1", "2.10"])
        assert (desk.left(), desk.cases()) == ({}, [])


def test_where_none_is_right_each_has_its_own_reason(tmp_path: Path) -> None:
    with Desk(tmp_path, {"a": READ + GATHER + write() + BACK}) as desk:
        send(desk, payment(1, **LONG), payment(2, **DOLLARS))
        desk.later(10_000)
        assert desk.got() == []
        (back,) = (json.loads(content) for content in desk.got("rejects"))
        assert [row["reason_code"] for row in back] == ["BE20", "AM03"]
        assert desk.left() == {}


def test_a_rule_about_the_file_refuses_the_group(tmp_path: Path) -> None:
    with Desk(tmp_path, {"a": READ + GATHER + write("small") + BACK, "small.profile.yaml": SMALL}) as desk:
        send(desk, payment(1), payment(2), payment(3))
        desk.later(10_000)
        (back,) = (json.loads(content) for content in desk.got("rejects"))
        assert [row["reason_code"] for row in back] == ["AM18"] * 3
        assert (desk.got(), desk.cases()) == ([], ["VAL700"])


def test_what_is_refused_does_not_count_for_the_size_of_the_file(tmp_path: Path) -> None:
    with Desk(tmp_path, {"a": READ + GATHER + write("small") + BACK, "small.profile.yaml": SMALL}) as desk:
        send(desk, payment(1), payment(2, **LONG), payment(3))
        assert [found(content)[0] for content in desk.got()] == [["E-1", "E-3"]]


@pytest.mark.parametrize("profile", ["sepa-sct", "small"])
def test_what_came_in_no_batch_is_a_dead_letter(tmp_path: Path, profile: str) -> None:
    """There is no file that a line could go back with: it would wait for ever for the end of one."""
    alone = "from: {file: {path: in}}\nsteps:\n  - parse: json\n  - aggregate: {name: file, complete: {size: 3}}\n"
    with Desk(tmp_path, {"a": alone + write(profile) + BACK, "small.profile.yaml": SMALL}) as desk:
        for number in (1, 2, 3):
            body = payment(number, **(LONG if number == 2 and profile != "small" else {}))
            desk.send(json.dumps(body, default=float), name=f"f{number}")
        desk.settle()
        desk.later(60_000)
        assert desk.got("rejects") == []
        one_by_one = profile == "sepa-sct"
        assert [found(content)[0] for content in desk.got()] == ([["E-1", "E-3"]] if one_by_one else [])
        assert desk.cases() == ["VAL683" if one_by_one else "VAL700"]
        assert desk.left() == ({"dead": 1} if one_by_one else {"dead": 1, "member": 3})


DEBIT = {
    "type": "direct-debit",
    "creditor": {"name": "ACME", "account": {"iban": "NL91ABNA0417164300"}},
    "debtor": {"name": "Customer", "account": {"iban": "DE89370400440532013000"}},
    "amount": {"value": Decimal("1.00"), "currency": "EUR"},
    "collection_date": "2026-12-01",
    "sequence_type": "OOFF",
    "mandate": {"id": "M1", "signed": "2026-01-01"},
    "creditor_scheme_id": {"id": "NL79ZZZ999999990000"},
}
ACH = {
    "debtor": {"name": "ACME", "account": {"other": "1"}},
    "creditor": {
        "name": "Supplier",
        "account": {"other": "123456"},
        "agent": {"clearing_system": "USABA", "member_id": "021000021"},
    },
    "amount": {"value": Decimal("1.00"), "currency": "USD"},
}
NACHA = NachaSpec(destination="021000021", origin="1234567890", company_id="1234567890", odfi="02100002")


@pytest.mark.parametrize(
    ("spec", "body", "wrong"),
    [
        (Iso20022Spec(message="pain.001.001.09"), payment(1), {"priority": "ASAP"}),
        (Iso20022Spec(message="pain.001.001.09"), payment(1), {"purpose": "PURPOSE"}),
        (Iso20022Spec(message="pain.008.001.08"), DEBIT, {"collection_date": "2026-02-30"}),
        (Mt101Spec(), payment(1), {"purpose": "SALA"}),
        (NACHA, payment(1, **ACH), DOLLARS | {"execution_date": "2026-02-30"}),
    ],
    ids=["pain.001", "pain.001 by its schema", "pain.008", "mt101", "nacha"],
)
def test_a_writer_names_every_record_that_it_refuses(spec: Any, body: dict[str, Any], wrong: dict[str, Any]) -> None:
    form = spec.build(StepBench())
    context = WriteContext("0123456789abcdef0123456789abcdef", 1_795_800_000_000)
    bodies = [{**body, "end_to_end_id": f"E-{n}", **(wrong if n in (1, 3) else {})} for n in range(5)]
    with pytest.raises(Rejected) as refused:
        form.write(bodies, BytesIO(), context)
    assert [position for position, _ in refused.value.records] == [1, 3]
    assert all(f"{position + 1}" in error.message.split(":")[0] for position, error in refused.value.records)
    kept = BytesIO()
    form.write([body for n, body in enumerate(bodies) if n not in (1, 3)], kept, context)
    again = spec.build().read(BytesIO(kept.getvalue()))
    assert [part.body["end_to_end_id"] for part in again.parts("payments")] == ["E-0", "E-2", "E-4"]


def test_what_differs_between_payments_is_no_fault_of_one() -> None:
    """One message has one initiating party."""
    bodies = [payment(n, initiating_party={"name": f"House {n}"}) for n in range(2)]
    with pytest.raises(Rejected) as refused:
        Iso20022Spec(message="pain.001.001.09").build().write(bodies, BytesIO(), WriteContext("0" * 32, 0))
    assert (refused.value.code, refused.value.records) == ("VAL645", ())
