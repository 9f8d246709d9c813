"""What a bank tells of an account: statements, their balances and entries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from transforms.canonical.orders import Charge
from transforms.canonical.parties import Account, Agent, Counterparty, Identifier
from transforms.canonical.remittance import Remittance
from transforms.canonical.shape import Amount, Exchange, Shape


class Balance(Shape):
    """A balance of a statement."""

    amount: Amount
    """Signed: below zero when the account is overdrawn."""
    date: str
    """Day of the balance; empty when not told."""
    type: str
    """``OPBD``, ``PRCD``, ``CLBD``; ``ITBD``, ``CLAV``, ``OPAV``, ``FWAV``, ``XPCD``, ``INFO`` or the bank's own."""
    sub_type: str = ""
    """Further kind of balance."""


class Count(Shape):
    """Number and sum of entries as the bank declares them."""

    entries: int | None = None
    """Number."""
    total: Decimal | None = None
    """Sum of the amounts, whatever the currency."""


class Summary(Shape):
    """Totals of a statement as the bank declares them."""

    all: Count | None = None
    """All entries."""
    credits: Count | None = None
    """Credits."""
    debits: Count | None = None
    """Debits."""
    net: Decimal | None = None
    """Signed difference of credits and debits."""


class Statement(Shape):
    """An account statement without its entries."""

    type: Literal["statement"] = "statement"
    kind: Literal["", "statement", "report", "notification"] = ""
    """Booked day (camt.053, MT940), report within the day (camt.052, MT942) or advice (camt.054)."""
    id: str
    """The bank's id of the statement."""
    message_id: str = ""
    """MsgId of the message that it was read from."""
    sequence_number: int | None = None
    """Number in the bank's sequence; gaps are missing statements."""
    legal_sequence_number: int | None = None
    """Number in the sequence of legal statements."""
    page: int | None = None
    """Page of a statement in several messages."""
    last_page: bool | None = None
    """Whether it is the last page; None when not told."""
    copy_kind: str = ""
    """``DUPL``, ``COPY`` or ``CODU`` when the bank sends it again."""
    account: Account
    """The account."""
    from_: str = Field("", alias="from")
    """Begin of the reported time, day or day and time; empty when not told."""
    to: str = ""
    """Its end."""
    created: str = ""
    """When the bank made it."""
    opening: Balance | None = None
    """Booked balance before the entries."""
    closing: Balance | None = None
    """Booked balance after them."""
    balances: tuple[Balance, ...] = ()
    """All balances in the order of the file, the two among them."""
    summary: Summary | None = None
    """Totals that the bank declares."""
    additional: str = ""
    """Further information in words."""
    entries: int = Field(ge=0)
    """Number of entries."""


class AmountDetail(Shape):
    """One of the amounts that a booking had on its way."""

    amount: Amount
    """Unsigned."""
    exchange: Exchange | None = None
    """How it was turned into the next one."""


class Amounts(Shape):
    """Amounts before charges and exchange."""

    instructed: AmountDetail | None = None
    """What was ordered."""
    transaction: AmountDetail | None = None
    """What went between the banks."""
    counter_value: AmountDetail | None = None
    """Value in the currency of the account."""
    announced: AmountDetail | None = None
    """What is to be posted."""


class Batch(Shape):
    """The block of orders that one entry books."""

    message_id: str = ""
    """MsgId of the order."""
    payment_information_id: str = ""
    """PmtInfId of the block."""
    count: int | None = None
    """Number of transactions."""
    total: Amount | None = None
    """Their sum, unsigned."""
    direction: Literal["", "credit", "debit"] = ""
    """Its direction."""


class BankCode(Shape):
    """What kind of transaction it is, in ISO's and in the bank's own code."""

    iso: str = ""
    """Domain, family and sub-family: ``PMNT/RCDT/ESCT``."""
    own: str = ""
    """The bank's own code."""
    issuer: str = ""
    """Who defines the bank's own code."""


