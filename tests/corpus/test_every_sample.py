"""Every sample file: read with the count and sum that its bytes have, or refused at the place expected here."""

from __future__ import annotations

import csv
import json
import os
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bus.cli.inspect import command
from bus.codes import codes

SAMPLES = Path(os.environ.get("GIROBUS_SAMPLES", "/nonexistent"))
FAMILIES = {
    "camt-*/*.xml": "test_samples_iso20022.py",
    "mt940-*/*.[st][tx][at]": "test_samples_bank_files.py",
    "bai2-*/*.bai2": "test_samples_bank_files.py",
    "bai2-*/*.txt": "test_samples_bank_files.py",
    "cfonb-*/*.txt": "test_samples_bank_files.py",
    "datev-*/*.csv": "here",
}
"""Where counts and sums of each family are compared with a count of the bytes that knows nothing of the readers."""
NO_DATA = ("LICENSE.upstream", "README.md")
REFUSED = {
    "bai2-moj/citi_example.bai2": ("VAL420", "line 3"),
    "bai2-moov/errors__sample-parseError.txt": ("VAL741", "line 1"),
    "bai2-moov/sample4-continuations-newline-delimited.txt": ("VAL742", "line 22"),
    "bai2-moov/sample5-issue113.txt": ("VAL742", "line 22"),
    "camt-genkgo/camt053.v2.all-balance-types.xml": ("VAL420", "line 10, Stmt 1"),
    "camt-genkgo/camt053.v2.five.decimals.xml": ("VAL420", "line 25, Stmt 1"),
    "camt-genkgo/camt053.v2.wrong.xml": ("VAL405", "line 3"),
    "camt-swiss-dvbern/ch__dvbern__oss__lib__iso20022__camt054__v00104__"
    "invalid__camt_054_Beispiel_NotificationMissing.xml": ("VAL403", "line 2"),
    "camt-viafintech/052__valid_example_with_dates.xml": ("VAL405", "line 6"),
    "camt-viafintech/052__valid_namespace.xml": ("VAL405", "line 2"),
    "camt-viafintech/053__valid_example.xml": ("VAL405", "line 62"),
    "camt-viafintech/053__valid_example_v8.xml": ("VAL405", "line 119"),
    "camt-viafintech/053__valid_example_with_batch.xml": ("VAL405", "line 143"),
    "camt-viafintech/053__valid_example_with_debit.xml": ("VAL405", "line 78"),
    "camt-viafintech/053__valid_example_with_instdamt.xml": ("VAL420", "line 16, Stmt 1"),
    "camt-viafintech/053__valid_example_with_other_id.xml": ("VAL405", "line 13"),
    "camt-viafintech/053__valid_namespace.xml": ("VAL405", "line 2"),
    "camt-viafintech/general__invalid_namespace.xml": ("VAL405", "line 2"),
    "cfonb-pennylane/end_of_statement_without_beginning.txt": ("VAL420", "line 1"),
    "cfonb-pennylane/invalid_date.txt": ("VAL413", "line 1, column 35"),
    "cfonb-pennylane/new_statement_without_previous_ended.txt": ("VAL753", "line 6"),
    "cfonb-pennylane/operation.txt": ("VAL751", "line 1"),
    "cfonb-pennylane/operation_already_defined.txt": ("VAL751", "line 1"),
    "cfonb-pennylane/operation_detail_without_operation.txt": ("VAL752", "line 3"),
    "cfonb-pennylane/operation_out_of_statement.txt": ("VAL751", "line 1"),
    "cfonb-pennylane/operation_unstarted.txt": ("VAL752", "line 1"),
    "mt940-wolph/betterplace__amount_formats.sta": ("VAL728", "line 2, :60F:"),
    "mt940-wolph/betterplace__currency_in_25.sta": ("VAL721", "line 1"),
    "mt940-wolph/betterplace__empty_86.sta": ("VAL721", "line 1"),
    "mt940-wolph/betterplace__empty_entry_date.sta": ("VAL412", "line 1, :61:"),
    "mt940-wolph/betterplace__empty_line.sta": ("VAL721", "line 2"),
    "mt940-wolph/betterplace__missing_crlf_at_end.sta": ("VAL721", "line 1"),
    "mt940-wolph/betterplace__sepa_snippet.sta": ("VAL420", "line 25"),
    "mt940-wolph/betterplace__sepa_snippet_broken.sta": ("VAL728", "line 6, :25:"),
    "mt940-wolph/cmxl__account_balance_credit.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__account_balance_debit.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__account_identification_iban.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__account_identification_legacy.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__available_balance.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__closing_balance.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__reference.sta": ("VAL721", "line 1"),
    "mt940-wolph/cmxl__statement_details.sta": ("VAL412", "line 1, :61:"),
    "mt940-wolph/cmxl__statement_line.sta": ("VAL412", "line 1, :61:"),
    "mt940-wolph/cmxl__statement_number.sta": ("VAL721", "line 1"),
    "mt940-wolph/mBank__with_newline_in_tnr.sta": ("VAL420", "line 2"),
    "mt940-wolph/self-provided__account_identification.sta": ("VAL721", "line 1"),
    "mt940-wolph/self-provided__details_60-63.sta": ("VAL420", "line 1"),
    "mt940-wolph/self-provided__empty_non_swift.sta": ("VAL720", "line 1"),
    "mt940-wolph/self-provided__february_30.sta": ("VAL413", "line 6, :61:"),
    "mt940-wolph/self-provided__gv_codes.sta": ("VAL721", "line 1"),
    "mt940-wolph/self-provided__invalid_statement.sta": ("VAL590", "beginning of the file"),
    "mt940-wolph/self-provided__malformed_details.sta": ("VAL420", "line 1"),
    "mt940-wolph/self-provided__mt942.sta": ("VAL726", "line 11, :90D:"),
    "mt940-wolph/self-provided__multiline.sta": ("VAL412", "line 38, :61:"),
    "mt940-wolph/self-provided__overly_long_details.sta": ("VAL420", "line 1"),
    "mt940-wolph/self-provided__raiffeisen-cmi.sta": ("VAL420", "line 1"),
    "mt940-wolph/self-provided__sparkassen.sta": ("VAL722", "line 1, :61:"),
    "mt940-wolph/self-provided__transaction_details_wrapped.sta": ("VAL413", "line 6, :61:"),
    "mt940-wolph/self-provided__whitespace.sta": ("VAL420", "line 1"),
    "mt940-wolph/self-provided__wrapped_timestamp.sta": ("VAL413", "line 5, :61:"),
}  # fmt: skip
"""First error of each file that has any: a route refuses the file, or its records, there."""

