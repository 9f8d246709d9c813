"""Reads camt.052, camt.053 and camt.054: canonical statements and entries, balances proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from bus import Finding, Part, Rejected
from transforms.iso20022.forms import reader
from transforms.iso20022.opening import Opening
from transforms.iso20022.parties import account, account_paths, placed
from transforms.iso20022.shapes import Node, Values, walk
from transforms.iso20022.statement_forms import ENTRY, STATEMENT, STATEMENT_ACCOUNT
from transforms.iso20022.stream import Event, Record
from transforms.iso20022.transactions import batches_differ, code_of, difference, planned, transaction
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
_BALANCE = (
    "Tp/CdOrPrtry/Cd|Tp/CdOrPrtry/Prtry|Tp/Cd|Tp/Prtry",
    "Amt",
    "Amt@Ccy",
    "CdtDbtInd",
    "Dt/Dt|Dt/DtTm|Dt",
    "Tp/SubTp/Cd|Tp/SubTp/Prtry",
)
_KINDS = {"Stmt": "statement", "Rpt": "report", "Ntfctn": "notification"}
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
_NAMES = {"all": "entries", "credits": "credits", "debits": "debits"}
_MOST_FINDINGS = 1_000
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)

Entry = Callable[[Record, "Statement"], dict[str, Any]]


class Statement:
    """One statement while its entries go by.

    Attributes:
        body: the canonical statement; ``entries`` is their number so far.
        account: its account, shared by its entries.
        findings: what is odd about it so far, but no reason to refuse it.
    """

    def __init__(self, head: Record) -> None:
        """From the head of a ``Stmt``, ``Rpt`` or ``Ntfctn``.

        Raises:
            Rejected: a balance or date in it cannot be read.
        """
        self.place = head.place()
        self._booked: dict[str, Decimal] = {}
        self._provable = True
        self.findings: list[Finding] = []
        self._counted: dict[str, list[Any]] = {name: [0, Decimal(0)] for name in _NAMES}
        node, values = head.node, head.values
        pick = node.columns(*_STATEMENT)
        name, number_text, created, begins, ends, iban, other, currency, owner = (v.strip() for v in pick(values))
        every = [found for bal in node.all("Bal") if (found := _balance(bal, values))]
        balances = [balance for balance in every if balance["type"] in (*_OPENING, *_CLOSING)]
        currency = currency or (every[0]["amount"]["currency"] if every else "")
        self.account: dict[str, Any] = account(iban, other) or {}
        self.account["currency"] = currency
        opening = _first(balances, _OPENING, "")
        self.body: dict[str, Any] = {
            "type": "statement",
            "kind": _KINDS.get(node.name, ""),
            "id": name,
            "sequence_number": int(number_text) if number_text.isascii() and number_text.isdigit() else None,
            "account": self._whole_account(head, owner),
            "from": moment(begins),
            "to": moment(ends),
            "created": moment(created),
            "opening": opening,
            "closing": _first(balances, _CLOSING, opening["amount"]["currency"] if opening else ""),
            "balances": every,
            "entries": 0,
        }
        rest = reader(STATEMENT, node)
        if rest is not None:
            self.body |= _signed_summary(rest(values))
        self._declared: dict[str, Any] | None = self.body.get("summary")

    def _whole_account(self, head: Record, owner: str) -> dict[str, Any]:
        """The account with what its entries do not repeat; its own name stands for the owner's where there is none."""
        rest = reader(STATEMENT_ACCOUNT, head.node)
        found = rest(head.values) if rest is not None else {}
        if head.node.index("Acct/Ownr/Nm|Acct/Ownr/Pty/Nm") < 0:
            found.pop("name", None)
        return {**self.account, **found, "owner": owner} if owner else {**self.account, **found}

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

    def count(self, value: Decimal | None, sign: str) -> None:
        """Count an entry towards the totals that the bank declares, where it does."""
        if self._declared is None:
            return
        for name in ("all", "credits" if sign == "CRDT" else "debits"):
            counted = self._counted[name]
            counted[0] += 1
            counted[1] += value or Decimal(0)

    def compare(self, entry: dict[str, Any], record: Record) -> None:
        """Note when the transactions of an entry tell amounts that do not sum up to the entry's."""
        total = Decimal(0)
        for one in entry["transactions"]:
            worth = one["amount"]
            if worth is None or worth["currency"] != entry["amount"]["currency"]:
                return
            total += worth["value"] if "direction" not in one else -worth["value"]
        self.note(difference(entry["amount"]["value"], total, entry["amount"]["currency"], record))

    def note(self, found: Finding | None) -> None:
        """Keep what was found, where anything was."""
        if found is not None:
            self.findings.append(found)

    def final_findings(self) -> Iterator[Finding]:
        """What of the declared totals (``TxsSummry``) is not so, and that balances of two currencies prove nothing."""
        opening, closing = self.body["opening"], self.body["closing"]
        if opening is not None and closing is not None:
            told = [opening["amount"]["currency"], closing["amount"]["currency"], *self._booked]
            others = sorted({currency for currency in told if currency != told[0]})
            if others:
                text = f"balances and entries are in {told[0]} and {', '.join(others)}, so they prove nothing"
                yield Finding("VAL646", "warning", self.place, text)
        for name, (entries, total) in self._counted.items() if self._declared else ():
            told = (self._declared or {}).get(name, {})
            if told.get("entries", entries) != entries:
                text = f"TxsSummry declares {told['entries']} {_NAMES[name]}, there are {entries}"
                yield Finding("VAL643", "warning", self.place, text)
            if told.get("total", total) != total:
                text = f"TxsSummry: the sum of {_NAMES[name]} differs by {told['total'] - total:f}"
                yield Finding("VAL643", "warning", self.place, text)

    def absorb(self, rest: Statement) -> None:
        """Count what somebody else has read of the same statement."""
        for currency, signed in rest._booked.items():
            self.book(currency, signed)
        self._provable = self._provable and rest._provable

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
    """A balance; one that nothing is proved by is left out when it cannot be read."""
    kind, text, currency, sign, when, sub = (v.strip() for v in node.columns(*_BALANCE)(values))
    try:
        value = amount(text, currency)
        signed = value if direction(sign) == "credit" else -value
        date = day(when) if when else ""
    except Rejected:
        if kind in (*_OPENING, *_CLOSING):
            raise
        return None
    balance = {"amount": {"value": signed, "currency": currency}, "date": date, "type": kind}
    return balance | {"sub_type": sub} if sub else balance


