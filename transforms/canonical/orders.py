"""What is asked of a bank: credit transfers and direct debits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from transforms.canonical.parties import Account, Agent, Counterparty, Identifier, Party
from transforms.canonical.remittance import Remittance
from transforms.canonical.shape import Amount, Day, Exchange, Shape

ChargeBearer = Literal["", "SLEV", "SHAR", "DEBT", "CRED"]


class ReportDetail(Shape):
    """One line of a report to an authority."""

    type: str = ""
    """Kind of report."""
    date: str = ""
    """Day."""
    country: str = ""
    """ISO 3166 code."""
    code: str = ""
    """What the payment is, in the authority's list."""
    amount: Amount | None = None
    """Amount to report."""
    texts: tuple[str, ...] = ()
    """Further information."""


class RegulatoryReport(Shape):
    """What an authority wants to know of a payment."""

    side: str = ""
    """``CRED``, ``DEBT`` or ``BOTH``: whose report it is."""
    authority: str = ""
    """Name of the authority."""
    country: str = ""
    """Its country, ISO 3166."""
    details: tuple[ReportDetail, ...] = ()
    """The report."""


class Instruction(Shape):
    """An instruction to a bank."""

    code: str = ""
    """``CHQB``, ``HOLD``, ``PHOB``, ``TELB`` …"""
    text: str = ""
    """In words."""


class Amendment(Shape):
    """What of a mandate changed since the last direct debit; empty fields did not change."""

    original_id: str = ""
    """The mandate's number before."""
    original_creditor_name: str = ""
    """The creditor's name before."""
    original_creditor_id: str = ""
    """The creditor identifier before."""
    original_debtor_account: Account | None = None
    """The debtor's account before."""
    original_debtor_agent: Agent | None = None
    """The debtor's bank before; ``other: {id: SMNDA}`` says that the account was changed."""


class Mandate(Shape):
    """The debtor's consent to direct debits."""

    id: str = ""
    """Number of the mandate."""
    signed: str = ""
    """Day of its signature."""
    amendment: Amendment | None = None
    """What changed since the last direct debit."""
    electronic_signature: str = ""
    """Proof of an electronic signature."""
    first_collection: str = ""
    """Day of the first direct debit."""
    last_collection: str = ""
    """Day of the last one."""
    frequency: str = ""
    """``MNTH``, ``YEAR`` …"""


class Charge(Shape):
    """One charge of a bank."""

    amount: Amount
    """Unsigned."""
    direction: str = ""
    """``debit`` (as when empty) or ``credit``."""
    included: bool | None = None
    """Whether the amount of the entry holds it already; None when not told."""
    type: str = ""
    """What it is for."""
    rate: Decimal | None = None
    """Per cent."""
    bearer: str = ""
    """Who bears it: ``SLEV``, ``SHAR``, ``DEBT``, ``CRED``."""
    agent: Agent | None = None
    """Bank that takes it."""


