"""`bus mapping`, `bus lineage` and `bus trace --fields`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bus.app import App, Surroundings
from bus.cli import main
from bus.cli.mapping import compared
from bus.config import load_landscape
from bus.config.lineage import lineage
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource

ROUTES = Path(__file__).parents[2] / "routes"
ROUTE = """\
route: lines
from: {file: {path: in}}
money: amount
steps:
  - parse:
      csv:
        delimiter: ";"
        columns: [id, name, account, amount, currency, day, country]
        trailer: {mark: T, columns: [mark, count], of: ""}
  - split: {name: rows, each: rows, keys: {payment: id}}
  - hold: {name: before, until: release, when: "id == 'P-HELD'", reason: first look}
  - translate: {name: canonical, mapping: line-to-payment}
  - hold: {name: after, until: release, when: "id == 'P-LATE'", reason: second look}
  - route:
      name: way
      branches:
        - {name: home, when: "creditor.address.country == 'DE'", to: out}
        - name: note
          when: "id == 'P-NOTE'"
          steps: [{translate: {template: note.txt}}]
          to: out
        - {name: rest, otherwise: "true", to: out}
"""
FILES = {
    "bus.yaml": "outlets: {out: {endpoint: {file: {path: out}}, format: json}}\n",
    "lines.route.yaml": ROUTE.replace('trailer: {mark: T, columns: [mark, count], of: ""}', "header: true"),
    "line-to-payment.mapping.yaml": """\
mapping: line-to-payment
summary: A line becomes a payment
extends: base
functions: {"clean(text)": "replace(text, ' ', '')"}
fields:
  creditor: {include: party, with: {name: name, iban: clean(account), country: country}}
  execution_date: date(day)
""",
    "base.mapping.yaml": """\
mapping: base
to: payment
fields:
  id: {value: id, required: true}
  debtor.name: "'ACME'"
  creditor.name: name
  amount: money(amount, currency)
  execution_date: day
  charge_bearer:
    choose:
      - {when: "currency == 'EUR'", value: "'SLEV'"}
      - {otherwise: "'SHAR'"}
""",
    "party.mapping.yaml": """\
mapping: party
fields:
  name: {value: name, required: true}
  account.iban: {value: iban, when: "iban != ''"}
  address.country: {lookup: countries, key: country, keep: true}
""",
    "back.mapping.yaml": """\
mapping: back
reverse: true
fields: {a: x.y, b: {lookup: countries, key: c}, n: {value: upper(d), one_way: true}}
""",
    "countries.table.yaml": "table: countries\nrows: [{key: D, value: DE}, {key: F, value: FR}]\n",
    "note.txt.template.j2": "To {{ body.creditor.name }}\n{{ body.amount.value }}\n",
}
LINES = """\
id;name;account;amount;currency;day;country
P-1;Supplier;DE89 3704;100.10;EUR;2026-11-24;D
P-HELD;Held Ltd;FR76 3000;5.00;EUR;2026-11-25;F
P-LATE;Late Ltd;FR76 3000;6.00;EUR;2026-11-25;F
P-BAD;;DE1;7.00;EUR;2026-11-25;D
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "landscape"
    place.mkdir()
    for name, text in FILES.items():
        (place / name).write_text(text, "utf-8")
    (tmp_path / "lines.csv").write_text(LINES, "utf-8")
    return place


def bus(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "-C", str(folder)])


def data(folder: Path, *words: str) -> Any:
    return json.loads(bus(folder, *words, "--json").stdout)


# ---------------------------------------------------------------- list, show, reverse


def test_mappings_are_listed_with_their_routes(folder: Path) -> None:
    rows = {row["mapping"]: row for row in data(folder, "mapping", "list")}
    assert sorted(rows) == ["back", "base", "line-to-payment", "party"]
    assert rows["line-to-payment"]["routes"] == ["lines"]
    assert (rows["line-to-payment"]["to"], rows["line-to-payment"]["fields"]) == ("payment", 9)
    lines = bus(folder, "mapping", "list").stdout.splitlines()
    assert lines[0].split("\t")[0] == "mapping"
    assert len(lines) == 5


