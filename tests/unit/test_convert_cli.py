"""``bus convert``: another version, JSON and back; what is lost is listed, what is refused leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bus.cli.convert import command

PAYMENTS = Path(__file__).parents[2] / "routes" / "bank-gateway" / "samples" / "PAIN001_sample.xml"
STATEMENT = PAYMENTS.with_name("CAMT053_sample.xml")


def run(*args: Any, content: bytes | None = None) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args], input=content)


def test_a_payment_that_would_lose_something_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "old.xml"
    result = run(PAYMENTS, "--to", "pain.001.001.03", "--out", out)
    assert result.exit_code == 1
    assert "warning[VAL620] CdtTrfTxInf 1, PmtId/UETR: text not carried" in result.stderr
    assert "error[VAL625]" in result.stderr
    assert list(tmp_path.iterdir()) == [], "not even a temporary file stays"


def test_with_report_it_is_written_and_told(tmp_path: Path) -> None:
    out = tmp_path / "old.xml"
    result = run(PAYMENTS, "--to", "pain.001.001.03", "--out", out, "--report")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.count("VAL620") == 5
    assert b"pain.001.001.03" in out.read_bytes()
    assert list(tmp_path.iterdir()) == [out]
    again = run(out, "--to", "pain.001.001.09")
    assert again.exit_code == 0
    assert again.stderr == ""
    assert "pain.001.001.09" in again.stdout


def test_to_json_and_back(tmp_path: Path) -> None:
    shown = run(STATEMENT, "--to", "json")
    body = json.loads(shown.stdout)
    assert body["message"] == "camt.053.001.08"
    saved = tmp_path / "statement.json"
    saved.write_text(shown.stdout, "utf-8")
    back = run(saved, "--to", "camt.053.001.08")
    assert (back.exit_code, back.stderr) == (0, "")
    assert json.loads(run("-", "--to", "json", content=back.stdout.encode()).stdout) == body
    del body["document"]["BkToCstmrStmt"]["GrpHdr"]["MsgId"]
    saved.write_text(json.dumps(body), "utf-8")
    assert "error[VAL605]" in run(saved, "--to", "camt.053.001.08").stderr


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        ((PAYMENTS, "--to", "camt.053.001.08"), 1, "VAL628"),
        ((PAYMENTS, "--to", "csv"), 1, "VAL628"),
        ((PAYMENTS, "--to", "nothing"), 1, "there is no format of that name"),
        ((PAYMENTS.with_name("PAYRUN_sample.csv"), "--to", "json"), 1, "VAL628"),
        (("/nowhere/at-all.xml", "--to", "json"), 2, "No such file"),
        ((PAYMENTS, "--to", "json", "--out", "/nowhere/at-all.json"), 2, "No such file"),
        ((PAYMENTS,), 2, "--to"),
    ],
)
def test_what_cannot_be_is_told(args: tuple[Any, ...], code: int, told: str) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"<Document/>", b"<a", b"{", b"\x00" * 99):
        path = tmp_path / "file"
        path.write_bytes(content)
        result = run(path, "--to", "json")
        assert result.exit_code == 1, content
        assert "error[" in result.stderr
