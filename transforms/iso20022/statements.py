"""Reads camt.052, camt.053 and camt.054: canonical statements and entries, balances proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from bus import Part, Rejected
from transforms.iso20022.parties import account, account_paths, placed, remittance
from transforms.iso20022.shapes import Node, Values
from transforms.iso20022.stream import Event, Record
from transforms.iso20022.values import amount, day, direction, flag, moment, number

_STATEMENT = (
    "Id",
    "ElctrncSeqNb|LglSeqNb",
    "CreDtTm",
    "FrToDt/FrDtTm|FrToDt/FrDt",
    "FrToDt/ToDtTm|FrToDt/ToDt",
    *account_paths("Acct"),
    "Acct/Ccy",
    "Acct/Ownr/Nm|Acct/Ownr/Pty/Nm|Acct/Nm",
)
_BALANCE = ("Tp/CdOrPrtry/Cd|Tp/Cd", "Amt", "Amt@Ccy", "CdtDbtInd", "Dt/Dt|Dt/DtTm|Dt")
_ENTRY = (
    "NtryRef",
    "Amt",
    "Amt@Ccy",
    "CdtDbtInd",
    "RvslInd",
    "Sts/Cd|Sts/Prtry|Sts",
    "BookgDt/Dt|BookgDt/DtTm|BookgDt",
    "ValDt/Dt|ValDt/DtTm|ValDt",
    "AcctSvcrRef",
)
_BANK_CODE = ("BkTxCd/Domn/Cd", "BkTxCd/Domn/Fmly/Cd", "BkTxCd/Domn/Fmly/SubFmlyCd", "BkTxCd/Prtry/Cd")
_TRANSACTION = (
    "Refs/EndToEndId",
    "Refs/InstrId",
    "Refs/TxId",
    "Amt|AmtDtls/TxAmt/Amt",
    "Amt@Ccy|AmtDtls/TxAmt/Amt@Ccy",
    "CdtDbtInd",
    "RtrInf/Rsn/Cd|RtrInf/Rsn/Prtry|RtrInf/RtrRsn/Cd|RtrInf/RtrRsn/Prtry",
)
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)

Entry = Callable[[Record, "Statement"], dict[str, Any]]
Transaction = Callable[[Values, dict[str, Any] | None, str, bool], dict[str, Any]]


class Statement:
    """One statement while its entries go by.

    Attributes:
        body: the canonical statement; ``entries`` is their number so far.
        account: its account, shared by its entries.
    """

    def __init__(self, head: Record) -> None:
        """From the head of a ``Stmt``, ``Rpt`` or ``Ntfctn``.

        Raises:
            Rejected: a balance or date in it cannot be read.
        """
        self.place = head.place()
        self._booked: dict[str, Decimal] = {}
        self._provable = True
        node, values = head.node, head.values
        pick = node.columns(*_STATEMENT)
        name, number_text, created, begins, ends, iban, other, currency, owner = (v.strip() for v in pick(values))
        balances = [found for bal in node.all("Bal") if (found := _balance(bal, values))]
        currency = currency or (balances[0]["amount"]["currency"] if balances else "")
        self.account: dict[str, Any] = account(iban, other) or {}
        self.account["currency"] = currency
        opening = _first(balances, _OPENING, "")
        self.body: dict[str, Any] = {
            "type": "statement",
            "id": name,
            "sequence_number": int(number_text) if number_text.isascii() and number_text.isdigit() else None,
            "account": {**self.account, "owner": owner} if owner else self.account,
            "from": moment(begins),
            "to": moment(ends),
            "created": moment(created),
            "opening": opening,
            "closing": _first(balances, _CLOSING, opening["amount"]["currency"] if opening else ""),
            "entries": 0,
        }

    def read(self, record: Record) -> dict[str, Any]:
        """One canonical entry.

        Raises:
            Rejected: ``VAL410`` … ``VAL414``: a value of it cannot be right.
        """
        plan: Entry | None = record.node.plan
        if plan is None:
            plan = record.node.plan = _entry(record.node)
        try:
            return plan(record, self)
        except Rejected as error:
            self._count_unread(record)
            raise placed(error, record.place()) from None
        finally:
            self.body["entries"] += 1

    def book(self, currency: str, signed: Decimal) -> None:
        """Count an entry's amount towards the closing balance."""
        self._booked[currency] = self._booked.get(currency, Decimal(0)) + signed

    def leave_unproved(self) -> None:
        """An entry has no readable amount, so the balances cannot be proved any more."""
        self._provable = False

    def _count_unread(self, record: Record) -> None:
        """A refused entry still belongs to the balances, as far as its amount can be read."""
        text, currency, sign, status = record.node.columns("Amt", "Amt@Ccy", "CdtDbtInd", _ENTRY[5])(record.values)
        value = number(text)
        if value is None or sign.strip() not in ("CRDT", "DBIT"):
            self.leave_unproved()
        elif status.strip() == "BOOK":
            self.book(currency, value if sign.strip() == "CRDT" else -value)

    def difference(self) -> Decimal | None:
        """Closing balance as told minus as computed; 0 when they agree, None when that cannot be known."""
        opening, closing = self.body["opening"], self.body["closing"]
        if opening is None or closing is None or not self._provable:
            return None
        currency = opening["amount"]["currency"]
        if closing["amount"]["currency"] != currency or not set(self._booked) <= {currency}:
            return None
        begin: Decimal = opening["amount"]["value"]
        end: Decimal = closing["amount"]["value"]
        return end - begin - self._booked.get(currency, Decimal(0))

    def prove(self) -> None:
        """Opening balance and booked entries must give the closing balance.

        Raises:
            Rejected: ``VAL420`` (they do not), ``VAL421`` (an entry's amount cannot be read, so nothing is proved).
        """
        if self.body["opening"] is None or self.body["closing"] is None:
            return
        if not self._provable:
            raise Rejected(
                "VAL421",
                f"{self.place}: an entry has no readable amount, so the balances cannot be proved",
                reason="AM10",
                place=self.place,
                hint="set `balances: ignore` to take the other entries",
            )
        difference = self.difference()
        if difference:
            currency = self.body["opening"]["amount"]["currency"]
            raise Rejected(
                "VAL420",
                f"{self.place}: opening balance and entries miss the closing balance by {difference:f} {currency}",
                reason="AM10",
                place=self.place,
                hint="ask the bank for a correct statement, or set `balances: ignore`",
            )