def test_a_mapping_is_shown_with_what_it_is_made_of(folder: Path) -> None:
    fields = {one["target"]: one for one in data(folder, "mapping", "show", "line-to-payment")["fields"]}
    assert fields["creditor.account.iban"] == {
        "target": "creditor.account.iban",
        "how": "iban",
        "when": "when iban != ''",
        "reads": ["account"],
        "mapping": "party",
    }
    assert (fields["id"]["mapping"], fields["execution_date"]["mapping"]) == ("base", "line-to-payment")
    assert fields["creditor.address.country"]["how"] == "lookup countries[country]"
    shown = bus(folder, "mapping", "show", "line-to-payment").stdout
    assert "clean(text) = replace(text, ' ', '')" in shown
    missing = bus(folder, "mapping", "show", "line-to-paymnt")
    assert (missing.exit_code, "did you mean `line-to-payment`?" in missing.stderr) == (2, True)


def test_a_mapping_is_turned_round(folder: Path) -> None:
    done = bus(folder, "mapping", "reverse", "back")
    assert done.exit_code == 0
    assert "x.y: a" in done.stdout
    assert "reverse: true" in done.stdout
    assert "note: n: one way" in done.stderr
    (folder / "turned.mapping.yaml").write_text(done.stdout, "utf-8")
    assert bus(folder, "check").exit_code == 0
    lossy = bus(folder, "mapping", "reverse", "line-to-payment")
    assert lossy.exit_code == 1
    assert "lost: creditor.account.iban: its expression cannot be read backwards" in lossy.stderr
    assert {one["target"]: one["accepted"] for one in data(folder, "mapping", "reverse", "base")["lost"]} == {
        "debtor.name": True,
        "charge_bearer": False,
    }


# ---------------------------------------------------------------- run


def test_a_mapping_runs_on_a_file_as_its_route_reads_it(folder: Path) -> None:
    file = folder.parent / "lines.csv"
    done = bus(folder, "mapping", "run", "line-to-payment", str(file))
    assert done.exit_code == 1
    first = json.loads(done.stdout.splitlines()[0])
    assert first == {
        "id": "P-1",
        "debtor": {"name": "ACME"},
        "amount": {"value": "100.10", "currency": "EUR"},
        "charge_bearer": "SLEV",
        "creditor": {"name": "Supplier", "account": {"iban": "DE893704"}, "address": {"country": "DE"}},
        "execution_date": "2026-11-24",
    }
    assert len(done.stdout.splitlines()) == 3
    assert "error[MAP110]" in done.stderr
    assert "line 5" in done.stderr
    told = data(folder, "mapping", "run", "line-to-payment", str(file))
    assert [one["code"] for one in told["refused"]] == ["MAP110"]
    assert told["differences"] is None


def test_results_are_compared_field_by_field(folder: Path) -> None:
    file, wanted = folder.parent / "one.json", folder.parent / "wanted.json"
    row = {
        "id": "P-1",
        "name": "S",
        "account": "",
        "amount": "1.50",
        "currency": "EUR",
        "day": "2026-11-24",
        "country": "X",
    }
    file.write_text(json.dumps(row), "utf-8")
    result = bus(folder, "mapping", "run", "line-to-payment", str(file)).stdout
    wanted.write_text(result, "utf-8")
    same = bus(folder, "mapping", "run", "line-to-payment", str(file), "--diff", str(wanted))
    assert (same.exit_code, same.stdout) == (0, "1 records are as expected.\n")
    wanted.write_text(result.replace('"1.50"', "1.51").replace('"country":"X"', '"town":"Y"'), "utf-8")
    other = bus(folder, "mapping", "run", "line-to-payment", str(file), "--diff", str(wanted))
    assert other.exit_code == 1
    assert [line.split("\t") for line in other.stdout.splitlines()] == [
        ["record", "field", "expected", "got"],
        ["1", "amount.value", "1.51", "1.50"],
        ["1", "creditor.address.town", "Y", "nothing"],
        ["1", "creditor.address.country", "nothing", "X"],
    ]
    file.write_text(json.dumps(row) + "\n" + json.dumps(row), "utf-8")
    more = data(folder, "mapping", "run", "line-to-payment", str(file), "--diff", str(wanted))
    assert [(one["record"], one["field"]) for one in more["differences"]][-1] == (2, "all of it")