class PaymentInstruction(Shape):
    """A credit transfer to be made, one line of a payment run."""

    type: Literal["payment"] = "payment"
    id: str = ""
    """The ERP's own id of the payment."""
    end_to_end_id: str = ""
    """Reference that travels to the creditor; at most 35 characters; derived when empty."""
    invoice: str = ""
    """Invoice that is paid."""
    debtor: Party
    """Who pays."""
    creditor: Party
    """Who is paid."""
    ultimate_debtor: Counterparty | None = None
    """On whose behalf it is paid."""
    ultimate_creditor: Counterparty | None = None
    """For whom it is."""
    initiating_party: Counterparty | None = None
    """Who sends the order."""
    intermediary_agents: tuple[Agent, ...] = ()
    """Banks between the two, the debtor's side first; at most three."""
    amount: Amount
    """What is paid, above zero."""
    transfer_currency: str = ""
    """Currency in which the creditor gets it, where the amount says how much the debtor gives (equivalent amount)."""
    exchange: Exchange | None = None
    """Agreed exchange rate."""
    execution_date: Day
    """Day on which the debtor's bank shall execute."""
    method: str = ""
    """``TRF`` (as when empty), ``CHK`` or ``TRA``."""
    batch_booking: bool | None = None
    """Whether the debtor wants one entry for the block; None leaves it to the bank."""
    priority: str = ""
    """``HIGH`` or ``NORM``."""
    service_level: str = ""
    """``SEPA``, ``URGP`` …"""
    local_instrument: str = ""
    """``INST`` for instant payments …"""
    charge_bearer: ChargeBearer = ""
    """Who bears the charges."""
    charges_account: Account | None = None
    """Account that pays them, where it is another."""
    charges_agent: Agent | None = None
    """Its bank."""
    cheque: dict[str, Any] | None = None
    """How a cheque is made and delivered, as the message has it, by element names (``ChqInstr``)."""
    category_purpose: str = ""
    """``SUPP``, ``SALA`` …"""
    purpose: str = ""
    """Purpose code for the creditor."""
    instructions_for_creditor_agent: tuple[Instruction, ...] = ()
    """What the creditor's bank shall do."""
    instruction_for_debtor_agent: str = ""
    """What the debtor's bank shall do."""
    regulatory: tuple[RegulatoryReport, ...] = ()
    """Reports to authorities."""
    remittance: Remittance = Remittance()
    """What the payment is for."""
    tax: dict[str, Any] | None = None
    """Taxes that are paid with it, as the message has them, by element names (``Tax``)."""
    related_remittance: tuple[dict[str, Any], ...] = ()
    """How and where the remittance advice is sent, as the message has it (``RltdRmtInf``)."""
    message_id: str = ""
    """MsgId of the pain.001 that it was read from."""
    payment_information_id: str = ""
    """PmtInfId of the block that it was read from."""
    instruction_id: str = ""
    """InstrId that it was read with."""
    transaction_id: str = ""
    """The banks' own id (TxId), between banks."""
    clearing_reference: str = ""
    """Reference of the clearing system, between banks."""
    uetr: str = ""
    """Unique end-to-end transaction reference that it was read with."""
    charges: tuple[Charge, ...] = ()
    """Charges that banks took on the way, between banks."""
    settled: Amount | None = None
    """What goes between the banks, where the message says so (IntrBkSttlmAmt)."""
    settlement_date: str = ""
    """Day on which it goes between the banks."""


class DirectDebit(Shape):
    """An amount to be collected under a mandate, one line of a collection run."""

    type: Literal["direct-debit"] = "direct-debit"
    id: str = ""
    """The ERP's own id of the collection."""
    end_to_end_id: str = ""
    """Reference that travels to the debtor; at most 35 characters; derived when empty."""
    invoice: str = ""
    """Invoice that is collected."""
    creditor: Party
    """Who collects."""
    debtor: Party
    """Who pays."""
    ultimate_creditor: Counterparty | None = None
    """For whom it is collected."""
    ultimate_debtor: Counterparty | None = None
    """On whose behalf it is paid."""
    initiating_party: Counterparty | None = None
    """Who sends the order."""
    amount: Amount
    """What is collected, above zero."""
    collection_date: Day
    """Day on which the debtor's account shall be debited."""
    creditor_scheme_id: Identifier | None = None
    """The creditor identifier of the scheme (``scheme: SEPA``)."""
    mandate: Mandate = Mandate()
    """The debtor's consent."""
    sequence_type: Literal["", "FRST", "RCUR", "FNAL", "OOFF", "RPRE"] = ""
    """Which of the mandate's direct debits it is."""
    pre_notification: str = ""
    """Reference of the pre-notification."""
    pre_notification_date: str = ""
    """Its day."""
    batch_booking: bool | None = None
    """Whether the creditor wants one entry for the block; None leaves it to the bank."""
    priority: str = ""
    """``HIGH`` or ``NORM``."""
    service_level: str = ""
    """``SEPA`` …"""
    local_instrument: str = ""
    """``CORE`` or ``B2B``."""
    charge_bearer: ChargeBearer = ""
    """Who bears the charges."""
    charges_account: Account | None = None
    """Account that pays them, where it is another."""
    charges_agent: Agent | None = None
    """Its bank."""
    category_purpose: str = ""
    """Purpose for the banks."""
    purpose: str = ""
    """Purpose code for the debtor."""
    regulatory: tuple[RegulatoryReport, ...] = ()
    """Reports to authorities."""
    remittance: Remittance = Remittance()
    """What is collected for."""
    tax: dict[str, Any] | None = None
    """Taxes that are paid with it, as the message has them, by element names (``Tax``)."""
    related_remittance: tuple[dict[str, Any], ...] = ()
    """How and where the remittance advice is sent, as the message has it (``RltdRmtInf``)."""
    message_id: str = ""
    """MsgId of the pain.008 that it was read from."""
    payment_information_id: str = ""
    """PmtInfId of the block that it was read from."""
    instruction_id: str = ""
    """InstrId that it was read with."""
    uetr: str = ""
    """Unique end-to-end transaction reference that it was read with."""
