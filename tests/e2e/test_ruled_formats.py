"""MT101 and NACHA files by a profile: what breaks a rule is refused alone, by the same words as in a pain.001."""

from __future__ import annotations

import json
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from desk import Desk

from bus import ConfigError, Rejected, WriteContext
from bus.codes import codes
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec
from transforms.mt101 import Mt101Spec
from transforms.nacha import NachaSpec
from transforms.profiles import Profiles, ProfileSpec

AT = 1_795_800_000_000
"""27 November 2026, 18:40 UTC: a Friday; the day before was Thanksgiving."""
READ = """\
from: {file: {path: in}}
steps:
  - parse: json
  - split: {name: rows, each: rows, keys: {reference: end_to_end_id}}
  - aggregate: {name: file, complete: {batch: true}}
"""
BACK = "to: out\non_reject: {collect: batch, to: rejects, as: {json: {document: list}}}\n"
TO_NACHA = '{nacha: {destination: "021000021", origin: "1234567890", company_id: "1234567890"}}'
NACHA: dict[str, Any] = {"destination": "021000021", "origin": "1234567890", "company_id": "1234567890"}
ACCOUNT = {"iban": "DE89370400440532013000"}
BANK = {"clearing_system": "USABA", "member_id": "021000021"}


def order(number: int, **other: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "end_to_end_id": f"E-{number}",
        "debtor": {"name": "ACME", "account": {"iban": "NL91ABNA0417164300"}},
        "creditor": {"name": f"Supplier {number}", "account": ACCOUNT},
        "amount": {"value": Decimal(f"{number}.10"), "currency": "EUR"},
        "execution_date": "2026-12-01",
        **other,
    }


def ach(number: int, **other: Any) -> dict[str, Any]:
    return {
        **order(number),
        "debtor": {"name": "ACME", "account": {"other": "1"}},
        "creditor": {"name": f"Supplier {number}", "account": {"other": "123456"}, "agent": BANK},
        "amount": {"value": Decimal(f"{number}.10"), "currency": "USD"},
        **other,
    }


def own(model: str = "payment", **rules: Any) -> StepBench:
    """What a step is built with where one profile, ``own``, has these rules."""
    spec = {"profile": "own", "model": model, "editions": [{"source": "letter of the bank", "rules": rules}]}
    book = Profiles({"own": ProfileSpec.model_validate(spec)})

    class _Bench(StepBench):
        def profile(self, name: str) -> Any:
            return book.get(name)

    return _Bench()


def written(spec: Any, *bodies: Any, bench: StepBench | None = None) -> bytes:
    target = BytesIO()
    spec.build(bench or own()).write(bodies, target, WriteContext("0123456789abcdef" * 2, AT))
    return target.getvalue()


def refused(spec: Any, *bodies: Any, bench: StepBench | None = None) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(spec, *bodies, bench=bench)
    assert caught.value.code in codes()
    return caught.value


def mt101(profile: str = "own") -> Mt101Spec:
    return Mt101Spec(profile=profile)


def nacha(profile: str = "own", **more: Any) -> NachaSpec:
    return NachaSpec(profile=profile, **NACHA, **more)


def payments(spec: Any, data: bytes) -> list[dict[str, Any]]:
    """Read back; control totals of the file are proved by that."""
    found = list(spec.build(own()).read(BytesIO(data)).parts("payments"))
    assert [part.error for part in found] == [None] * len(found)
    return [part.body for part in found]


# ---------------------------------------------------------------- in a route


@pytest.mark.parametrize(
    ("to", "profile", "wrong", "reason", "code"),
    [
        ("mt101", "swift-mt101", {"category_purpose": "SALA"}, "FF06", "VAL686"),
        ("mt101", "swift-mt101", {"creditor": {"name": "N" * 67, "account": ACCOUNT}}, "BE20", "VAL683"),
        (TO_NACHA, "us-ach-file", {"local_instrument": "CTX"}, "FF05", "VAL686"),
        (TO_NACHA, "us-ach-file", {"end_to_end_id": "X" * 16}, "FF08", "VAL693"),
    ],
)  # fmt: skip
def test_one_that_breaks_the_profile_goes_back_and_the_others_are_paid(
    tmp_path: Path, to: str, profile: str, wrong: dict[str, Any], reason: str, code: str
) -> None:
    make = order if to == "mt101" else ach
    route = f"{READ}  - translate: {{name: write, to: {to}, profile: {profile}}}\n{BACK}"
    with Desk(tmp_path, {"a": route}) as desk:
        rows = [make(1), make(2, **wrong), make(3)]
        desk.send(json.dumps({"rows": rows}, default=float))
        desk.settle()
        desk.later(10_000)
        (paid,) = desk.got()
        (back,) = (json.loads(content) for content in desk.got("rejects"))
        assert ([row["reason_code"] for row in back], desk.cases()) == ([reason], [code])
        assert desk.left() == {}
    spec = Mt101Spec() if to == "mt101" else NachaSpec(**NACHA)
    again = payments(spec, paid)
    assert [body["end_to_end_id"] for body in again] == ["E-1", "E-3"]
    assert sum(body["amount"]["value"] for body in again) == Decimal("4.20")
    if to != "mt101":
        control = next(line for line in paid.decode().splitlines() if line.startswith("9"))
        assert (control[13:21], control[43:55]) == ("00000002", "000000000420")