def _balance(node: Node, values: Values) -> dict[str, Any] | None:
    kind, text, currency, sign, when = (v.strip() for v in node.columns(*_BALANCE)(values))
    if kind not in (*_OPENING, *_CLOSING):
        return None
    value = amount(text, currency)
    signed = value if direction(sign) == "credit" else -value
    return {"amount": {"value": signed, "currency": currency}, "date": day(when) if when else "", "type": kind}


def _first(balances: list[dict[str, Any]], kinds: tuple[str, ...], currency: str) -> dict[str, Any] | None:
    """The first balance of the first kind that there is, in ``currency`` where one is."""
    for wanted in (currency, ""):
        for kind in kinds:
            for balance in balances:
                if balance["type"] == kind and wanted in ("", balance["amount"]["currency"]):
                    return balance
    return None


def _entry(node: Node) -> Entry:
    pick = node.columns(*_ENTRY)
    bank_code = _bank_code(node)
    inside = [_transaction(detail) for detail in node.all("NtryDtls/TxDtls") or node.all("TxDtls")]

    def read(record: Record, statement: Statement) -> dict[str, Any]:
        values = record.values
        reference, text, currency, sign, reversal, status, booked, valued, bank_reference = pick(values)
        value = amount(text, currency)
        flow = direction(sign)
        signed = value if flow == "credit" else -value
        is_reversal = flag(reversal) if reversal else False
        status = status.strip()
        unsigned = {"value": value, "currency": currency}
        # A transaction that is alone is worth what its entry is worth when it says nothing else.
        alone = unsigned if len(inside) + len(record.details) == 1 else None
        transactions = [transaction(values, alone, flow, is_reversal) for transaction in inside]
        for detail, detail_values in record.details:
            transactions.append(_planned(detail)(detail_values, alone, flow, is_reversal))
        entry = {
            "type": "entry",
            "statement_id": statement.body["id"],
            "account": statement.account,
            "reference": reference.strip(),
            "index": statement.body["entries"],
            "amount": unsigned,
            "direction": flow,
            "signed": {"value": signed, "currency": currency},
            "reversal": is_reversal,
            "status": status,
            "booking_date": day(booked) if booked else "",
            "value_date": day(valued) if valued else "",
            "bank_reference": bank_reference.strip(),
            "bank_transaction_code": bank_code(values),
            "transactions": transactions,
        }
        if status == "BOOK":
            statement.book(currency, signed)
        return entry

    return read


