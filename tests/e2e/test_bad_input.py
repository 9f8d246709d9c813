"""Bad input is refused with a code, ends in one place, harms no neighbour and leaks nothing; the bus lives on."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from houses import SAMPLES, House, landscape

from bus import FolderEntry, FolderSource
from bus.errors import ConfigError
from bus.ledger import history
from bus.testing.folder import MemoryFolder

CANARY = b"CANARY-7431"
CSV = (SAMPLES / "PAYRUN_good.csv").read_bytes().replace(b"Invoice INV-2", CANARY)
CAMT = (
    (SAMPLES / "CAMT053_first.xml")
    .read_bytes()
    .replace(b"CUST-9</EndToEndId>", b"CUST-9</EndToEndId><TxId>" + CANARY + b"</TxId>")
)
PAIN = (SAMPLES / "PAIN001_good.xml").read_bytes()
GOOD = {
    "erp": (SAMPLES / "PAYRUN_good.csv").read_bytes().replace(b";E2E-", b";GOOD-").replace(b";INV-", b";GOOD-INV-"),
    "bank": (SAMPLES / "CAMT053_first.xml")
    .read_bytes()
    .replace(b"S-1<", b"S-9<")
    .replace(b"DE89370400440532013000", b"NL91ABNA0417164300"),
    "desk": PAIN.replace(b"E2E-", b"GOOD-").replace(b"MSG-1", b"MSG-2"),
}
DTD = b'<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>'
)
LINE = b"P-2;E2E-2;"
"""Begin of the second payment line."""

DESK = {
    "bus.yaml": """\
name: desk
outlets:
  out:
    endpoint: {file: {path: out, name: "OUT_{id}.jsonl"}}
  back:
    endpoint: {file: {path: back, name: "BACK_{id}.json"}}
""",
    "pain-in.route.yaml": """\
