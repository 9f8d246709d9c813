"""Layout of statements: camt.052, camt.053 and camt.054 out of canonical statements and their entries."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, ClassVar

from bus import Rejected, WriteContext
from transforms.iso20022.compose import Draft, Tally
from transforms.iso20022.fields import text, time
from transforms.iso20022.forms import Form, Pen
from transforms.iso20022.identities import moment
from transforms.iso20022.statement_forms import WRITTEN_ENTRY, WRITTEN_STATEMENT

_ISO_CODE = re.compile(r"[A-Z]{4}/[A-Z]{4}/[A-Z]{4}")
_OF_THE_HEAD = (
    "sequence_number",
    "legal_sequence_number",
    "page",
    "last_page",
    "copy_kind",
    "account",
    "from",
    "to",
    "created",
    "opening",
    "closing",
    "balances",
    "summary",
    "additional",
)


class StatementLayout:
    """A statement is followed by its entries; entries without a statement make one of their id and account.

    Strict: booked entries of a camt.053 have to lead from the opening to the closing balance, and totals that are
    declared have to be those of the entries.
    """

    types: ClassVar[tuple[str, ...]] = ("entry", "statement")
    head: ClassVar[Form] = (text("message_id", "GrpHdr/MsgId"), time("created", "GrpHdr/CreDtTm"))
    container = WRITTEN_STATEMENT
    record = WRITTEN_ENTRY

    def __init__(self, context: WriteContext, pen: Pen, *, proves: bool, has_amounts: bool) -> None:
        """``proves``: balances are proved; ``has_amounts``: transactions tell amount and direction (from .04 on)."""
        self._context, self._pen = context, pen
        self._proves, self._has_amounts = proves, has_amounts
        self._counted: dict[str, list[Any]] = {}
        self._booked = Decimal(0)
        self._begin()

    def _begin(self) -> None:
        self._counted = {name: [0, Decimal(0)] for name in ("all", "credits", "debits")}
        self._booked = Decimal(0)

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del index
        if body.get("type") == "statement":
            head = {name: body[name] for name in _OF_THE_HEAD if body.get(name) not in (None, "", (), [])}
            message = {"message_id": body["message_id"]} if body.get("message_id") else {}
            return Draft(body["id"], {"id": body["id"], **head}, None, message)
        amount = body["amount"]["value"]
        for name in ("all", "credits" if body["direction"] == "credit" else "debits"):
            self._counted[name][0] += 1
            self._counted[name][1] += amount
        if body.get("status", "BOOK") == "BOOK":
            self._booked += body["signed"]["value"]
        container = {"id": body["statement_id"], "of_entries": body["account"]}
        return Draft(body["statement_id"], container, self._entry(body), {}, amount)

    def _entry(self, body: dict[str, Any]) -> dict[str, Any]:
        transactions = [self._transaction(one, body) for one in body.get("transactions") or ()]
        batches: list[Any] = list(body.get("batches") or ())
        details = [{"batch": batch} for batch in batches] or ([{}] if transactions else [])
        if transactions:
            details[0]["transactions"] = transactions
        return {
            **body,
            "reversal": True if body.get("reversal") else None,
            "status": body.get("status", "BOOK"),
            "code": _code(body.get("bank_code"), body.get("bank_transaction_code", "")),
            "details": details,
        }

    def _transaction(self, one: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
        flow = one.get("direction") or entry["direction"]
        of_debtor = (flow == "credit") != bool(entry.get("reversal"))
        sides = ("debtor", "creditor") if of_debtor else ("creditor", "debtor")
        written = {
            **one,
            sides[0]: one.get("counterparty"),
            sides[1]: one.get("own"),
            "direction": flow if self._has_amounts and one.get("amount") else one.get("direction") or None,
            "code": _code(one.get("bank_code"), ""),
            "return_code": _code(one.get("return_original_code"), ""),
        }
        if not self._has_amounts and one.get("amount"):
            written["amounts"] = self._without_transaction(dict(one.get("amounts") or {}), one["amount"])
        return written

    def _without_transaction(self, amounts: dict[str, Any], amount: dict[str, Any]) -> dict[str, Any]:
        """Old versions have the amount itself in the place of the transaction's amount."""
        there = dict(amounts.get("transaction") or {})
        if there.pop("amount", amount) != amount:
            self._pen.lost("transactions.amounts.transaction")
        return {**amounts, "transaction": there}

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`.

        Raises:
            Rejected: ``VAL420`` (balances), ``VAL643`` (declared totals), ``VAL645`` (another account).
        """
        del tally
        account: dict[str, Any] = container.get("account") or container.get("of_entries") or {}
        of_entries = container.get("of_entries") or account
        if of_entries["iban" if of_entries.get("iban") else "other"] not in (account.get("iban"), account.get("other")):
            text = "the account of the entries is not that of their statement"
            raise Rejected("VAL645", text, reason="AC01", hint="give each statement an id of its own")
        balances = container.get("balances") or [b for n in ("opening", "closing") if (b := container.get(n))]
        if self._proves:
            self._prove(container, balances)
        summary = dict(container.get("summary") or {})
        self._agree(summary)
        if summary.get("net") is not None:
            summary["sign"] = "debit" if summary["net"] < 0 else "credit"
            summary["net"] = abs(summary["net"])
        self._begin()
        created = container.get("created") or moment(self._context.created_at)
        return {
            **container,
            "account": account,
            "summary": summary,
            "created": created,
            "balances": [_balance(one) for one in balances],
        }

    def _prove(self, container: dict[str, Any], balances: list[dict[str, Any]]) -> None:
        booked = {b["type"]: b["amount"]["value"] for b in reversed(balances)}
        opening, closing = booked.get("OPBD", booked.get("PRCD")), booked.get("CLBD")
        if opening is None or closing is None or opening + self._booked == closing:
            return
        text = f"opening balance and entries miss the closing balance by {closing - opening - self._booked:f}"
        raise Rejected(
            "VAL420", text, reason="AM10", place=str(container["id"]), hint="write all entries of a statement"
        )

    def _agree(self, summary: dict[str, Any]) -> None:
        for name, (count, total) in self._counted.items():
            told = summary.get(name) or {}
            if told.get("entries", count) not in (None, count) or told.get("total", total) not in (None, total):
                text = f"the declared totals ({name}) are not those of the entries, which are {count} and {total:f}"
                raise Rejected("VAL643", text, reason="AM10", hint="leave `summary` out, or write all entries")

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        made = {"message_id": self._context.id, "created": moment(self._context.created_at)}
        return {**made, **message}


def _balance(balance: dict[str, Any]) -> dict[str, Any]:
    worth = balance["amount"]
    return {
        **balance,
        "amount": {"value": abs(worth["value"]), "currency": worth["currency"]},
        "direction": "debit" if worth["value"] < 0 else "credit",
    }


def _code(code: dict[str, Any] | None, told: str) -> dict[str, Any]:
    """A bank transaction code as its parts: from ISO's and the bank's own, or from the one text that an entry has."""
    code = code or ({"iso": told} if _ISO_CODE.fullmatch(told) else {"own": told} if told else {})
    domain, family, sub = (*str(code.get("iso") or "").split("/"), "", "", "")[:3]
    parts = {
        "domain": domain,
        "family": family,
        "sub_family": sub,
        "own": code.get("own"),
        "issuer": code.get("issuer"),
    }
    return {name: value for name, value in parts.items() if value}
