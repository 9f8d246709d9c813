"""Faults that other translators are known for: where each is shown not to happen, and the worst of them at work."""

from __future__ import annotations

import ast
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bus import WriteContext
from bus.testing.steps import StepBench
from transforms.bai2 import Bai2Spec
from transforms.csv import CsvSpec
from transforms.iso20022 import Iso20022Spec
from transforms.mt101 import Mt101Spec
from transforms.mt940 import Mt940Spec

TESTS = Path(__file__).parents[1]
ISO, MT, BAI2 = "unit/iso20022/test_iso20022_", "unit/mt/test_", "unit/statements/test_bai2.py"
SHOWN = {
    "rows with different debtor accounts or dates become one payment block": (
        (f"{ISO}write.py", "test_payments_that_differ_in_what_a_block_shares_are_never_merged"),
        (f"{ISO}traps.py", "test_debits_of_different_creditor_accounts_or_days_are_never_merged"),
        (f"{MT}mt101.py", "test_different_debtors_and_dates_never_share_a_message"),
    ),
    "statements of one MT940 file are merged, the last account wins": (
        (f"{MT}mt940_read.py", "test_statements_of_one_file_are_never_merged"),
    ),
    "wrapped and continued records of BAI2": (
        (BAI2, "test_fields_go_on_in_continuations_until_they_are_complete_then_texts"),
        (BAI2, "test_records_that_share_a_line_and_texts_that_are_wrapped"),
    ),
    "all rows have to fit into memory": (
        (f"{ISO}write.py", "test_memory_stays_flat_however_many_payments"),
        (f"{ISO}json.py", "test_memory_does_not_grow_with_the_file_in_either_direction"),
        ("unit/test_csv.py", "test_memory_stays_flat_over_many_rows"),
    ),
    "an older version drops fields in silence": (
        (f"{ISO}versions.py", "test_every_value_is_in_the_other_version_or_among_the_losses"),
        (f"{ISO}traps.py", "test_what_an_old_version_of_an_order_cannot_carry_is_told_by_field"),
    ),
    "the application header is dropped, a wrapper is not understood": (
        (f"{ISO}json.py", "test_every_envelope_is_kept_and_written_again"),
        (f"{ISO}stream.py", "test_a_message_is_found_in_any_wrapper"),
    ),
    "free texts are joined or cut": (
        (f"{ISO}traps.py", "test_free_texts_are_neither_joined_nor_cut"),
        (f"{MT}mt940_read.py", "test_the_lines_of_a_free_text_stay_lines_and_every_byte_stays_in_the_raw_record"),
    ),
    "an entry and its transactions are both counted": (
        (f"{ISO}statements.py", "test_a_batch_entry_keeps_its_transactions_apart_and_its_amount_once"),
        (f"{ISO}traps.py", "test_transactions_are_never_added_to_their_entry"),
    ),
    "an advice without transactions is no entry": (
        (f"{ISO}traps.py", "test_a_batch_that_does_not_tell_its_transactions_is_one_entry"),
    ),
    "debits lose their sign": (
        (f"{ISO}statements.py", "test_debits_and_overdrafts_have_their_sign"),
        (f"{MT}mt940_read.py", "test_the_mark_decides_the_sign"),
        (BAI2, "test_the_type_code_says_credit_or_debit"),
    ),
    "a reversal is booked on the wrong side": (
        (f"{ISO}statements.py", "test_a_reversal_keeps_its_own_direction_and_the_parties_of_the_original"),
    ),
    "every currency has two decimals": (
        (f"{MT}mt940_read.py", "test_yen_have_no_decimals"),
        (BAI2, "test_decimals_are_implied_by_the_currency"),
    ),
}
CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 0)
ACCOUNTS = ("NL91ABNA0417164300", "NL20INGB0001234567")


@pytest.mark.parametrize("trap", SHOWN)
def test_each_trap_has_its_test(trap: str) -> None:
    for file, name in SHOWN[trap]:
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}: {name}"


def payments() -> list[dict[str, Any]]:
    """Rows of an ERP: two debtor accounts, two days, each pair twice, one behind the other."""
    lines = [
        f"P-{n};{account};{day};{n}.10;EUR"
        for n, (account, day) in enumerate(((a, d) for _ in "12" for a in ACCOUNTS for d in ("01", "03")), 1)
    ]
    source = io.BytesIO("\n".join(["id;account;day;amount;currency", *lines, ""]).encode())
    rows = [part.body for part in CsvSpec(delimiter=";").build().read(source).parts("rows")]
    return [
        {
            "type": "payment",
            "end_to_end_id": row["id"],
            "debtor": {"name": "ACME", "account": {"iban": row["account"]}, "agent": {"bic": "ABNANL2AXXX"}},
            "creditor": {"name": "Supplier", "account": {"iban": "DE89370400440532013000"}},
            "amount": {"value": Decimal(row["amount"]), "currency": row["currency"]},
            "execution_date": f"2026-12-{row['day']}",
            "remittance": {"unstructured": [], "structured": []},
        }
        for row in rows
    ]


def facts(body: Any) -> tuple[str, str, str, Decimal]:
    return (
        body["end_to_end_id"], body["debtor"]["account"]["iban"], body["execution_date"], body["amount"]["value"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [Iso20022Spec(message="pain.001.001.09"), Iso20022Spec(message="pain.001.001.03"), Mt101Spec()],
    ids=["pain.001.001.09", "pain.001.001.03", "mt101"],
)
def test_every_payment_keeps_its_own_debtor_account_and_day(spec: Any) -> None:
    bodies = payments()
    target = io.BytesIO()
    spec.build(StepBench()).write(bodies, target, CONTEXT)
    found = [part.body for part in spec.build().read(io.BytesIO(target.getvalue())).parts("payments")]
    assert sorted(map(facts, found)) == sorted(map(facts, bodies))
    assert len(type(spec).inspect(io.BytesIO(target.getvalue())).documents) == 8, "a block ends where they change"


def test_statements_of_one_mt940_file_stay_apart() -> None:
    messages = [
        f":20:S{n}\r\n:25:{account}\r\n:28C:1/1\r\n:60F:C261124EUR100,00\r\n:61:2611241124D{n},00NTRFR{n}\r\n"
        f":86:text {n}\r\n:62F:C261124EUR{100 - n},00\r\n-\r\n"
        for n, account in enumerate(ACCOUNTS, 1)
    ]
    content = "".join(messages).encode()
    entries = [part.body for part in Mt940Spec().build().read(io.BytesIO(content)).parts("entries")]
    assert [entry["account"]["iban"] for entry in entries] == list(ACCOUNTS)
    found = Mt940Spec.inspect(io.BytesIO(content))
    assert [(d.account, d.totals[0].debit) for d in found.documents] == list(zip(ACCOUNTS, (1, 2), strict=True))


def test_a_record_of_bai2_goes_on_over_lines() -> None:
    content = (
        b"01,A,B,261124,1200,1,80,,2/\n02,C,A,1,261124,,EUR,2/\n03,123,EUR,010,0,,/\n16,165,1500,S,1000/\n"
        b"88,300,200,REF1\n88,CUST,TEXT GOES\n88,ON/\n49,1500,6/\n98,1500,1,8/\n99,1500,1,10/\n"
    )
    (part,) = Bai2Spec(balances="ignore").build().read(io.BytesIO(content)).parts("entries")
    assert part.error is None
    assert part.body["transactions"][0]["remittance"]["unstructured"] == ["TEXT GOES", "ON"]
    assert part.body["signed"] == {"value": Decimal("15.00"), "currency": "EUR"}
