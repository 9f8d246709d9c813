"""Direct debits are written by a profile too; a profile that has no say in what is written is refused."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from iso_documents import CONTEXT, read

from bus import ConfigError, Rejected
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec
from transforms.profiles import Profiles, ProfileSpec


class Bench(StepBench):
    """A bench whose only profile is the one given."""

    rules: dict[str, Any] | None = None

    def profile(self, name: str) -> Any:
        """The own profile, which extends that of the scheme, or a shipped one."""
        if self.rules is None:
            return Profiles().get(name)
        spec = {"profile": "own", "extends": name, "editions": [{"source": "agreement", "rules": self.rules}]}
        return Profiles({"own": ProfileSpec.model_validate(spec)}).get("own")


def debit(**changes: Any) -> dict[str, Any]:
    return {
        "type": "direct-debit",
        "end_to_end_id": "E-1",
        "creditor": {"name": "ACME", "account": {"iban": "NL91ABNA0417164300"}},
        "debtor": {"name": "Kunde", "account": {"iban": "DE89370400440532013000"}},
        "amount": {"value": Decimal("1.10"), "currency": "EUR"},
        "collection_date": "2026-12-01",
        "sequence_type": "OOFF",
        "mandate": {"id": "M1", "signed": "2026-01-01"},
        "creditor_scheme_id": {"id": "DE98ZZZ09999999999"},
        **changes,
    }


def written(
    *bodies: dict[str, Any], profile: str = "sepa-sdd-core", rules: dict[str, Any] | None = None, **options: Any
) -> bytes:
    bench, target = Bench(), io.BytesIO()
    bench.rules = rules
    spec = Iso20022Spec.model_validate({"message": "pain.008.001.08", "profile": profile, **options})
    spec.build(bench).write(bodies, target, CONTEXT)
    return target.getvalue()


def refused(*bodies: dict[str, Any], **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written(*bodies, **options)
    return caught.value


def test_what_the_scheme_prescribes_is_written() -> None:
    content = written(debit(debtor={"name": "Jürgen Groß", "account": {"iban": "DE89370400440532013000"}}))
    for tag in ("<SvcLvl><Cd>SEPA</Cd>", "<LclInstrm><Cd>CORE</Cd>", "<ChrgBr>SLEV</ChrgBr>", "<Nm>Jurgen Gross</Nm>"):
        assert tag.encode() in content
    umlauts = written(debit(debtor={"name": "Jürgen", "account": {"iban": "DE89370400440532013000"}}),
                      rules={"characters": "latin-extended"})  # fmt: skip
    assert "<Nm>Jürgen</Nm>".encode() in umlauts


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"amount": {"value": Decimal("1.00"), "currency": "USD"}}, "VAL688", "AM03"),
        ({"creditor_scheme_id": {"id": "DE97ZZZ09999999999"}}, "VAL706", "BE17"),
        ({"mandate": {"id": "M1"}}, "VAL695", "CH21"),
        ({"local_instrument": "B2B"}, "VAL686", "FF05"),
    ],
)
def test_a_debit_that_breaks_a_rule_is_singled_out(changes: dict[str, Any], code: str, reason: str) -> None:
    error = refused(debit(), debit(**changes), debit())
    assert [(n, e.code, e.reason) for n, e in error.records] == [(1, code, reason)]


def test_blocks_and_files_are_as_big_as_the_bank_takes() -> None:
    many = [debit(end_to_end_id=f"E-{n}") for n in range(5)]
    content = written(*many, rules={"files": {"most_in_block": 2}})
    assert content.count(b"<PmtInf>") == 3
    assert [part.body["end_to_end_id"] for part in read(content)] == [f"E-{n}" for n in range(5)]
    grouped = written(*(debit(purpose=p) for p in ("SUPP", "SUPP", "RENT")), rules={"files": {"grouping": ["purpose"]}})
    assert grouped.count(b"<PmtInf>") == 2
    for rules, code in (({"most_payments": 4}, "VAL700"), ({"most_bytes": 1000}, "VAL701")):
        error = refused(*many, rules={"files": rules})
        assert (error.code, error.records) == (code, ())


@pytest.mark.parametrize(
    ("message", "profile", "more"),
    [
        ("pain.008.001.08", "sepa-sct", {}),
        ("pain.001.001.09", "sepa-sdd-core", {}),
        ("camt.053.001.08", "sepa-sct", {}),
        ("pain.001.001.09", "sepa-sct", {"as": "json"}),
        ("pain.001.001.09", "sepa-sct", {"from": "json"}),
        ("pain.001.001.09", "sepa-sct", {"from": "pain.001.001.03"}),
    ],
)
def test_a_profile_that_has_no_say_is_refused(message: str, profile: str, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        written(debit(), profile=profile, message=message, **more)
    assert caught.value.code == "VAL717"
