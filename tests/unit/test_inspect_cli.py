"""``bus inspect``: format found, contents told, bad files survived."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from click.testing import CliRunner, Result

from bus import (
    Finding,
    Format,
    FormatSpec,
    InspectedDocument,
    InspectedTotal,
    Inspection,
    Part,
    Rejected,
    StepResources,
    WriteContext,
)
from bus.cli.inspect import command
from bus.testing.steps import BenchCatalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVIL = "\x1b]0;owned\x07\x1b[31m"


class DemoSpec(FormatSpec):
    """A statement: ``DEMO``, then one amount a line; ``?`` is a bad line, a last line ``bad`` a wrong trailer."""

    key = "demo"
    each_default = "entries"

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        return 0.9 if head.startswith(b"DEMO") else 0.2 * name.endswith(".demo")

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        rows = [row for row in source.read().decode().splitlines()[1:] if row != "bad"]
        findings = tuple(
            Finding("VAL901", "error", f"line {n}", f"no amount {EVIL}") for n, row in enumerate(rows, 2) if row == "?"
        )
        amounts = [Decimal(row) for row in rows if row != "?"]
        balance = {"amount": Decimal("-1.50"), "currency": "EUR", "date": "2026-11-24", "type": "OPBD"}
        total = InspectedTotal("EUR", len(amounts), sum(amounts, Decimal(0)), Decimal("3.10"), None)
        other = InspectedTotal("USD", 1, Decimal(5))
        documents = (
            InspectedDocument("S-1", f"DE1{EVIL}", balance, None, (total, other)),
            InspectedDocument("S-2", None, None, None, ()),
        )
        return Inspection("demo 1.0", "statement", documents, findings)

    def build(self, resources: StepResources | None = None) -> Format:
        del resources
        return Demo()


class Demo:
    """Reads the demo format; has a head to read too."""

    content_type = "text/plain"
    head: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it

    def __init__(self) -> None:
        self._source: BinaryIO = BytesIO()

    def read(self, source: BinaryIO) -> Demo:
        self._source = source
        source.readline()
        return self

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        raise NotImplementedError

    def whole(self) -> Any:
        raise NotImplementedError

    def parts(self, each: str) -> Iterator[Part]:
        for number, line in enumerate(self._source, 2):
            text = line.decode().strip()
            if text == "bad":
                raise Rejected("VAL902", "the trailer is wrong")
            if text == "?":
                yield Part(None, f"line {number}", line, Rejected("VAL901", "no amount"))
            else:
                yield Part({"type": each, "amount": {"value": Decimal(text), "currency": "EUR"}}, f"line {number}")


class NeedySpec(FormatSpec):
    """A format that cannot be read without a description."""

    key = "needy"

    layout: str

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        del name
        return 0.5 * head.startswith(b"NEEDY")

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        del source
        return Inspection("needy", "rows", (), (Finding("VAL903", "warning", "line 1", "odd"),))


CATALOGUE = BenchCatalogue([DemoSpec, NeedySpec])


@pytest.fixture(autouse=True)
def _demo_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.registry.Registry", lambda: CATALOGUE)


def run(*args: Any, content: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args], input=content)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.demo"
    path.write_bytes(b"DEMO\n1.10\n2.00\n")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"DEMO\n1.10\n?\n?\nbad\n")
    return path


def test_json_of_one_file(good: Path) -> None:
    result = run("--json", good)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "file": str(good),
        "format": "demo 1.0",
        "kind": "statement",
        "documents": [
            {
                "id": "S-1",
                "account": f"DE1{EVIL}",
                "opening": {"amount": "-1.50", "currency": "EUR", "date": "2026-11-24", "type": "OPBD"},
                "closing": None,
                "totals": [
                    {"currency": "EUR", "count": 2, "amount": "3.10", "credit": "3.10", "debit": None},
                    {"currency": "USD", "count": 1, "amount": "5", "credit": None, "debit": None},
                ],
            },
            {"id": "S-2", "account": None, "opening": None, "closing": None, "totals": []},
        ],
        "findings": [],
    }
    assert result.stderr == ""


def test_json_of_several_files_is_one_object_a_line(good: Path, bad: Path) -> None:
    result = run("--json", good, bad)

    assert result.exit_code == 1, "one of them has errors"
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [found["file"] for found in objects] == [str(good), str(bad)]
    assert [finding["place"] for finding in objects[1]["findings"]] == ["line 3", "line 4"]
    assert set(objects[1]["findings"][0]) == {"code", "severity", "place", "message"}


def test_tables_for_people(good: Path, bad: Path) -> None:
    result = run(good, bad)

    assert result.exit_code == 1
    assert "good.demo: demo 1.0, statement" in result.stdout
    assert "S-1\tDE1" in result.stdout
    assert "-1.50 EUR 2026-11-24" in result.stdout
    assert "\tUSD\t1\t5" in result.stdout
    assert "line 3 (and 1 more)" in result.stdout, "the same finding stands there once"


def test_a_file_cannot_play_with_the_terminal(bad: Path) -> None:
    result = run(bad)

    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout


def test_warnings_are_no_reason_for_an_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"NEEDY")

    result = run(path)

    assert result.exit_code == 0
    assert "VAL903" in result.stdout


@pytest.mark.parametrize(
    ("content", "code"), [(b"what is this", "VAL590"), (b"", "VAL591"), (b"\xff" * 9999, "VAL590")]
)
def test_a_file_that_no_format_knows(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)

    result = run("--json", path)

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["format"], told["kind"], told["documents"]) == (None, None, [])
    assert [finding["code"] for finding in told["findings"]] == [code]
    assert run(path).exit_code == 1
    assert run("--to", "canonical", path).exit_code == 1


def test_the_name_helps_where_the_content_does_not_tell(tmp_path: Path) -> None:
    path = tmp_path / "odd.demo"
    path.write_bytes(b"header\n1\n")

    assert json.loads(run("--json", path).stdout)["kind"] == "statement"


def test_a_missing_file_is_told_and_the_others_are_read(good: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    result = run("--json", tmp_path / "no", tmp_path / "empty", good)

    assert result.exit_code == 2
    assert json.loads(result.stdout)["file"] == str(good)
    assert "No such file" in result.stderr
    assert "directory" in result.stderr


def folder_of_files(root: Path) -> Path:
    for name, content in {
        "b/two.demo": b"DEMO\n1.10\n?\n?\n",
        "a.demo": b"DEMO\n1.10\n2.00\n",
        "c": b"what is this",
        ".hidden": b"DEMO\n9\n",
        ".git/x.demo": b"DEMO\n9\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "loop").symlink_to(root)
    return root


def test_a_folder_is_told_in_a_table(tmp_path: Path) -> None:
    root = folder_of_files(tmp_path / "all")

    result = run(root)

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "file\tformat\tkind\tdocuments\tcurrency\tcount\tamount\tcredit\tdebit\tfindings",
        f"{root}/a.demo\tdemo 1.0\tstatement\t2\tEUR\t2\t3.10\t3.10\t\t",
        f"{root}/a.demo\t\t\t\tUSD\t1\t5\t\t\t",
        f"{root}/b/two.demo\tdemo 1.0\tstatement\t2\tEUR\t1\t1.10\t3.10\t\terror VAL901, line 3 (and 1 more)",
        f"{root}/b/two.demo\t\t\t\tUSD\t1\t5\t\t\t",
        f"{root}/c\t\t\t0\t\t\t\t\t\terror VAL590, beginning of the file",
        "3 files: 1 without errors, 1 with errors, 1 not readable; 4 documents, 5 entries",
    ]


def test_a_folder_as_json_is_one_object_a_line(tmp_path: Path) -> None:
    root = folder_of_files(tmp_path / "all")

    result = run("--json", root)

    assert [json.loads(line)["file"] for line in result.stdout.splitlines()] == [
        f"{root}/a.demo",
        f"{root}/b/two.demo",
        f"{root}/c",
    ]
    assert "3 files" in result.stderr


def test_the_records_of_a_folder(tmp_path: Path) -> None:
    result = run("--to", "canonical", folder_of_files(tmp_path / "all"))

    assert len(result.stdout.splitlines()) == 3
    assert "3 files" not in result.output


def test_a_folder_without_files_is_told(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert result.exit_code == 2
    assert "there is no file in this folder" in result.stderr


def test_no_file_is_wrong_usage() -> None:
    assert run().exit_code == 2


def test_standard_input() -> None:
    result = run("--json", "-", content=b"DEMO\n1.10\n")

    assert json.loads(result.stdout)["documents"][0]["totals"][0]["amount"] == "1.10"


def test_a_pipe_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_args, **_options: _Pipe(b"DEMO\n4.00\n"))

    result = run("--json", "/dev/fd/63")

    assert json.loads(result.stdout)["documents"][0]["totals"][0]["amount"] == "4.00"


class _Pipe(BytesIO):
    """What cannot be read twice."""

    def seekable(self) -> bool:
        return False


def test_canonical_records_are_streamed_as_json_lines(good: Path) -> None:
    result = run("--to", "canonical", good)

    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"type": "entries", "amount": {"value": "1.10", "currency": "EUR"}},
        {"type": "entries", "amount": {"value": "2.00", "currency": "EUR"}},
    ]


def test_bad_records_and_a_bad_end_are_told_on_stderr(bad: Path) -> None:
    result = run("--to", "canonical", bad)

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "error[VAL901]" in result.stderr
    assert "line 3" in result.stderr
    assert "error[VAL902]" in result.stderr


def test_a_format_that_needs_options_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"NEEDY")

    result = run("--to", "canonical", path)

    assert result.exit_code == 1
    assert "error[VAL592]" in result.stderr


def test_only_canonical_can_be_printed(good: Path) -> None:
    assert run("--to", "pdf", good).exit_code == 2


# ---------------------------------------------------------------- with the real formats


def test_a_payment_run_of_the_erp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    path = tmp_path / "PAYRUN_1.csv"
    path.write_text("payment_id;invoice;amount;currency\nP-1;I-1;100.10;EUR\nP-2;I-2;50.00;USD\n", encoding="utf-8")

    result = run("--json", path)

    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["format"] == "csv"
    totals = [(total["currency"], total["count"], total["amount"]) for total in told["documents"][0]["totals"]]
    assert totals == [("EUR", 1, "100.10"), ("USD", 1, "50.00")]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("id;amount;currency\nP-1;100.10;EUR\nP-2;50.00;EUR\nT;2;EUR;150.10\n", []),
        ("id;amount;currency\nP-1;100,10;EUR\nP-2;50,00;EUR\nT;2;EUR;150,10\n", []),
        ("id;amount;currency;a;b\nP-1;100.10;EUR;;b\nP-2;50.00;EUR;;b\nT;2;150.10;EUR\n", []),
        ("id\tamount\tcurrency\nP-1\t100.10\tEUR\nP-2\t50.00\tEUR\n", []),
        ("\ufeffid,amount,currency\nP-1,100.10,EUR\nP-2,50.00,EUR\n", []),
        ("id;amount;currency\nP-1;100.10;EUR\nP-2;50.00;EUR\nT;2;EUR;150.11\n", ["VAL321"]),
        ('{"id":"P-1","amount":"100.10","currency":"EUR"}\n{"id":"P-2","amount":"50.00","currency":"EUR"}\n', []),
    ],
)
def test_records_are_read_in_the_layout_that_was_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, faults: list[str]
) -> None:
    monkeypatch.undo()
    path = tmp_path / ("x.jsonl" if text.startswith("{") else "x.csv")
    path.write_text(text, encoding="utf-8")

    result = run("--to", "canonical", path)

    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["id"], r["amount"].replace(",", ".")) for r in records] == [("P-1", "100.10"), ("P-2", "50.00")]
    assert all(fault in result.stderr for fault in faults)
    assert result.exit_code == bool(faults), result.stderr


def test_a_file_without_header_has_numbered_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    path = tmp_path / "x.csv"
    path.write_text("P-1;100.10;EUR\nP-2;50.00;EUR\n", encoding="utf-8")

    records = [json.loads(line) for line in run("--to", "canonical", path).stdout.splitlines()]

    assert records[0] == {"column 1": "P-1", "column 2": "100.10", "column 3": "EUR"}


def test_a_bank_statement_and_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    if "GIROBUS_SAMPLES" not in os.environ:
        pytest.skip("GIROBUS_SAMPLES names the folder of sample files")
    monkeypatch.undo()
    path = Path(os.environ["GIROBUS_SAMPLES"], "camt-viafintech", "053__valid_example.xml")

    (document,) = json.loads(run("--json", path).stdout)["documents"]
    entries = [json.loads(line) for line in run("--to", "canonical", path).stdout.splitlines()]

    assert document["account"] == "DE14740618130000033626"
    assert (document["opening"]["amount"], document["closing"]["amount"]) == ("33.06", "23.06")
    assert document["totals"][0]["count"] == len(entries) == 4
    signed = sum((Decimal(entry["signed"]["value"]) for entry in entries), Decimal(0))
    assert Decimal(document["opening"]["amount"]) + signed == Decimal(document["closing"]["amount"])