route: pain-in
owner: desk
from: {file: {path: in, match: "*.xml", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: iso20022
  - split: {name: payments, each: payments, keys: {end_to_end_id: end_to_end_id}}
  - validate: {name: valid, model: payment}
  - aggregate: {name: file, by: [], complete: {batch: true}}
  - translate: {name: lines, to: jsonl}
to: out
on_reject: {collect: batch, to: back, as: {json: {document: list}}}
""",
}


@dataclass(frozen=True)
class Hostile:
    """One hostile file: where it is dropped, what it holds, the codes of its cases, and where it must end.

    ``end``: ``dead`` whole, ``line`` = one record goes back and the rest is delivered.
    """

    name: str
    where: str
    content: bytes
    codes: tuple[str, ...]
    end: str = "dead"


def _pain(name: str, old: bytes, new: bytes, *codes: str, end: str = "dead") -> Hostile:
    assert old in PAIN, name
    return Hostile(name, "desk", PAIN.replace(old, new, 1), codes, end)


def _csv(name: str, old: bytes, new: bytes, *codes: str, end: str = "dead") -> Hostile:
    assert old in CSV, name
    return Hostile(name, "erp", CSV.replace(old, new, 1), codes, end)


def _camt(name: str, old: bytes, new: bytes, *codes: str) -> Hostile:
    assert old in CAMT, name
    return Hostile(name, "bank", CAMT.replace(old, new, 1), codes)


HOSTILE = [
    _pain("pain-doctype", b"?>\n", b"?>\n" + DTD, "SEC100"),
    _pain("pain-billion-laughs", b"?>\n", b"?>\n" + LAUGHS, "SEC100"),
    Hostile("pain-truncated", "desk", PAIN[: len(PAIN) * 2 // 3], ("VAL401",)),
    _pain("pain-wrong-namespace", b"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09", b"urn:example:pain", "VAL403"),
    _pain("pain-sum-a-cent-off", b"<CtrlSum>100.11</CtrlSum>", b"<CtrlSum>100.12</CtrlSum>", "VAL423"),
    _pain("pain-wrong-count", b"<NbOfTxs>2</NbOfTxs>", b"<NbOfTxs>3</NbOfTxs>", "VAL422"),
    _pain("pain-bad-iban", b"NL37INGB4930895026", b"NL38INGB4930895026", "VAL431", end="line"),
    Hostile("pain-mixed-encodings", "desk", PAIN.replace(CANARY, CANARY + b"\xfc"), ("VAL407",)),
    Hostile("pain-nul", "desk", PAIN.replace(CANARY, CANARY + b"\0"), ("VAL400",)),
    Hostile("pain-zero-bytes", "desk", b"", ("VAL402",)),
    _pain("pain-february-30", b"<Dt>2026-11-24</Dt>", b"<Dt>2026-02-30</Dt>", "VAL413"),
    _pain("pain-negative", b">0.01<", b">-0.01<", "VAL423"),
    _camt("camt-doctype", b"?>\n", b"?>\n" + DTD, "SEC100"),
    Hostile("camt-truncated", "bank", CAMT[:900], ("VAL401",)),
    _camt("camt-wrong-namespace", b"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08", b"urn:example:camt", "VAL403"),
    _camt("camt-balance-a-cent-off", b">1150.40<", b">1150.41<", "VAL420"),
    _camt("camt-excess-decimals", b">100.10<", b">100.101<", "VAL420"),
    _camt("camt-nul", b"BANK-1-1", b"BANK\0-1", "VAL400"),
    _camt("camt-deep", b"<GrpHdr>", b"<a>" * 5000 + b"<GrpHdr>", "SEC103"),
    Hostile("csv-zero-bytes", "erp", b"", ("VAL302",)),
    Hostile("csv-truncated", "erp", CSV[:700], ("VAL324",)),
    Hostile("csv-byte-order-mark", "erp", b"\xef\xbb\xbf" + CSV, ("VAL305",)),
    Hostile("csv-utf-16", "erp", CSV.decode().encode("utf-16"), ("VAL304",)),
    _csv("csv-nul", b"Nordic Paper", b"Nordic\0Paper", "VAL304"),
    _csv("csv-mixed-encodings", b"Nordic Paper AB", b"Nordic Paper \xc4B", "VAL306", end="line"),
    _csv("csv-unclosed-quote", b"Nordic Paper AB", b'"Nordic Paper AB', "VAL312"),
    _csv("csv-sum-a-cent-off", b"1000100.10", b"1000100.11", "VAL321"),
    _csv("csv-wrong-count", b"T;3;EUR", b"T;4;EUR", "VAL321"),
    _csv("csv-bad-iban", b"NL37INGB4930895026", b"NL38INGB4930895026", "VAL431", end="line"),
    Hostile(
        "csv-yen-with-decimals",
        "erp",
        CSV.replace(b"0.01;EUR", b"0.125;JPY")
        .replace(b"T;3;EUR;1000100.10", b"T;2;EUR;1000100.09")
        .replace(b"T;1;JPY;1234", b"T;2;JPY;1234.125"),
        ("VAL213",),
        "line",
    ),
    Hostile(
        "csv-negative",
        "erp",
        CSV.replace(b"0.01;EUR", b"-0.01;EUR").replace(b"1000100.10", b"1000100.08"),
        ("VAL433",),
        "line",
    ),
    Hostile("csv-february-30", "erp", CSV.replace(b"0.01;EUR;2026-11-24", b"0.01;EUR;2026-02-30"), ("VAL223",), "line"),
]
PLACES = {
    "erp": ("erp/outbox", ".csv", "PAYRUN_"),
    "bank": ("bank-north/outbox", ".xml", "CAMT053_"),
    "desk": ("local/in", ".xml", ""),
}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A landscape that reads payment files."""
    return landscape(tmp_path / "landscape", DESK)


def _house(tmp_path: Path, desk: Path, where: str) -> House:
    return House(tmp_path, desk) if where == "desk" else House(tmp_path)


def _delivered(house: House, where: str) -> bytes:
    """Everything that partners got, but reject files."""
    places = {"erp": ("bank-north/inbox", "bank-south/inbox"), "bank": ("erp/inbox",), "desk": ("local/out",)}
    return b"".join(
        c for place in places[where] for name, c in house.files(place).items() if not name.startswith("PAYREJ")
    )


def _told(house: House) -> str:
    """All that the ledger tells people: cases, history, keys, audit; not the stored messages themselves."""
    texts = [
        json.dumps(row, default=str)
        for table in ("cases", "audit", "business_key", "deferred", "arrival")
        for row in house.rows(f"SELECT * FROM {table}")  # noqa: S608 - names of the test
    ]
    rows = house.rows("SELECT at, version, place, packed FROM history")
    texts += [str(hop) for row in rows for hop in history.expand(row)]
    texts += [str(row) for row in house.rows("SELECT code, reason FROM dead UNION ALL SELECT code, reason FROM held")]
    return "\n".join(texts)


_MARKS = {
    "erp": tuple(b"GOOD-%d<" % n for n in range(1, 6)),
    "bank": (b'"statement_id":"S-9"',),
    "desk": (b"GOOD-1", b"GOOD-2"),
}


@pytest.mark.parametrize("bad", HOSTILE, ids=lambda bad: bad.name)
def test_hostile_content(bad: Hostile, tmp_path: Path, desk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    folder, suffix, prefix = PLACES[bad.where]
    with _house(tmp_path, desk, bad.where) as house:
        house.drop(f"{folder}/{prefix}bad{suffix}", bad.content)
        house.drop(f"{folder}/{prefix}good{suffix}", GOOD[bad.where])
        house.settle()
        assert tuple(house.cases()) == bad.codes
        out = _delivered(house, bad.where)
        for mark in _MARKS[bad.where]:
            assert mark in out, "the neighbour is complete"
        _in_one_place(house, bad, out)
        assert CANARY.decode() not in _told(house) + caplog.text
        assert house.rows("SELECT count(*) FROM deferred") == [(0,)]
        house.drop(f"{folder}/{prefix}later{suffix}", GOOD[bad.where].replace(b"S-9", b"S-8").replace(b"GOOD", b"LATE"))
        house.settle()
        assert len(_delivered(house, bad.where)) > len(out), "the process is alive"


def _in_one_place(house: House, bad: Hostile, out: bytes) -> None:
    dead = house.count("dead")
    own = {"erp": b"E2E-2<", "bank": b'"S-1"', "desk": b"E2E-2"}[bad.where]
    assert own not in out, "nothing of what is refused is delivered"
    if bad.end == "dead":
        assert dead == 1
        assert house.count("held") == 0
        assert house.rows("SELECT outcome FROM arrival WHERE name LIKE '%bad%' AND endpoint NOT LIKE 'bank-%'") in (
            [("rejected",)],
            [],
        )
        others = {"erp": (b"E2E-3<", b"E2E-4<"), "bank": (b'"S-1"',), "desk": (b"E2E-1",)}[bad.where]
        assert not any(mark in out for mark in others), "refused as a whole"
        return
    assert dead == 0
    back = b"".join(
        c
        for name, c in house.files("erp/inbox" if bad.where == "erp" else "local/back").items()
        if "STATUS" not in name
    )
    assert back.count(b"E2E-2;" if bad.where == "erp" else b'"E2E-2"') == 1, "the line went back once"
    for mark in {"erp": (b"E2E-3<", b"E2E-4<", b"E2E-5<"), "desk": (b"E2E-1",)}[bad.where]:
        assert mark in out, "the other lines of the file go out"


# ---------------------------------------------------------------- very long lines


def _peak() -> int:
    """Highest resident memory of this process since it was last reset, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize(("where", "code"), [("erp", "VAL303"), ("bank", "SEC106")])
def test_a_line_of_50_megabytes_is_refused_in_little_memory(tmp_path: Path, desk: Path, where: str, code: str) -> None:
    folder, suffix, prefix = PLACES[where]
    long = {
        "erp": CSV.replace(b"Nordic Paper AB", b"N" * 50_000_000),
        "bank": CAMT.replace(b"<GrpHdr>", b"<GrpHdr><x>" + b"N" * 50_000_000 + b"</x>"),
    }
    with _house(tmp_path, desk, where) as house:
        house.drop(f"{folder}/{prefix}good{suffix}", GOOD[where])
        house.settle()
        house.drop(f"{folder}/{prefix}bad{suffix}", long[where])
        del long
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        before = _peak()
        house.settle()
        assert _peak() - before < 48_000_000, "less than the line itself"
        assert house.cases() == [code]
        assert house.count("dead") == 1


# ---------------------------------------------------------------- names and links


def test_a_link_is_left_alone(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        secret = tmp_path / "secret.csv"
        secret.write_bytes(CSV)
        link = house.partners / "erp/outbox/PAYRUN_link.csv"
        link.symlink_to(secret)
        link.with_name(link.name + ".done").touch()
        house.drop("erp/outbox/PAYRUN_good.csv", GOOD["erp"])
        house.settle()
        assert house.cases() == ["SEC114"]
        assert link.is_symlink()
        assert secret.read_bytes() == CSV
        assert b"GOOD-5<" in _delivered(house, "erp")
        assert b"E2E-2<" not in _delivered(house, "erp")
        assert house.count("arrival") == 1


@pytest.mark.parametrize(
    "name", ["../PAYRUN_x.csv", "..", "PAYRUN_\x00.csv", "PAYRUN_a\nb.csv", "PAYRUN_" + "x" * 300 + ".csv"]
)
def test_a_name_that_leads_elsewhere_is_left_alone(tmp_path: Path, name: str) -> None:
    made: list[MemoryFolder] = []

    def source(spec: Any, resources: Any) -> FolderSource:
        folder = MemoryFolder(resources.clock, extra=[FolderEntry(name, 10, 0)])
        made.append(folder)
        folder.put("/outbox/PAYRUN_good.csv", GOOD["erp"])
        folder.put("/outbox/PAYRUN_good.csv.done", b"")
        return FolderSource(folder, spec, resources)

    folder = landscape(
        tmp_path / "landscape",
        {
            "bus.yaml": "name: n\noutlets: {out: {endpoint: {file: {path: out}}}}\n",
            "x.route.yaml": """\
route: x
from: {file: {path: /outbox, match: "*.csv", ready: {marker: "{name}.done"}}}
to: out
""",
        },
    )
    with House(tmp_path, folder, source=source) as house:
        house.settle()
        assert house.cases() == ["SEC110"]
        assert list(house.files("local/out").values()) == [GOOD["erp"]]
        (context,) = house.rows("SELECT context FROM cases")[0]
        assert context.isascii()
        assert json.loads(context)["file"].isprintable()
        assert made[0].paths() == ["/outbox/done/PAYRUN_good.csv", "/outbox/done/PAYRUN_good.csv.done"]


# ---------------------------------------------------------------- what operators write


ROUTE = DESK["pain-in.route.yaml"]
BOMB = "[@,@,@,@,@,@,@,@]" + "[].[@,@,@,@,@,@,@,@]" * 8


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ROUTE.replace("owner: desk", "ownr: desk"), "CFG101"),
        (ROUTE.replace("owner: desk", "owner: desk\nowner: other"), "CFG184"),
        (ROUTE.replace("to: out\n", "to: nowhere\n"), "CFG161"),
        (ROUTE.replace("owner: desk", "owner: [desk"), "CFG100"),
        (ROUTE.replace("owner: desk", "owner: !!python/object:os.system x"), "CFG186"),
    ],
    ids=["unknown-key", "duplicate-key", "unknown-outlet", "broken", "tag"],
)
def test_a_bad_edit_is_refused_and_the_bus_runs_on(tmp_path: Path, desk: Path, text: str, code: str) -> None:
    with House(tmp_path, desk) as house:
        (desk / "pain-in.route.yaml").write_text(text, "utf-8")
        with pytest.raises(ConfigError) as refused:
            house.app.reload()
        assert refused.value.code == code
        assert refused.value.line > 0
        house.drop("local/in/good.xml", GOOD["desk"])
        house.settle()
        assert b"GOOD-2" in _delivered(house, "desk")


TEXTS = """\
route: texts
from: {file: {path: in, match: "*.json", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: json
  - route:
      branches:
        - {when: "country == lookup('homes', 'NO', 'none') && account == '0012345'", to: out}
        - {otherwise: "true", to: back}
"""


def test_no_stays_norway_and_leading_zeros_stay(tmp_path: Path) -> None:
    table = "table: homes\nrows:\n  - {key: NO, value: NO}\n  - {key: 0012345, value: 012}\n"
    bus = (
        DESK["bus.yaml"]
        .replace('OUT_{id}.jsonl"}}', 'OUT_{id}.json"}}\n    format: json')
        .replace('BACK_{id}.json"}}', 'BACK_{id}.json"}}\n    format: json')
    )
    folder = landscape(tmp_path / "landscape", {"bus.yaml": bus, "texts.route.yaml": TEXTS, "homes.table.yaml": table})
    with House(tmp_path, folder) as house:
        house.drop("local/in/a.json", b'{"country": "NO", "account": "0012345"}')
        house.settle()
        assert house.cases() == []
        (out,) = house.files("local/out").values()
        assert json.loads(out) == {"country": "NO", "account": "0012345"}


def test_an_expression_bomb_ends_as_a_refusal_of_its_message(tmp_path: Path) -> None:
    bomb = (
        TEXTS.replace("texts", "bomb")
        .replace("in, match", "bomb, match")
        .replace("country == lookup('homes', 'NO', 'none') && account == '0012345'", f"length({BOMB}) > `3`")
    )
    plain = TEXTS.replace("country == lookup('homes', 'NO', 'none') && account == '0012345'", "country == 'NO'")
    bus = (
        DESK["bus.yaml"]
        .replace('OUT_{id}.jsonl"}}', 'OUT_{id}.json"}}\n    format: json')
        .replace('BACK_{id}.json"}}', 'BACK_{id}.json"}}\n    format: json')
    )
    folder = landscape(tmp_path / "landscape", {"bus.yaml": bus, "texts.route.yaml": plain, "bomb.route.yaml": bomb})
    with House(tmp_path, folder) as house:
        (house.partners / "local/bomb").mkdir()
        house.drop("local/bomb/b.json", b'{"country": "SE", "remittance": "' + CANARY + b'"}')
        house.drop("local/in/a.json", b'{"country": "NO"}')
        house.settle()
        assert house.count("dead") == 1
        assert house.cases() == ["VAL222"]
        assert CANARY.decode() not in _told(house)
        assert list(house.files("local/out").values()) == [b'{"country":"NO"}']