# ---------------------------------------------------------------- rule by rule


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        ({"amounts": {"EUR": {"most": "2.00"}, "USD": {"most": "2.00"}}}, {}),
        ({"currencies": ["CHF"]}, {}),
        ({"required": ["purpose"]}, {}),
        ({"characters": "sepa-latin", "conversion": "refuse"}, {"remittance": {"unstructured": ["50 €"]}}),
        ({"remittance": {"texts": 0}}, {"remittance": {"unstructured": ["one"]}}),
        ({"execution": {"calendar": "ECB", "roll": "refuse"}}, {"execution_date": "2026-12-25"}),
        ({"execution": {"calendar": "ECB", "roll": "refuse"}}, {"execution_date": "2026-11-20"}),
        ({"charge_bearer": {"required": True}}, {}),
        ({"address": {"none": "reject"}}, {}),
    ],
)  # fmt: skip
def test_every_writer_finds_the_same(rules: dict[str, Any], wrong: dict[str, Any]) -> None:
    bench = own(**rules)
    told = [
        refused(spec, make(2, **wrong), bench=bench)
        for spec, make in (
            (Iso20022Spec(message="pain.001.001.09", profile="own"), order),
            (mt101(), order),
            (nacha(), ach),
        )
    ]
    iso, swift, us = ((e.code, e.reason, e.message.partition(": ")[2].replace("USD", "EUR"), e.hint) for e in told)
    assert iso == swift == us
    assert [f.place for e in told for f in e.findings] == [f.place for f in told[0].findings] * 3


def test_codes_are_filled_in_and_an_impossible_day_is_moved() -> None:
    execution = {"calendar": "ECB", "roll": "next"}
    bench = own(charge_bearer={"allowed": ["DEBT"], "default": "DEBT"}, execution=execution)
    (body,) = payments(mt101(), written(mt101(), order(1, execution_date="2026-12-25"), bench=bench))
    assert (body["charge_bearer"], body["execution_date"]) == ("DEBT", "2026-12-28")
    (body,) = payments(nacha(), written(nacha(), ach(1, execution_date="2026-11-26"), bench=own(
        execution=execution | {"calendar": "FED"})))  # fmt: skip
    assert body["execution_date"] == "2026-11-27", "Thanksgiving is over; the Fed is open on the day after"


def test_texts_come_into_the_characters_of_the_profile() -> None:
    told = {"creditor": {"name": "Müller & Söhne {A}", "account": {"other": "123456"}, "agent": BANK}}
    for characters, name in (("sepa-latin", "Muller + Sohne (A)"), ("ascii", "Muller & Sohne {A}")):
        data = written(nacha(), ach(1, **told), bench=own(characters=characters))
        assert payments(nacha(), data)[0]["creditor"]["name"] == name
    for characters in ("swift-x", "latin-extended", "ascii", "any"):
        data = written(mt101(), order(1, creditor={"name": "Müller & Söhne {A}", "account": ACCOUNT}), bench=own(
            characters=characters))  # fmt: skip
        assert payments(mt101(), data)[0]["creditor"]["name"] == "Muller + Sohne (A)", (
            "a message of Swift has no others"
        )


def test_a_profile_cuts_blocks_and_bounds_files() -> None:
    bench = own(files={"most_in_block": 2})
    assert written(mt101(), *(order(n) for n in range(1, 6)), bench=bench).count(b":20:") == 3
    batches = written(nacha(), *(ach(n) for n in range(1, 6)), bench=bench).decode().splitlines()
    assert [line[4:10] for line in batches if line[0] == "8"] == ["000002", "000002", "000001"]
    by_purpose = own(files={"grouping": ["purpose"]})
    rows = [ach(n, purpose=purpose) for n, purpose in enumerate(("SALA", "SALA", "SUPP"), 1)]
    assert sum(line[0] == "8" for line in written(nacha(), *rows, bench=by_purpose).decode().splitlines()) == 2
    for spec, make in ((mt101(), order), (nacha(), ach)):
        few, small = own(files={"most_payments": 2}), own(files={"most_bytes": "100"})
        too_many = refused(spec, *(make(n) for n in range(1, 4)), bench=few)
        assert (too_many.code, too_many.reason, too_many.records) == ("VAL700", "AM18", ())
        assert refused(spec, make(1), bench=small).code == "VAL701"
        assert written(spec, make(1), make(2), bench=few)


# ---------------------------------------------------------------- what a profile is about


def test_a_profile_about_something_else_is_told() -> None:
    with pytest.raises(ConfigError, match="VAL717"):
        mt101().build(own(model="direct-debit"))
    for spec in (mt101(), nacha()):
        with pytest.raises(ConfigError, match="VAL680"):
            spec.build(None)
    entry = {"batch": {}, "fields": {}, "type": "entry", "transaction_code": "22"}
    debit = {**ach(2), "type": "direct-debit", "collection_date": "2026-12-01"}
    for other in (debit, entry, 7):
        error = refused(nacha(), ach(1), other, ach(3))
        assert [(position, found.code) for position, found in error.records] == [(1, "VAL671")]


def test_what_the_canonical_check_finds_goes_before_the_profile() -> None:
    error = refused(nacha("us-ach-file"), {**ach(1), "amount": {"value": 1.5, "currency": "USD"}}, bench=StepBench())
    assert (error.code, error.reason, error.place) == ("VAL433", "AM12", "amount")