def _signed_summary(found: dict[str, Any]) -> dict[str, Any]:
    """Declared totals with the net amount as one signed number."""
    summary = found.get("summary", {})
    if summary.pop("sign", "credit") == "debit" and "net" in summary:
        summary["net"] = -summary["net"]
    return found


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
    rest = _rest_of_entry(node)
    inside = [transaction(detail) for detail in node.all("NtryDtls/TxDtls") or node.all("TxDtls")]

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
            transactions.append(planned(detail)(detail_values, alone, flow, is_reversal))
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
        if rest is not None:
            entry |= rest(values)
        if transactions:
            if entry.get("batches"):
                statement.note(batches_differ(record, [b.get("count") for b in entry["batches"]], len(transactions)))
            worth = transactions[0]["amount"]
            if alone is None or (worth is not unsigned and (worth != unsigned or "direction" in transactions[0])):
                statement.compare(entry, record)
        if status == "BOOK":
            statement.book(currency, signed)
        statement.count(value, sign)
        return entry

    return read


def _rest_of_entry(node: Node) -> Callable[[Values], dict[str, Any]] | None:
    """Reader of what few entries have; the transaction code apart where the bank tells its own beside ISO's."""
    has_own = node.index("BkTxCd/Prtry/Cd") >= 0
    form = tuple(f for f in ENTRY if f.key != "code" or has_own)
    read = reader(form, node)
    if read is None:
        return None

    def rest(values: Values) -> dict[str, Any]:
        found = read(values)
        code = found.pop("code", None)
        if code and code.get("own") and (code.get("issuer") or code.get("domain")):
            found["bank_code"] = code_of(code)
        return found

    return rest


def _bank_code(node: Node) -> Callable[[Values], str]:
    """Reader of the bank transaction code: ``PMNT/RCDT/ESCT``, or the bank's own."""
    pick = node.columns(*_BANK_CODE)

    def read(values: Values) -> str:
        domain, family, sub, own = pick(values)
        return f"{domain.strip()}/{family.strip()}/{sub.strip()}" if domain else own.strip()

    return read


class Run:
    """The statements of a message one after the other, and their findings."""

    def __init__(self, findings: list[Finding], *, prove: bool) -> None:
        self.statement: Statement | None = None
        self._findings, self._prove = findings, prove
        self._message_id = ""

    def see(self, event: Event) -> Statement | None:
        """Take an event; the statement that it ended, proved where that is wanted."""
        if event.kind == "message":
            node, values = walk(Opening.group_header(event.records[0].element))
            self._message_id = values[node.index("MsgId|GrpId")].strip()
        elif event.kind == "container":
            head = event.records[0]
            try:
                self.statement = Statement(head)
            except Rejected as error:
                raise placed(error, head.place()) from None
            if self._message_id:
                self.statement.body["message_id"] = self._message_id
        elif event.kind == "end" and self.statement is not None:
            statement = self.statement
            room = _MOST_FINDINGS - len(self._findings)
            self._findings += [*statement.findings, *statement.final_findings()][: max(room, 0)]
            if self._prove:
                statement.prove()
            return statement
        return None


def entries(events: Iterable[Event], findings: list[Finding], *, prove: bool) -> Iterator[Part]:
    """All entries of all statements of a message."""
    run = Run(findings, prove=prove)
    for event in events:
        run.see(event)
        if run.statement is not None and event.kind == "records":
            for record in event.records:
                try:
                    yield Part(run.statement.read(record), record.place())
                except Rejected as error:
                    yield Part(None, record.place(), record.raw(), error)


def statements(events: Iterable[Event], findings: list[Finding], *, prove: bool) -> Iterator[Part]:
    """All statements of a message, each when its last entry went by."""
    run = Run(findings, prove=prove)
    for event in events:
        ended = run.see(event)
        if run.statement is not None and event.kind == "records":
            for record in event.records:
                try:
                    run.statement.read(record)
                except Rejected:
                    if prove:
                        raise
        if ended is not None:
            yield Part(ended.body, ended.place)
