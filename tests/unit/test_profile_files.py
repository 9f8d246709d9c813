"""Profiles beside the routes: loading, mistakes with their place, the version of a route, the commands, writing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_profiles import at, creditor, payment

from bus import Rejected, WriteContext
from bus.cli import main
from bus.config import landscape_from_sources, load_landscape, route_hash, sources
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec
from transforms.profiles import Profiles, ProfileSpec

ROUTE = """
route: out
from: {file: {path: in, match: "*.xml"}}
steps:
  - parse: pain.001
  - split: payments
  - validate: {model: payment, profile: house}
  - aggregate: {by: [execution_date], complete: {batch: true}}
  - translate: {to: pain.001.001.09, profile: sepa-sct-inst}
to: bank
"""
HOUSE = """
profile: house
extends: bank-north
editions:
  - rules: {lengths: {name: 35}}
"""
BUS = 'outlets: {bank: {endpoint: {file: {path: out, name: "{id}.xml"}}}}\n'


def folder(tmp_path: Path, house: str = HOUSE, route: str = ROUTE, **further: str) -> Path:
    files = {"bus.yaml": BUS, "out.route.yaml": route, "house.profile.yaml": house, **further}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def problems(where: Path) -> list[tuple[str, str, int, int, str]]:
    return [(p.code, p.path, p.line, p.column, p.hint) for p in load_landscape(where).problems if p.severity != "info"]


# ---------------------------------------------------------------- loading


def test_a_profile_beside_the_routes_is_read(tmp_path: Path) -> None:
    landscape = load_landscape(folder(tmp_path)).require()
    assert landscape.profiles["house"].spec.extends == "bank-north"


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "hint"),
    [
        (HOUSE.replace("lengths", "lenghts"), "CFG101", 5, 13, "did you mean `lengths`?"),
        (HOUSE.replace("name: 35", "name: many"), "CFG106", 5, 29, ""),
        (HOUSE.replace("name: 35", "name: 0"), "CFG107", 5, 29, ""),
        (HOUSE.replace("bank-north", "bank-nord"), "VAL680", 3, 10, "did you mean `bank-north`?"),
        (HOUSE.replace("extends: bank-north", "extends: house"), "VAL714", 3, 10, "cut it"),
        (HOUSE.replace("lengths: {name: 35}", "charge_bearer: {allowed: [SHAR]}"), "VAL713", 5, 3, "see it whole"),
        (HOUSE.replace("lengths: {name: 35}", "execution: {calendar: TARGTE}"), "VAL711", 5, 35, ""),
        (HOUSE.replace("lengths: {name: 35}", "required: [creditor.agnet.bic]"), "VAL715", 5, 24, "names are those"),
        (HOUSE.replace("lengths: {name: 35}", "files: {grouping: [puprose]}"), "VAL715", 5, 32, "names are those"),
    ],
)
def test_a_slip_is_told_at_its_place(tmp_path: Path, text: str, code: str, line: int, column: int, hint: str) -> None:
    found = [p for p in problems(folder(tmp_path, text)) if p[1] == "house.profile.yaml"]
    assert [p[:4] for p in found] == [(code, "house.profile.yaml", line, column)]
    assert hint in found[0][4]


def test_editions_out_of_order_are_told_in_the_file(tmp_path: Path) -> None:
    text = HOUSE + "  - {valid_from: 2026-05-01}\n  - {valid_from: 2026-01-01}\n"
    assert [p[0] for p in problems(folder(tmp_path, text))] == ["VAL710"]


def test_the_name_of_a_shipped_profile_is_taken(tmp_path: Path) -> None:
    where = folder(tmp_path, **{"mine.profile.yaml": "profile: sepa-sct\neditions: [{}]\n"})
    assert [p[:2] for p in problems(where)] == [("VAL716", "mine.profile.yaml")]


def test_a_route_that_names_no_known_profile_is_told(tmp_path: Path) -> None:
    where = folder(tmp_path, route=ROUTE.replace("profile: house", "profile: huose"))
    assert problems(where) == [("CFG163", "out.route.yaml", 7, 41, "did you mean `house`?")]
    (tmp_path / "out.route.yaml").write_text(ROUTE.replace("sepa-sct-inst", "sepa-sct-inzt"))
    assert [(p[0], p[4]) for p in problems(where)] == [("CFG163", "did you mean `sepa-sct-inst`?")]


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("{to: pain.001.001.09, profile: sepa-sdd-core}", ("VAL717", "here goes one about a payment")),
        ("{to: pain.008.001.08, profile: sepa-sct}", ("VAL717", "here goes one about a direct-debit")),
        ("{to: pain.002.001.10, profile: sepa-sct}", ("VAL717", "no profile has rules for it")),
        ("{to: pain.001.001.09, from: json, profile: sepa-sct}", ("VAL717", "no profile has rules for it")),
        ("{to: {mt101: {}}, profile: sepa-sdd-core}", ("VAL717", "here goes one about a payment")),
        ("{to: {mt101: {profile: sepa-sdd-core}}}", ("VAL717", "here goes one about a payment")),
        ("{to: {mt101: {profile: swift-mt10}}}", ("CFG163", "did you mean `swift-mt101`?")),
        ("{to: {mt101: {}}, profile: swift-mt10}", ("CFG163", "did you mean `swift-mt101`?")),
        ("{to: {mt101: {}}, profile: swift-mt101}", None),
        ("{to: nacha, profile: us-ach-file}", None),
        ("{to: nacha, profile: sepa-sdd-core}", None),
        ("{to: pain.008.001.08, profile: sepa-sdd-core}", None),
    ],
)
def test_a_profile_that_cannot_rule_what_is_written_is_told(
    tmp_path: Path, step: str, found: tuple[str, str] | None
) -> None:
    steps = f"steps:\n  - parse: json\n  - translate: {step}\n"
    route = f"route: out\nowner: x\nfrom: {{file: {{path: in}}}}\n{steps}to: bank\n"
    told = problems(folder(tmp_path, route=route))
    assert [(code, line, hint) for code, _, line, _, hint in told] == ([(found[0], 6, found[1])] if found else [])


def test_a_broken_profile_does_not_make_its_name_unknown(tmp_path: Path) -> None:
    assert {p[1] for p in problems(folder(tmp_path, HOUSE.replace("rules", "ruels")))} == {"house.profile.yaml"}


# ---------------------------------------------------------------- versions


def version(where: Path) -> str:
    landscape = load_landscape(where).require()
    return route_hash(landscape, landscape.routes["out"])


def test_a_changed_profile_makes_a_new_version_a_comment_does_not(tmp_path: Path) -> None:
    first = version(folder(tmp_path))
    assert version(folder(tmp_path, f"# a comment\n{HOUSE}")) == first
    assert version(folder(tmp_path, HOUSE.replace("35", "36"))) != first
    other = folder(tmp_path, **{"other.profile.yaml": "profile: other\neditions: [{}]\n"})
    assert version(other) == first, "a profile that the route does not use"


def test_a_change_in_what_a_profile_extends_makes_a_new_version(tmp_path: Path) -> None:
    base = "profile: base\neditions: [{rules: {lengths: {town: 35}}}]\n"
    house = HOUSE.replace("bank-north", "base")
    first = version(folder(tmp_path, house, **{"base.profile.yaml": base}))
    assert version(folder(tmp_path, house, **{"base.profile.yaml": f"{base}# x\n"})) == first
    assert version(folder(tmp_path, house, **{"base.profile.yaml": base.replace("35", "30")})) != first


def test_an_old_version_keeps_the_rules_that_it_began_with_shipped_ones_too(tmp_path: Path) -> None:
    landscape = load_landscape(folder(tmp_path)).require()
    kept = sources(landscape, landscape.routes["out"])
    shipped = {f"shipped/{name}.profile.yaml" for name in ("bank-north", "sepa", "sepa-sct", "sepa-sct-inst")}
    assert set(kept) == {"out.route.yaml", "house.profile.yaml", *shipped}
    again = landscape_from_sources(kept)
    assert route_hash(again, again.routes["out"]) == route_hash(landscape, landscape.routes["out"])
    kept["shipped/sepa.profile.yaml"] = kept["shipped/sepa.profile.yaml"].replace("name: 70", "name: 20")
    older = landscape_from_sources(kept)
    own = {name: loaded.spec for name, loaded in older.profiles.items()}
    found = Profiles(own).get("sepa-sct-inst").check(payment(**creditor(name="n" * 21)))
    assert [f.code for f in found] == ["VAL683"]


# ---------------------------------------------------------------- steps


def test_validate_refuses_what_the_profile_refuses_and_lets_pass_what_it_warns_of() -> None:
    bench = StepBench(now=at("2026-11-24T08:00"))
    step = bench.build({"validate": {"profile": "sepa-sct"}})
    assert bench.run(step, payment())[0].body == payment()
    warned = payment(**creditor(address={"lines": ["Markt 1", "2611 Delft"]}))
    assert len(bench.run(step, warned)) == 1
    with pytest.raises(Rejected) as refused:
        bench.run(step, payment(**creditor(name="n" * 71)))
    assert (refused.value.code, refused.value.reason) == ("VAL683", "BE20")
    assert [f.place for f in refused.value.findings] == ["creditor.name"]
    with pytest.raises(Rejected) as unfit:
        bench.run(step, {"type": "payment"})
    assert unfit.value.code.startswith("VAL43")


def test_validate_opens_one_case_for_each_kind_of_warning() -> None:
    bench = StepBench(now=at("2026-11-24T08:00"))
    step = bench.build({"validate": {"profile": "sepa-sct", "warnings": "case"}})
    assert len(bench.run(step, payment())) == 1
    warned = payment(**creditor(address={"lines": ["Markt 1", "2611 Delft"]}))
    (message, case), (_, again) = bench.run(step, warned), bench.run(step, warned)
    assert (message.body, case.code, case.fingerprint) == (warned, "VAL684", again.fingerprint)


# ---------------------------------------------------------------- writing

CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", at("2026-11-27T14:31", "Europe/Berlin"))


def written(payments: list[dict[str, Any]], **rules: Any) -> str:
    spec = ProfileSpec.model_validate({"profile": "p", "editions": [{"rules": rules}]})
    bench = StepBench()
    bench.profiles["p"] = Profiles({"p": spec}).get("p")
    target = io.BytesIO()
    Iso20022Spec(message="pain.001.001.09", profile="p").build(bench).write(payments, target, CONTEXT)
    return target.getvalue().decode()


def test_a_rolled_day_is_written_and_groups_its_payments() -> None:
    execution = {"calendar": "ECB", "roll": "next", "cut_offs": [{"at": "14:30", "zone": "Europe/Berlin"}]}
    days = ["2026-11-27", "2026-11-28", "2026-11-30", "2026-12-01"]
    text = written([payment(execution_date=day) for day in days], execution=execution)
    assert text.count("<ReqdExctnDt><Dt>2026-11-30</Dt></ReqdExctnDt>") == 1
    assert text.count("<PmtInf>") == 2
    assert "<NbOfTxs>3</NbOfTxs>" in text


def test_blocks_and_files_have_limits() -> None:
    payments = [payment(end_to_end_id=f"E{n}") for n in range(5)]
    assert written(payments, files={"most_in_block": 2}).count("<PmtInf>") == 3
    assert written(payments, files={"most_payments": 5}).count("<PmtInf>") == 1
    for limit, code in (({"most_payments": 4}, "VAL700"), ({"most_bytes": "1kB"}, "VAL701")):
        with pytest.raises(Rejected) as refused:
            written(payments, files=limit)
        assert refused.value.code == code


def test_a_field_may_keep_payments_in_blocks_of_their_own() -> None:
    payments = [payment(purpose="SUPP"), payment(purpose="SUPP"), payment(purpose="SALA")]
    assert written(payments).count("<PmtInf>") == 1
    assert written(payments, files={"grouping": ["purpose"]}).count("<PmtInf>") == 2


def test_texts_are_written_in_the_character_set_of_the_profile() -> None:
    body = [payment(**creditor(name="Müller & Söhne"))]
    assert "<Nm>Muller + Sohne</Nm>" in written(body)
    assert "<Nm>Müller &amp; Söhne</Nm>" in written(body, characters="latin-extended")
    with pytest.raises(Rejected) as refused:
        written(body, characters="swift-x", conversion="refuse")
    assert (refused.value.code, refused.value.reason) == ("VAL682", "RR10")


# ---------------------------------------------------------------- commands


def run(*words: str) -> Any:
    return CliRunner().invoke(main, list(words), standalone_mode=True)


def test_the_list_has_shipped_and_own_profiles(tmp_path: Path) -> None:
    listed = json.loads(run("-C", str(folder(tmp_path)), "profile", "list", "--json").stdout)
    rows = {row["profile"]: row for row in listed}
    assert rows["house"]["from"] == "own"
    assert rows["sepa-sct"] | {"summary": ""} == {
        "profile": "sepa-sct",
        "from": "shipped",
        "extends": "sepa",
        "editions": ["2008-01-28", "2023-11-19", "2025-10-05"],
        "summary": "",
    }
    assert "house\town\tbank-north\t4" in run("-C", str(tmp_path), "profile", "list").stdout


def test_show_tells_what_is_demanded_on_a_day(tmp_path: Path) -> None:
    where = str(folder(tmp_path))
    shown = run("-C", where, "profile", "show", "house", "--date", "2026-11-14").stdout
    assert "edition since 2025-10-05, until 2026-11-15" in shown
    assert "lengths.name\tat most 35 characters\terror\tBE20" in shown
    assert "address.unstructured\tother lines, at most 2\twarning\tBE04" in shown
    later = run("-C", where, "profile", "show", "house", "--date", "2026-11-15").stdout
    assert "address.unstructured\tother lines, at most 2\terror\tBE04" in later
    told = json.loads(run("profile", "show", "sepa-sct", "--date", "2026-11-24", "--json").stdout)
    assert told["valid_from"] == "2025-10-05"
    assert {"rule": "currencies", "says": "EUR", "breach": "error", "reason": "AM03"} in told["demands"]


def test_show_of_an_unknown_profile_or_day() -> None:
    unknown = run("profile", "show", "sepa-stc")
    assert unknown.exit_code != 0
    assert "did you mean `sepa-sct`?" in unknown.stderr
    assert run("profile", "show", "sepa-sct", "--date", "tomorrow").exit_code == 2
    assert "no edition for 2007-01-01" in run("profile", "show", "sepa-sct", "--date", "2007-01-01").stderr


def test_inspect_tells_what_a_profile_finds_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pain001.xml"
    file.write_text(written([payment(), payment(**creditor(name="Long Name Limited"))]), "utf-8")
    clean = json.loads(run("inspect", "--json", "--profile", "sepa-sct", str(file)).stdout)
    assert clean["findings"] == []
    folder(tmp_path, HOUSE.replace("35", "10"))
    found = run("-C", str(tmp_path), "inspect", "--json", "--profile", "house", str(file))
    assert found.exit_code == 1
    (finding,) = json.loads(found.stdout)["findings"]
    assert (finding["code"], finding["severity"]) == ("VAL683", "error")
    assert finding["place"].endswith(": creditor.name")
    assert finding["message"].endswith("(BE20)")


def test_inspect_says_when_a_file_has_nothing_for_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a;b\n1;2\n", "utf-8")
    found = json.loads(run("inspect", "--json", "--profile", "sepa-sct", str(file)).stdout)
    assert [f["code"] for f in found["findings"]] == ["VAL702"]
    assert run("inspect", "--profile", "nobody", str(file)).exit_code != 0