def test_what_cannot_be_run(folder: Path) -> None:
    file = folder.parent / "x.bin"
    file.write_bytes(b"\x00\x01\x02")
    assert bus(folder, "mapping", "run", "base", str(file)).exit_code == 1
    assert bus(folder, "mapping", "run", "base", str(file), "--format", "nope").exit_code == 2
    (folder.parent / "broken.json").write_text('{"a": ', "utf-8")
    assert bus(folder, "mapping", "run", "base", str(folder.parent / "broken.json"), "--format", "json").exit_code == 2
    assert bus(folder, "mapping", "run", "base", str(folder.parent / "missing")).exit_code == 2
    (folder / "base.mapping.yaml").write_text("mapping: base\nfields: {a: 'x ==='}\n", "utf-8")
    broken = bus(folder, "mapping", "run", "base", str(file))
    assert broken.exit_code == 1
    assert "base.mapping.yaml:2:" in broken.stderr


def test_a_mapping_runs_in_reverse(folder: Path) -> None:
    file = folder.parent / "made.jsonl"
    file.write_text('{"a": "1", "b": "FR"}\n{"a": "2", "b": "XX"}\n', "utf-8")
    done = bus(folder, "mapping", "run", "back", str(file), "--reverse", "--format", "json")
    assert json.loads(done.stdout) == {"x": {"y": "1"}, "c": "F"}
    assert (done.exit_code, "MAP113" in done.stderr) == (1, True)
    assert "MAP140" in bus(folder, "mapping", "run", "base", str(file), "--reverse").stderr