class EntryTransaction(Shape):
    """One transaction that an entry booked."""

    end_to_end_id: str = ""
    """EndToEndId of the payment."""
    instruction_id: str = ""
    """InstrId of the payment."""
    transaction_id: str = ""
    """The banks' own id."""
    message_id: str = ""
    """MsgId of the order."""
    payment_information_id: str = ""
    """PmtInfId of the block."""
    uetr: str = ""
    """Unique end-to-end transaction reference."""
    bank_reference: str = ""
    """The account servicer's reference."""
    mandate_id: str = ""
    """Number of the mandate of a direct debit."""
    cheque_number: str = ""
    """Number of the cheque."""
    clearing_reference: str = ""
    """Reference of the clearing system."""
    own_references: tuple[Identifier, ...] = ()
    """Further references, ``scheme`` says of what kind."""
    amount: Amount | None = None
    """Amount; None when a batch does not tell it."""
    direction: Literal["", "credit", "debit"] = ""
    """Its direction where it is told apart from that of the entry."""
    amounts: Amounts | None = None
    """Amounts before charges and exchange."""
    charges: tuple[Charge, ...] = ()
    """Charges."""
    total_charges: Amount | None = None
    """Sum of charges and taxes, as told."""
    bank_code: BankCode | None = None
    """Its own transaction code."""
    counterparty: Counterparty = Counterparty()
    """The other side; of a reversal, the other side of the original payment."""
    own: Counterparty | None = None
    """The account's own side as the payment names it."""
    ultimate_debtor: Counterparty | None = None
    """On whose behalf it was paid."""
    ultimate_creditor: Counterparty | None = None
    """For whom it was."""
    initiating_party: Counterparty | None = None
    """Who sent the order."""
    intermediary_agents: tuple[Agent, ...] = ()
    """Banks between the two."""
    local_instrument: str = ""
    """``INST``, ``CORE`` …"""
    purpose: str = ""
    """Purpose code."""
    remittance: Remittance = Remittance()
    """What it was for."""
    tax: dict[str, Any] | None = None
    """Taxes that are paid with it, as the message has them, by element names (``Tax``)."""
    related_remittance: tuple[dict[str, Any], ...] = ()
    """How and where the remittance advice is sent, as the message has it (``RltdRmtInf``)."""
    settlement_date: str = ""
    """Day on which it went between the banks."""
    accepted: str = ""
    """When the debtor's bank accepted it."""
    return_reason: str = ""
    """Why it came back, such as ``AC04``."""
    return_additional: tuple[str, ...] = ()
    """Why it came back, in words."""
    return_originator: str = ""
    """Name or BIC of who sent it back."""
    return_original_code: BankCode | None = None
    """Transaction code of the payment that came back."""
    interest: tuple[dict[str, Any], ...] = ()
    """What of it is interest, as the message has it, by element names (``Intrst``)."""
    additional: str = ""
    """Further information in words."""


class StatementEntry(Shape):
    """One entry of a statement."""

    type: Literal["entry"] = "entry"
    statement_id: str
    """Id of the statement."""
    account: Account
    """The statement's account."""
    reference: str = ""
    """The bank's reference of the entry."""
    index: int = Field(ge=0)
    """Position in the statement, from 0."""
    amount: Amount
    """Unsigned."""
    direction: Literal["credit", "debit"]
    """Whether the account got or gave."""
    signed: Amount
    """The amount with sign: what it did to the balance."""
    reversal: bool = False
    """True when the entry takes an earlier one back; the direction is that of this entry."""
    status: str = "BOOK"
    """``BOOK``, ``PDNG``, ``INFO``, ``FUTR``."""
    booking_date: str = ""
    """Day on which it was booked; empty when not told."""
    value_date: str = ""
    """Day from which it bears interest; empty when not told."""
    bank_reference: str = ""
    """The account servicer's reference."""
    bank_transaction_code: str = ""
    """``PMNT/RCDT/ESCT``, or the bank's own code."""
    bank_code: BankCode | None = None
    """The same apart, where the bank tells its own code with an issuer or beside ISO's."""
    amounts: Amounts | None = None
    """Amounts before charges and exchange."""
    charges: tuple[Charge, ...] = ()
    """Charges."""
    total_charges: Amount | None = None
    """Sum of charges and taxes, as told."""
    batches: tuple[Batch, ...] = ()
    """Blocks of orders that it books in one sum."""
    transactions: tuple[EntryTransaction, ...] = ()
    """What the entry consists of."""
    interest: tuple[dict[str, Any], ...] = ()
    """What of it is interest, as the message has it, by element names (``Intrst``)."""
    additional: str = ""
    """Further information in words."""
