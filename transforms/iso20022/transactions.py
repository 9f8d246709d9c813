"""Reads the transactions that a statement's entry consists of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from bus import Finding
from transforms.iso20022.forms import reader
from transforms.iso20022.parties import account, account_paths, remittance
from transforms.iso20022.shapes import Node, Values
from transforms.iso20022.statement_forms import SIDES, TRANSACTION
from transforms.iso20022.stream import Record
from transforms.iso20022.values import amount, direction, number

_TRANSACTION = (
    "Refs/EndToEndId",
    "Refs/InstrId",
    "Refs/TxId",
    "Amt|AmtDtls/TxAmt/Amt",
    "Amt@Ccy|AmtDtls/TxAmt/Amt@Ccy",
    "CdtDbtInd",
    "RtrInf/Rsn/Cd|RtrInf/Rsn/Prtry|RtrInf/RtrRsn/Cd|RtrInf/RtrRsn/Prtry",
)
_COUNT = re.compile("[0-9]{1,15}")
_SIDES = {"Dbtr": "debtor", "Cdtr": "creditor"}
Transaction = Callable[[Values, dict[str, Any] | None, str, bool], dict[str, Any]]


def planned(node: Node) -> Transaction:
    """The reader of a ``TxDtls``, worked out once a shape."""
    if node.plan is None:
        node.plan = transaction(node)
    found: Transaction = node.plan
    return found


def transaction(node: Node) -> Transaction:
    """Reader of a ``TxDtls``: from values, amount for one that tells none, direction and reversal of the entry."""
    pick = node.columns(*_TRANSACTION)
    sides = {True: _party(node, "Dbtr"), False: _party(node, "Cdtr")}
    has_own_side = {tag: bool(node.all(f"RltdPties/{tag}") + node.all(f"RltdPties/{tag}Acct")) for tag in _SIDES}
    texts = remittance(node)
    rest = _rest_of_transaction(node)

    def read(values: Values, worth: dict[str, Any] | None, flow: str, reversal: bool) -> dict[str, Any]:  # noqa: FBT001 - positional on the hot path
        end_to_end, instruction, transaction, text, currency, sign, reason = pick(values)
        if text:
            worth = {"value": amount(text, currency), "currency": currency}
        own_flow = direction(sign) if sign else flow
        # Debtor and creditor stay those of the original payment when a bank takes it back.
        of_debtor = (own_flow == "credit") != reversal
        found = {
            "end_to_end_id": end_to_end.strip(),
            "instruction_id": instruction.strip(),
            "transaction_id": transaction.strip(),
            "amount": worth,
            "counterparty": sides[of_debtor](values),
            "remittance": texts(values),
            "return_reason": reason.strip(),
        }
        if own_flow != flow:
            found["direction"] = own_flow
        if has_own_side["Cdtr" if of_debtor else "Dbtr"]:
            found["own"] = sides[not of_debtor](values)
        if rest is not None:
            found |= rest(values)
        return found

    return read


def _rest_of_transaction(node: Node) -> Callable[[Values], dict[str, Any]] | None:
    read = reader(TRANSACTION, node)
    if read is None:
        return None
    says_amount = node.index("Amt") >= 0

    def rest(values: Values) -> dict[str, Any]:
        found = read(values)
        for name, to in (("code", "bank_code"), ("return_code", "return_original_code")):
            if name in found:
                found[to] = code_of(found.pop(name))
        amounts = found.get("amounts", {})
        if not says_amount and "exchange" not in amounts.get("transaction", {"exchange": None}):
            # In old versions this is where the amount itself stands.
            del amounts["transaction"]
            if not amounts:
                del found["amounts"]
        return found

    return rest


_PLAIN_SIDE = frozenset({"Nm", "Pty/Nm", "Acct/Id/IBAN", "Acct/Id/Othr/Id"})


def _party(node: Node, side: str) -> Callable[[Values], dict[str, Any]]:
    at = f"RltdPties/{side}"
    pick = node.columns(f"{at}/Nm|{at}/Pty/Nm|{at}/Agt/FinInstnId/Nm", *account_paths(f"{at}Acct"))
    there = {path.removeprefix(at).removeprefix("/") for path in node.leaves() if path.startswith(at)}
    key = f"{_SIDES[side]}."
    rich = reader(tuple(f._replace(key=f.key.removeprefix(key)) for f in SIDES if f.key.startswith(key)), node)
    has_more = not there <= _PLAIN_SIDE or bool(node.all(f"RltdAgts/{side}Agt"))

    def read(values: Values) -> dict[str, Any]:
        name, iban, other = pick(values)
        return {"name": name.strip(), "account": account(iban, other)}

    def read_all(values: Values) -> dict[str, Any]:
        return {"name": "", "account": None} | (rich(values) if rich is not None else {})

    return read_all if has_more else read


def details_differ(record: Record, value: Decimal | None, currency: str, sign: str) -> Finding | None:
    """A finding when all transactions of an entry tell their amounts and the sum is another than the entry's."""
    total = Decimal(0)
    inside = [(node, record.values) for node in record.node.all("NtryDtls/TxDtls") or record.node.all("TxDtls")]
    inside += record.details
    for node, values in inside:
        text, held_in, own = node.columns(_TRANSACTION[3], _TRANSACTION[4], "CdtDbtInd")(values)
        worth = number(text)
        if worth is None or held_in.strip() != currency:
            return None
        total += worth if own.strip() in ("", sign) else -worth
    return difference(value, total, currency, record) if inside and value is not None else None


def difference(value: Decimal, total: Decimal, currency: str, record: Record) -> Finding | None:
    """The finding for a sum of transactions that is not their entry's amount."""
    if total == value:
        return None
    text = f"the sum of the transactions differs from the amount of the entry by {total - value:f} {currency}"
    return Finding("VAL642", "warning", record.place(), text)


def batches_differ(record: Record, declared: Sequence[int | None], told: int) -> Finding | None:
    """A finding when the batches of an entry declare another number of transactions than the ``told`` ones.

    An entry without transactions is none: banks tell those of a batch in another message, or not at all.
    """
    counts = [count for count in declared if count is not None]
    if not told or len(counts) < len(declared) or not counts or sum(counts) == told:
        return None
    text = f"the entry tells {told} transactions, its batches declare {sum(counts)}"
    return Finding("VAL672", "info", record.place(), text)


def batches_of(record: Record) -> Finding | None:
    """The same for a record that is only looked at."""
    batches, node = record.node.all("NtryDtls/Btch"), record.node
    if not batches:
        return None
    told = len(node.all("NtryDtls/TxDtls")) + len(record.details)
    texts = [record.values[index] if (index := batch.index("NbOfTxs")) >= 0 else "" for batch in batches]
    return batches_differ(record, [int(text) if _COUNT.fullmatch(text.strip()) else None for text in texts], told)


def code_of(found: dict[str, Any]) -> dict[str, Any]:
    """A bank transaction code as ISO's and the bank's own."""
    iso = "/".join(found.get(name, "") for name in ("domain", "family", "sub_family")) if found.get("domain") else ""
    code: dict[str, Any] = {"iso": iso} if iso else {}
    return code | {name: found[name] for name in ("own", "issuer") if name in found}