@pytest.mark.parametrize(
    ("got", "expected", "fields"),
    [
        ({"a": [1, 2]}, {"a": [1]}, ["a[1]"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": None}, {}, ["a"]),
        ({"a": {"b": 1}}, {"a": "x"}, ["a"]),
        ({"a": 1}, {"a": 1}, []),
        ("x", "x", []),
    ],
)
def test_comparing(got: Any, expected: Any, fields: list[str]) -> None:
    assert [field for field, _, _ in compared(got, expected)] == fields


# ---------------------------------------------------------------- lineage


def test_lineage_tells_who_writes_and_who_reads(folder: Path) -> None:
    found = data(folder, "lineage", "creditor.address.country")
    assert [(use["kind"], use["name"], use["how"], use["what"]) for use in found["written"]] == [
        ("mapping", "line-to-payment", "lookup countries[country]", "country")
    ]
    assert found["written"][0]["routes"] == ["lines"]
    assert found["written"][0]["path"] == "party.mapping.yaml"
    assert [(use["kind"], use["what"]) for use in found["read"]] == [("route", "way")]
    source = data(folder, "lineage", "day")
    assert {use["what"] for use in source["read"] if use["name"] == "line-to-payment"} == {"→ execution_date"}
    assert [use["kind"] for use in source["written"]] == ["format"]
    template = data(folder, "lineage", "payment.creditor.name")
    assert ("template", "note.txt", 1) in {(use["kind"], use["name"], use["line"]) for use in template["read"]}
    tree = bus(folder, "lineage", "creditor.address.country").stdout.splitlines()
    assert tree[0] == "creditor.address.country"
    assert tree[1] == "├─ written by"
    assert tree[2].startswith("│  └─ mapping line-to-payment: lookup countries[country]   ← country")
    assert tree[3] == "│     in lines"
    nothing = bus(folder, "lineage", "creditr.name")
    assert (nothing.exit_code, "creditor.name" in nothing.stderr) == (2, True)


def test_formats_are_named_where_they_read_or_write_the_model_that_has_the_field() -> None:
    written, read = lineage(load_landscape(ROUTES), "entry.booking_date")
    assert [(use.kind, use.name) for use in written] == [("format", "statements-in")]
    assert {use.name for use in read} == {"entry-to-legacy-ledger", "statements-in"}
    _, paid = lineage(load_landscape(ROUTES), "payment.creditor.account.iban")
    assert {use.how for use in paid if use.kind == "format"} == {
        "writes it into pain.001.001.09",
        "writes it into pain.001.001.03",
    }


# ---------------------------------------------------------------- trace --fields


def running(folder: Path) -> App:
    """A bus that took the file and came to rest."""
    source = ScriptedSource([ScriptedArrival("lines.csv", LINES.encode())])
    clock = ManualClock(1_795_000_000_000)
    around = Surroundings(
        clock=clock, source=lambda _spec, _around: source, sink=lambda _spec, _around: RecordingSink()
    )
    app = App(folder, around)
    for _ in range(300):
        if not app.bus.turn():
            break
        clock.advance(1)
    return app


@pytest.fixture
def ran(folder: Path) -> Path:
    """The landscape, whose bus took the file and came to rest; the mapping was edited since."""
    running(folder).close()
    changed = FILES["line-to-payment.mapping.yaml"].replace("date(day)", "date(day, '%d.%m.%Y')")
    (folder / "line-to-payment.mapping.yaml").write_text(changed, "utf-8")
    return folder


def fields(folder: Path, key: str, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    (one,) = data(folder, "trace", key, "--fields", *words)["mappings"]
    return one, {origin["target"]: origin for origin in one["origins"]}


def test_fields_of_a_message_that_rests_before_the_mapping(ran: Path) -> None:
    one, origins = fields(ran, "P-HELD")
    assert (one["route"], one["step"], one["mapping"], one["basis"]) == (
        "lines",
        "canonical",
        "line-to-payment",
        "before",
    )
    assert len(one["content"]) == 8
    assert origins["execution_date"]["how"] == "date(day)", "the version that the message is pinned to counts"
    iban = origins["creditor.account.iban"]
    assert (iban["reads"], iban["values"], iban["result"]) == (["account"], {"account": "text of 9"}, "text of 8")
    assert "FR76" not in bus(ran, "trace", "P-HELD", "--fields").stdout
    _, shown = fields(ran, "P-HELD", "--values")
    assert shown["creditor.account.iban"]["values"] == {"account": "FR76 3000"}
    assert (
        shown["amount"]["result"] == "{'value': Decimal('5.00'), 'currency': 'EUR'}"
        or "5.00" in shown["amount"]["result"]
    )
    text = bus(ran, "trace", "P-HELD", "--fields").stdout
    assert "line-to-payment@" in text
    assert "worked out on the message as it is kept" in text


def test_fields_of_messages_behind_the_mapping_gone_and_refused(ran: Path) -> None:
    one, late = fields(ran, "P-LATE", "--values")
    assert (one["basis"], late["creditor.name"]["result"]) == ("after", "Late Ltd")
    one, gone = fields(ran, "P-1", "--values")
    assert (one["basis"], gone["creditor.name"]["result"]) == ("static", None)
    assert gone["creditor.account.iban"]["reads"] == ["account"]
    one, bad = fields(ran, "P-BAD")
    assert one["basis"] == "before"
    assert bad["creditor.name"]["result"] == "refused: MAP110"


def test_fields_of_a_message_that_waits_in_a_group(folder: Path) -> None:
    grouped = FILES["lines.route.yaml"].split("  - hold: {name: after")[0]
    grouped += "  - aggregate: {name: pile, by: [creditor.name], complete: {size: 9}}\nto: out\n"
    (folder / "lines.route.yaml").write_text(grouped, "utf-8")
    running(folder).close()
    one, origins = fields(folder, "P-1", "--values")
    assert (one["basis"], origins["creditor.account.iban"]["result"]) == ("after", "DE893704")


def test_options_of_trace_that_do_not_go_together(ran: Path) -> None:
    assert bus(ran, "trace", "P-1", "--values").exit_code == 2
    assert bus(ran, "trace", "P-1", "--fields", "--follow").exit_code == 2
