"""Reading configuration: what is refused, where problems are placed, what a route's version depends on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from landscapes import BUS, CONNECTIONS, ROUTE, FakeCatalogue, write

from bus.config import Landscape, Problem, landscape_from_sources, load_landscape, route_hash, sources
from bus.config.yamltext import MOST_BYTES, decode, parse
from bus.errors import ConfigError
from bus.settings import load_settings

CATALOGUE = FakeCatalogue()


def load(folder: Path, files: dict[str, str | bytes] | None = None) -> Landscape:
    return load_landscape(write(folder, files), CATALOGUE)


def with_route(folder: Path, text: str) -> list[Problem]:
    """The problems of one route file called `x.route.yaml`, in a landscape that is sound otherwise."""
    found = load(folder, {"x.route.yaml": text}).problems
    return [problem for problem in found if problem.path == "x.route.yaml"]


def only(problems: list[Problem], code: str) -> Problem:
    found = [problem for problem in problems if problem.code == code]
    assert len(found) == 1, problems
    return found[0]


# ---------------------------------------------------------------- YAML


def data(text: str) -> Any:
    root, problems = parse(text, "x.yaml")
    assert problems == []
    assert root is not None
    return root.data()


def test_scalars_stay_what_was_written() -> None:
    text = "country: NO\naccount: 0012345\ntime: 22:22\nversion: 1.10\nempty:\ntilde: ~\nquoted: ' yes '\n"
    assert data(text + "date: 2026-11-24\n") == {
        "country": "NO",
        "account": "0012345",
        "time": "22:22",
        "version": "1.10",
        "empty": "",
        "tilde": "~",
        "quoted": " yes ",
        "date": "2026-11-24",
    }


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "CFG184", 3, 1),
        ("a: {b: 1, b: 2}\n", "CFG184", 1, 11),
        ("a: &x 1\n", "CFG185", 1, 4),
        ("a: 1\nb: *x\n", "CFG185", 2, 4),
        ("base: &b {c: 1}\n", "CFG185", 1, 7),
        ("a: !!python/object:os.system x\n", "CFG186", 1, 4),
        ("a: !is_sepa(x)\n", "CFG186", 1, 4),
        ("a: !!map {b: c}\n", "CFG186", 1, 4),
        ("a: !e!x y\n", "CFG186", 1, 4),
        ("a: 1\n---\nb: 2\n", "CFG187", 2, 1),
        ("? [a, b]\n: 1\n", "CFG188", 1, 3),
        ("", "CFG189", 1, 1),
        ("# only a comment\n", "CFG189", 1, 1),
        ("a: [1, 2\n", "CFG100", 2, 1),
        ("a: b: c\n", "CFG100", 1, 5),
        ("\ta: 1\n", "CFG100", 1, 1),
        ("a: @x\n", "CFG100", 1, 4),
        ("a: 'x\n", "CFG100", 2, 1),
    ],
)
def test_what_makes_yaml_surprising_is_refused_at_its_place(text: str, code: str, line: int, column: int) -> None:
    _, problems = parse(text, "x.yaml")
    assert [(problem.code, problem.line, problem.column) for problem in problems] == [(code, line, column)]
    assert problems[0].message


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "{a: " * 20_000, "- " * 20_000, "? " * 20_000, "a:\n" + " " * 5 + "[" * 500_000]
)
def test_deep_nesting_ends_at_the_64th_level(text: str) -> None:
    _, problems = parse(text, "x.yaml")
    assert [problem.code for problem in problems] == ["CFG183"]


def test_depth_up_to_the_limit_is_read() -> None:
    assert data("a: " + "[" * 63 + "]" * 63)["a"]


@pytest.mark.parametrize(
    ("raw", "code", "line", "column"),
    [
        (b"a: 1\n" * (MOST_BYTES // 5 + 1), "CFG180", 0, 0),
        ("a: ä\n".encode("utf-16"), "CFG181", 1, 1),
        ("a: ok\nb: ä\n".encode("latin-1"), "CFG181", 2, 4),
        (b"a: 1\nb: x\0y\n", "CFG181", 2, 5),
        ("a: 1\nb: 'x\u202ey'\n".encode(), "CFG181", 2, 6),
        (b"a: \x1b[31m\n", "CFG181", 1, 4),
    ],
)
def test_bytes_that_are_no_text_are_refused(raw: bytes, code: str, line: int, column: int) -> None:
    _, problem = decode(raw, "x.yaml")
    assert problem is not None
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode(b"\xef\xbb\xbfa: 1\n", "x.yaml") == ("a: 1\n", None)


def test_a_file_of_2_mb_and_one_that_is_no_file_are_told_and_the_rest_is_loaded(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.route.yaml")
    landscape = load(tmp_path, {"big.route.yaml": b"#" * 2_000_000})
    assert [(p.code, p.path) for p in landscape.problems] == [
        ("CFG180", "big.route.yaml"),
        ("CFG182", "pipe.route.yaml"),
    ]
    assert list(landscape.routes) == ["payments-out"]


def test_a_flood_of_problems_is_cut(tmp_path: Path) -> None:
    problems = with_route(tmp_path, "".join(f"key{n}: x\n" for n in range(20_000)))
    assert 100 <= len(problems) <= 110


# ---------------------------------------------------------------- places and words


def test_a_sound_landscape_has_no_problems(tmp_path: Path) -> None:
    landscape = load(tmp_path)
    assert landscape.problems == ()
    assert list(landscape.routes) == ["payments-out"]
    assert list(landscape.spec.outlets) == ["bank-north", "treasury"]
    assert list(landscape.connections) == ["bank", "broker"]
    assert landscape.require() is landscape


BAD = """\
route: x
from:
  sftp: {connection: bank, pth: /out, mode: seven, after: 3 weeks}