def _bank_code(node: Node) -> Callable[[Values], str]:
    """Reader of the bank transaction code: ``PMNT/RCDT/ESCT``, or the bank's own."""
    pick = node.columns(*_BANK_CODE)

    def read(values: Values) -> str:
        domain, family, sub, own = pick(values)
        return f"{domain.strip()}/{family.strip()}/{sub.strip()}" if domain else own.strip()

    return read


def _planned(node: Node) -> Transaction:
    if node.plan is None:
        node.plan = _transaction(node)
    found: Transaction = node.plan
    return found


def _transaction(node: Node) -> Transaction:
    """Reader of a ``TxDtls``: from values, amount for one that tells none, direction and reversal of the entry."""
    pick = node.columns(*_TRANSACTION)
    sides = {True: _party(node, "Dbtr"), False: _party(node, "Cdtr")}
    texts = remittance(node)

    def read(values: Values, worth: dict[str, Any] | None, flow: str, reversal: bool) -> dict[str, Any]:  # noqa: FBT001 - positional on the hot path
        end_to_end, instruction, transaction, text, currency, sign, reason = pick(values)
        if text:
            worth = {"value": amount(text, currency), "currency": currency}
        flow = direction(sign) if sign else flow
        # Debtor and creditor stay those of the original payment when a bank takes it back.
        return {
            "end_to_end_id": end_to_end.strip(),
            "instruction_id": instruction.strip(),
            "transaction_id": transaction.strip(),
            "amount": worth,
            "counterparty": sides[(flow == "credit") != reversal](values),
            "remittance": texts(values),
            "return_reason": reason.strip(),
        }

    return read


def _party(node: Node, side: str) -> Callable[[Values], dict[str, Any]]:
    at = f"RltdPties/{side}"
    pick = node.columns(f"{at}/Nm|{at}/Pty/Nm|{at}/Agt/FinInstnId/Nm", *account_paths(f"{at}Acct"))

    def read(values: Values) -> dict[str, Any]:
        name, iban, other = pick(values)
        return {"name": name.strip(), "account": account(iban, other)}

    return read


def entries(events: Iterable[Event], *, prove: bool) -> Iterator[Part]:
    """All entries of all statements of a message."""
    statement: Statement | None = None
    for event in events:
        if event.kind == "container":
            statement = _begun(event)
        elif statement is not None and event.kind == "records":
            for record in event.records:
                try:
                    yield Part(statement.read(record), record.place())
                except Rejected as error:
                    yield Part(None, record.place(), record.raw(), error)
        elif statement is not None and event.kind == "end" and prove:
            statement.prove()


def statements(events: Iterable[Event], *, prove: bool) -> Iterator[Part]:
    """All statements of a message, each when its last entry went by."""
    statement: Statement | None = None
    for event in events:
        if event.kind == "container":
            statement = _begun(event)
        elif statement is not None and event.kind == "records":
            for record in event.records:
                try:
                    statement.read(record)
                except Rejected:
                    if prove:
                        raise
        elif statement is not None and event.kind == "end":
            if prove:
                statement.prove()
            yield Part(statement.body, statement.place)


def _begun(event: Event) -> Statement:
    head = event.records[0]
    try:
        return Statement(head)
    except Rejected as error:
        raise placed(error, head.place()) from None