pytestmark = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="GIROBUS_SAMPLES is not set: sample files are not part of a checkout"
)


@cache
def told() -> dict[str, dict[str, Any]]:
    """What one command prints of all files, by their path."""
    printed = CliRunner().invoke(command, ["--json", str(SAMPLES)], catch_exceptions=False)
    assert printed.exit_code == 1, "some are refused"
    found = [json.loads(line) for line in printed.stdout.splitlines()]
    return {Path(one["file"]).relative_to(SAMPLES).as_posix(): one for one in found}


def data_files() -> set[str]:
    files = (path for path in SAMPLES.rglob("*") if path.is_file() and path.name not in NO_DATA)
    return {path.relative_to(SAMPLES).as_posix() for path in files}


def test_one_command_tells_of_every_file() -> None:
    every = {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*") if path.is_file()}
    assert set(told()) == every
    assert len(every) > 120


def test_every_file_is_counted_by_somebody() -> None:
    counted = [path.relative_to(SAMPLES).as_posix() for family in FAMILIES for path in SAMPLES.glob(family)]
    assert sorted(counted) == sorted(data_files())


def test_files_are_refused_where_they_are_wrong() -> None:
    found = {}
    for name in data_files():
        errors = [finding for finding in told()[name]["findings"] if finding["severity"] == "error"]
        if errors or told()[name]["kind"] is None:
            found[name] = errors[0]["code"], errors[0]["place"]
    assert found == REFUSED


def test_every_finding_has_a_known_code_and_a_place_that_is_there() -> None:
    for name, one in told().items():
        lines = len(re.split(rb"\r\n|\r|\n", (SAMPLES / name).read_bytes()))
        for finding in one["findings"]:
            assert finding["code"] in codes()
            assert finding["place"] or finding["code"] == "VAL463", f"{name}: {finding}"
            for number in re.findall(r"line (\d+)", finding["place"]):
                assert 1 <= int(number) <= lines, f"{name}: {finding}"


def test_what_is_no_data_is_no_format() -> None:
    for name, one in told().items():
        if Path(name).name in NO_DATA:
            assert (one["format"], [finding["code"] for finding in one["findings"]]) == (None, ["VAL590"]), name


def test_datev_counts_and_sums_are_exact() -> None:
    paths = sorted(SAMPLES.glob("datev-*/*.csv"))
    assert len(paths) == 3
    for path in paths:
        lines = path.read_text("cp1252").splitlines()
        head, *rows = list(csv.reader(lines, delimiter=";"))
        rows = [row for row in rows[1:] if row]
        (document,) = told()[path.relative_to(SAMPLES).as_posix()]["documents"]
        (total,) = document["totals"]
        assert total["count"] == len(rows)
        if head[2] == "21":
            sums = {sign: Decimal(0) for sign in "SH"}
            for row in rows:
                sums[row[1]] += Decimal(row[0].replace(",", "."))
                assert (row[2] or head[21]) == total["currency"] == "EUR"
            assert (Decimal(total["credit"]), Decimal(total["debit"])) == (sums["H"], sums["S"])


def test_the_table_in_the_docs_is_of_these_files() -> None:
    page = (Path(__file__).parents[2] / "docs" / "samples.md").read_text("utf-8")
    assert re.findall(r"^\| (\S.*?) \| ", page, re.MULTILINE)[2:]
    for name in told():
        assert f"\n| {name} | " in page