duplicates: maybe
batch: 2000
steps:
  - parse: {cvs: {}}
  - split:
    each: rows
  - parse: {csv: {delimter: ";", header: perhaps}}
  - splt: rows
  - route: {when: a}
to: [bank-north]
on_reject: {collect: batch, to: treasury}
"""


@pytest.mark.parametrize(
    ("code", "line", "column", "message", "hint"),
    [
        ("CFG101", 3, 28, "unknown key `pth` in `sftp`", "did you mean `path`? `path` is required here"),
        ("CFG106", 3, 45, "`mode` must be a whole number", ""),
        ("CFG111", 3, 59, "not a duration", ""),
        ("CFG107", 4, 13, "`duplicates` must be one of: `hold` or `accept`", ""),
        ("CFG107", 5, 8, "`batch` must be at most 1000", ""),
        ("CFG102", 7, 13, "unknown format `cvs`", "did you mean `csv`?"),
        ("CFG104", 9, 5, "exactly one key", "indent `each` deeper than `split`"),
        ("CFG101", 10, 19, "unknown key `delimter` in `csv`", "did you mean `delimiter`?"),
        ("CFG106", 10, 42, "`header` must be `true` or `false`", ""),
        ("CFG102", 11, 5, "unknown step `splt`", "did you mean `split`?"),
        ("CFG105", 12, 5, "`branches` is missing in `route`", "write: branches:"),
        ("CFG106", 13, 5, "`to` must be text", ""),
        ("CFG105", 14, 1, "`as` is missing in `on_reject`", "Format of the reject file"),
    ],
)
def test_each_slip_is_told_at_its_place_in_plain_words(
    tmp_path: Path, code: str, line: int, column: int, message: str, hint: str
) -> None:
    found = [p for p in with_route(tmp_path, BAD) if (p.line, p.column, p.code) == (line, column, code)]
    assert len(found) == 1, with_route(tmp_path, BAD)
    assert message in found[0].message
    assert hint in found[0].hint


def test_a_misspelt_required_key_is_told_once(tmp_path: Path) -> None:
    problems = with_route(tmp_path, BAD)
    assert not [problem for problem in problems if problem.code == "CFG105" and "`path`" in problem.message]


def test_only_keys_and_plug_ins_have_a_repair_and_only_without_doubt(tmp_path: Path) -> None:
    fixes = {p.fix.text for p in with_route(tmp_path, BAD.replace("to: [bank-north]", "to: bank-nroth")) if p.fix}
    assert fixes == {"path", "csv", "delimiter", "split"}


def test_the_name_of_an_attribute_is_no_key(tmp_path: Path) -> None:
    found = with_route(tmp_path, "route: x\nfrom_: {channel: q}\nto: none\n")
    assert [(p.code, p.hint) for p in found] == [("CFG101", "did you mean `from`? `from` is required here")]


def test_messages_never_show_values_of_unknown_keys_or_secrets(tmp_path: Path) -> None:
    text = CONNECTIONS.replace('"${env:BANK_PASSWORD}"', "hunter2")
    landscape = load(
        tmp_path, {"connections.yaml": text, "x.route.yaml": ROUTE.replace("path:", "pasword: hunter2, path:")}
    )
    codes = [problem.code for problem in landscape.problems]
    assert "CFG141" in codes
    assert not [p for p in landscape.problems if "hunter2" in repr(p)]


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("money: amount.value >", "CFG121", 4, 22),
        ("money: 'nope(x)'", "CFG122", 4, 9),
        ('money: "a && nope(x)"', "CFG122", 4, 14),
        ("money: >\n  a == b ||\n  nope(1)", "CFG122", 4, 8),
        ("keys: {invoice: upper(1)}", "CFG124", 4, 23),
        ("money: " + "(" * 3000, "CFG126", 4, 58),
        ("money: " + "a." * 4000 + "a", "CFG126", 4, 4103),
    ],
)
def test_an_expression_is_told_at_the_column_inside_it(
    tmp_path: Path, text: str, code: str, line: int, column: int
) -> None:
    found = with_route(tmp_path, f"route: x\nfrom: {{channel: q}}\nsteps: []\n{text}\nto: none\n")
    problem = next(p for p in found if p.severity == "error")
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_an_account_keeps_its_zeros_and_norway_its_code(tmp_path: Path) -> None:
    route = ROUTE.replace("route: payments-out", "route: x").replace('delimiter: ";"', "delimiter: 0012345")
    landscape = load(
        tmp_path,
        {
            "x.route.yaml": route.replace("to: bank-north", "to: NO"),
            "y.route.yaml": "route: y\nfrom: {channel: NO}\nto: none\n",
        },
    )
    assert [p.message for p in landscape.problems if p.severity == "error"] == []
    assert landscape.routes["x"].spec.to == "NO"
    assert landscape.routes["x"].spec.steps[0].format.delimiter == "0012345"


# ---------------------------------------------------------------- between files


def problems_of(
    folder: Path, steps: str, *, origin: str = "{channel: q}", end: str = "to: bank-north"
) -> list[Problem]:
    feeder = "route: feeder\nfrom: {sftp: {path: /}}\nmoney: amount\nto: q\n"
    text = f"route: x\nfrom: {origin}\nmoney: amount\n{steps}\n{end}\n"
    return list(load(folder, {"x.route.yaml": text, "feeder.route.yaml": feeder}).problems)


def test_ways_to_nowhere(tmp_path: Path) -> None:
    steps = "steps:\n  - tap: bank-nroth\n  - route:\n      - {when: a, to: treasure}\n      - otherwise: elsewhere\n"
    found = problems_of(tmp_path, steps, end="")
    assert [(p.code, p.line, p.column) for p in found] == [("CFG161", 5, 10), ("CFG161", 7, 23), ("CFG161", 8, 20)]
    assert found[0].hint == "did you mean `bank-north`?"
    assert found[0].fix is None, "where money goes is never repaired by the program"
    assert "known: " in found[2].hint


def test_on_reject_must_lead_somewhere(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "on_reject: {collect: batch, to: nowhere, as: csv}")
    assert [(p.code, p.line, p.column) for p in found] == [("CFG161", 4, 33)]


def test_none_is_a_way_out(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "steps: [{route: [{when: a, to: none}, {otherwise: none}]}]", end="") == []


@pytest.mark.parametrize(
    ("steps", "end", "code"),
    [
        ("steps: []", "", "CFG162"),
        ("steps: [{route: [{when: a, to: none}, {when: b}]}]", "", "CFG162"),
        ("steps: [{route: [{when: a, to: none}, {otherwise: none}]}]", "to: bank-north", "CFG157"),
        ("steps: [{route: [{when: a, to: none}]}, {tap: treasury}]", "", "CFG157"),
        ("steps: [{tap: treasury, name: a}]", "", "CFG104"),
        (
            "steps: [{delay: {span: 1s, name: a}}, {route: [{when: a, steps: [{tap: {to: q, name: a}}], to: none}]}]",
            "",
            "CFG165",
        ),
        ("steps: [{aggregate: {by: [a], complete: {batch: true}}}]", "to: none", "CFG166"),
        ("steps: [{parse: csv}]", "to: none", "CFG175"),
        ("steps: [{translate: {mapping: nope}}]", "to: none", "CFG163"),
        ("steps: [{enrich: {table: nope}}]", "to: none", "CFG163"),
        ("steps: [{split: {each: a, keys: {}}}]", "to: q", "CFG156"),
        ("keys: {k: \"lookup('nope', a)\"}", "to: none", "CFG125"),
        ("expect: [{answer_within: 4h}]", "to: none", "CFG200"),
        ('expect: [{file_by: "18:00"}]', "to: none", "CFG200"),
    ],
)
def test_what_a_route_may_not_do(tmp_path: Path, steps: str, end: str, code: str) -> None:
    assert [problem.code for problem in problems_of(tmp_path, steps, end=end) if problem.path == "x.route.yaml"] == [
        code
    ]


def test_a_circle_that_waits_is_none(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "steps: [{delay: 5m}]", end="to: q") == []


def test_a_circle_over_two_routes_is_told_once(tmp_path: Path) -> None:
    one = "route: one\nfrom: {channel: a}\nto: b\n"
    two = "route: two\nfrom: {channel: b}\nto: a\n"
    found = load(tmp_path, {"one.route.yaml": one, "two.route.yaml": two}).problems
    assert [(p.code, p.severity, p.message) for p in found] == [
        ("CFG156", "warning", "messages can go round for ever: one → two → one")
    ]


def test_names_that_are_taken(tmp_path: Path) -> None:
    bus = "outlets:\n  none: {endpoint: {sftp: {path: /}}}\n  q: {endpoint: {sftp: {path: /}}}\n"
    again = ROUTE.replace("to: bank-north", "to: q")
    reader = "route: {}\nfrom: {{channel: q}}\nto: none\n"
    files = {"bus.yaml": bus, "out/payments.route.yaml": again, "out/z.route.yaml": again}
    files |= {"a.route.yaml": reader.format("a"), "b.route.yaml": reader.format("b")}
    found = load(tmp_path, files).problems
    assert sorted((p.code, p.path, p.line) for p in found) == [
        ("CFG153", "out/z.route.yaml", 2),
        ("CFG154", "b.route.yaml", 2),
        ("CFG158", "bus.yaml", 2),
        ("CFG158", "bus.yaml", 3),
    ]


def test_a_channel_that_nobody_feeds(tmp_path: Path) -> None:
    found = with_route(tmp_path, "route: x\nfrom: {channel: lonely}\nto: none\n")
    assert [(p.code, p.severity, p.line, p.column) for p in found] == [("CFG155", "warning", 2, 17)]


def test_connections_must_exist_and_fit(tmp_path: Path) -> None:
    bus = BUS.replace("{connection: bank, path: /in}", "{connection: bnk, path: /in}")
    route = ROUTE.replace("connection: bank", "connection: broker")
    found = load(tmp_path, {"bus.yaml": bus, "out/payments.route.yaml": route}).problems
    assert [(p.code, p.path, p.line) for p in found] == [
        ("CFG164", "bus.yaml", 3),
        ("CFG164", "out/payments.route.yaml", 4),
    ]
    assert found[0].hint == "did you mean `bank`?"
    assert "a connection of `amqp`, not of `sftp`" in found[1].message


def test_a_broken_file_does_not_make_its_names_unknown(tmp_path: Path) -> None:
    files = {
        "bus.yaml": BUS + "nme: x\n",
        "connections.yaml": CONNECTIONS + "  w: {sftp: {hst: a}}\n",
        "q.route.yaml": "route: q\nfrom: {channel: q}\nbatch: x\n",
        "out/payments.route.yaml": ROUTE.replace("to: bank-north", "to: q"),
    }
    assert sorted(problem.code for problem in load(tmp_path, files).problems) == ["CFG101", "CFG101", "CFG106"]


def test_only_counts_are_conserved_where_nothing_has_an_amount(tmp_path: Path) -> None:
    found = load(tmp_path, {"out/payments.route.yaml": ROUTE.replace("money: amount\n", "")}).problems
    assert [(p.code, p.severity) for p in found] == [("CFG178", "info")]


@pytest.mark.parametrize(
    ("when", "column"),
    [("sum > 100", 15), ("a == 'x' && 100 <= total", 34), ("creditor.account.iban == 5", 15), ("bic == 5 || bic", 15)],
)
def test_text_is_not_compared_with_a_number(tmp_path: Path, when: str, column: int) -> None:
    steps = f"steps:\n  - parse: csv\n  - split: rows\n  - route:\n      - when: {when}\n        to: none\n"
    found = problems_of(tmp_path, steps, end="")
    assert [(p.code, p.line, p.column) for p in found] == [("CFG177", 8, column)]
    assert "to_number(" in found[0].hint


def test_behind_a_mapping_only_names_that_are_always_text_are_told(tmp_path: Path) -> None:
    router = "{route: [{when: sum > 100 && iban > 1, to: none}]}"
    steps = f"steps: [{{parse: csv}}, {{split: rows}}, {{translate: {{to: csv}}}}, {router}]"
    found = [p for p in problems_of(tmp_path, steps) if p.code == "CFG177"]
    assert [p.message for p in found] == ["`iban` is text, here it is compared with a number"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("connections.yaml", "connections:\n  broker: {amqp: {url: 'amqp://me:hunter2@host/'}}\n"),
        ("connections.yaml", "connections:\n  broker: {amqp: {url: 'amqp://me:hun/ter@2@host/'}}\n"),
        ("bus.yaml", BUS + "ledger: 'postgresql://db/l?sslmode=require&password=hunter2'\n"),
        ("x.mapping.txt", ""),
        ("bus.yaml", BUS.replace("name: test", "name: AKIAIOSFODNN7EXAMPLE")),
        ("bus.yaml", BUS + "api_key: 5f2b\n"),
    ],
)
def test_secrets_in_clear_are_found(tmp_path: Path, path: str, text: str) -> None:
    codes = [problem.code for problem in load(tmp_path, {path: text}).problems]
    assert ("CFG143" in codes) == (path.endswith(".yaml"))


def test_references_to_secrets_are_none_and_ports_neither(tmp_path: Path) -> None:
    assert "CFG143" not in [problem.code for problem in load(tmp_path).problems]
    text = (
        BUS
        + "# https://wiki:8080/p?to=a@b.example\nledger: 'postgresql://bus:${env:X}@db:5432/l?application_name=a@b'\n"
    )
    assert "CFG143" not in [problem.code for problem in load(tmp_path, {"bus.yaml": text}).problems]


# ---------------------------------------------------------------- the folder


def test_no_bus_file_is_no_landscape(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_landscape(tmp_path, CATALOGUE)
    assert caught.value.code == "CFG160"


def test_an_empty_bus_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").write_text("# nothing yet\n")
    landscape = load_landscape(tmp_path, CATALOGUE)
    assert landscape.problems == ()
    assert landscape.routes == {}


def test_hidden_folders_and_other_endings(tmp_path: Path) -> None:
    files = {".bus/old.route.yaml": "nonsense", "a.route.yml": ROUTE, "a/b/c.test.yaml": "anything", "notes.yaml": "[:"}
    landscape = load(tmp_path, files)
    assert [(p.code, p.path) for p in landscape.problems] == [("CFG191", "a.route.yml")]
    assert landscape.tests == ("a/b/c.test.yaml",)


def test_require_raises_the_first_error_with_its_place(tmp_path: Path) -> None:
    landscape = load(tmp_path, {"x.route.yaml": BAD})
    with pytest.raises(ConfigError) as caught:
        landscape.require()
    assert (caught.value.path, caught.value.line, caught.value.column) == ("x.route.yaml", 3, 28)
    assert "more errors: bus check" in caught.value.hint


# ---------------------------------------------------------------- versions


def hash_of(folder: Path, route: str) -> str:
    landscape = load(folder, {"out/payments.route.yaml": route})
    return route_hash(landscape, landscape.routes["payments-out"])


def test_the_version_is_made_of_what_a_route_does_and_not_of_how_it_is_written(tmp_path: Path) -> None:
    first = hash_of(tmp_path, ROUTE)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    reordered = ROUTE.replace("money: amount\n", "").replace(
        "to: bank-north\n", "to: 'bank-north'  # north\nmoney: amount\n"
    )
    assert hash_of(tmp_path, reordered) == first
    assert hash_of(tmp_path, ROUTE.replace('csv: {delimiter: ";"}', "csv: {}")) == first, "a default written out"
    assert hash_of(tmp_path, ROUTE.replace('";"', '","')) != first
    assert hash_of(tmp_path, ROUTE.replace('parse: {csv: {delimiter: ";"}}', "parse: {pain: {}}")) != first
    assert hash_of(tmp_path, ROUTE.replace("- split: {each: rows}", "- translate: {mapping: rows}")) != first


def test_steps_with_the_same_options_are_told_apart(tmp_path: Path) -> None:
    tap, delay = (ROUTE.replace("- split: {each: rows}", step) for step in ("- tap: {to: x}", "- route: []"))
    assert hash_of(tmp_path, tap) != hash_of(tmp_path, delay)


def test_connections_are_no_part_of_the_version(tmp_path: Path) -> None:
    before = hash_of(tmp_path, ROUTE)
    (tmp_path / "connections.yaml").write_text(CONNECTIONS.replace("bank.example", "new-bank.example"))
    landscape = load_landscape(tmp_path, CATALOGUE)
    assert route_hash(landscape, landscape.routes["payments-out"]) == before


def test_a_version_can_be_made_again_from_its_sources(tmp_path: Path) -> None:
    landscape = load(tmp_path)
    route = landscape.routes["payments-out"]
    kept = sources(landscape, route)
    assert kept == {"out/payments.route.yaml": ROUTE}
    again = landscape_from_sources(kept, CATALOGUE)
    assert route_hash(again, again.routes["payments-out"]) == route_hash(landscape, route)
    assert again.routes["payments-out"].spec == route.spec


def test_sources_that_are_not_accepted_any_more_say_why() -> None:
    with pytest.raises(ConfigError) as caught:
        landscape_from_sources({"a.route.yaml": ROUTE.replace("csv", "gone")}, CATALOGUE)
    assert caught.value.code == "CFG102"


# ---------------------------------------------------------------- speed


def test_checking_grows_with_the_number_of_routes_and_not_faster(tmp_path: Path) -> None:
    """Ratio instead of time: ten times the routes may cost at most about ten times as much."""

    def seconds(count: int) -> float:
        folder = tmp_path / str(count)
        files = {f"r/{n}.route.yaml": ROUTE.replace("payments-out", f"payments-{n}") for n in range(count)}
        write(folder, files)
        best = 60.0
        for _ in range(3):
            begin = time.process_time()
            assert load_landscape(folder, CATALOGUE).problems == ()
            best = min(best, time.process_time() - begin)
        return best

    assert seconds(300) < 25 * seconds(30)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIROBUS_WORKERS", "4")
    monkeypatch.setenv("GIROBUS_STORE", "/var/lib/bus")
    settings = load_settings()
    assert (settings.workers, settings.store, settings.log_format) == (4, Path("/var/lib/bus"), "console")
    monkeypatch.setenv("GIROBUS_WORKERS", "many")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.code == "CFG196"
    assert "GIROBUS_WORKERS" in caught.value.message
    assert "many" not in str(caught.value)


def test_the_package_knows_no_engine() -> None:
    """Importing the configuration brings neither engine nor network clients."""
    heavy = "asyncssh", "lxml", "rich", "apsw", "bus.app", "bus.runtime"
    program = f"import sys, bus.config, bus.config.schema; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
