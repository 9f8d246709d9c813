"""What is said of payments afterwards: status, return, cancellation and the answer to it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transforms.canonical.orders import Charge
from transforms.canonical.parties import Counterparty, Identifier
from transforms.canonical.remittance import Remittance
from transforms.canonical.shape import Amount, Shape

Level = Literal["group", "payment-information", "transaction"]
Verification = Literal["", "match", "mixed", "close-match", "no-match", "not-possible", "incomplete"]


class PaymentStatus(Shape):
    """What a bank says of a payment, of a payment information block or of a whole message."""

    type: Literal["payment-status"] = "payment-status"
    level: Level
    """What it is said of."""
    status: str = Field(pattern=r"^[A-Z0-9]{1,4}$")
    """``ACTC``, ``ACCP``, ``ACSC``, ``PDNG``, ``RJCT``, ``RCVC``, ``RVNM`` …"""
    verification: Verification = ""
    """Result of the verification of payee: RCVC is ``match``, RVMC ``close-match``, RVNM ``no-match``, RVNA
    ``not-possible``, RCVM ``mixed`` (of a group: not all match), RVNC ``incomplete``; empty for any other status."""
    reason: str = ""
    """First reason code, such as ``AC04``."""
    additional: tuple[str, ...] = ()
    """Further reason codes and texts."""
    report_id: str = ""
    """MsgId of the report."""
    excepted_payments: tuple[str, ...] = ()
    """Of a block or message: EndToEndIds of the payments of which the same report says something else."""
    excepted_blocks: tuple[str, ...] = ()
    """Of a message: PmtInfIds of the blocks of which the same report says something else."""
    status_id: str = ""
    """The bank's id of this status."""
    original_message_id: str = ""
    """MsgId of the order."""
    original_message_name: str = ""
    """Name of the order's message, such as ``pain.001.001.09``."""
    original_payment_information_id: str = ""
    """PmtInfId in the order."""
    original_end_to_end_id: str = ""
    """EndToEndId of the payment."""
    original_instruction_id: str = ""
    """InstrId of the payment."""
    original_transaction_id: str = ""
    """The banks' own id of the payment."""
    original_uetr: str = ""
    """UETR of the payment."""
    original_count: int | None = None
    """Number of payments in the order or block."""
    original_total: str = ""
    """Their control sum, as told."""
    accepted: str = ""
    """When the bank accepted it, day and time."""
    effective: str = ""
    """Day from which the status holds."""
    bank_reference: str = ""
    """The account servicer's reference."""
    clearing_reference: str = ""
    """Reference of the clearing system."""
    amount: Amount | None = None
    """Amount of the payment."""
    creditor: Counterparty | None = None
    """Who is paid; in a verification of payee the name as the bank knows it may stand among ``additional``."""
    debtor: Counterparty | None = None
    """Who pays."""
    execution_date: str = ""
    """Day of execution that the order asked for."""


class PaymentReturn(Shape):
    """A payment that comes back (pacs.004)."""

    type: Literal["return"] = "return"
    id: str = ""
    """Id of the return."""
    message_id: str = ""
    """MsgId of the message of returns."""
    amount: Amount
    """What comes back."""
    original_amount: Amount | None = None
    """What had been paid."""
    settlement_date: str = ""
    """Day on which it goes between the banks."""
    reason: str = ""
    """First reason code, such as ``AC04``."""
    additional: tuple[str, ...] = ()
    """Further reason codes and texts."""
    originator: str = ""
    """Name or BIC of who sends it back."""
    charge_bearer: str = ""
    """Who bears the charges."""
    charges: tuple[Charge, ...] = ()
    """Charges of the banks on the way back."""
    original_message_id: str = ""
    """MsgId of the payment's message."""
    original_message_name: str = ""
    """Its name, such as ``pacs.008.001.08``."""
    original_end_to_end_id: str = ""
    """EndToEndId of the payment."""
    original_instruction_id: str = ""
    """InstrId of the payment."""
    original_transaction_id: str = ""
    """The banks' own id of the payment."""
    original_uetr: str = ""
    """UETR of the payment."""
    original_settlement_date: str = ""
    """Day on which it had gone between the banks."""
    debtor: Counterparty | None = None
    """Who had paid."""
    creditor: Counterparty | None = None
    """Who had been paid."""
    remittance: Remittance = Remittance()
    """What it had been for."""


class Cancellation(Shape):
    """A request to cancel (camt.055, camt.056) or to reverse (pain.007) what was sent before."""

    type: Literal["cancellation"] = "cancellation"
    action: Literal["cancel", "reverse"] = "cancel"
    """What is asked for."""
    level: Level
    """What it is asked for: a message, a block of it, or one payment."""
    id: str = ""
    """Id of this request for one payment; derived when empty."""
    message_id: str = ""
    """Id of the message of requests."""
    case: Identifier | None = None
    """Number of the case and who opened it (``issuer``)."""
    assigner: Counterparty | None = None
    """Who sends the request."""
    assignee: Counterparty | None = None
    """Who shall act on it."""
    originator: Counterparty | None = None
    """Who wants the payment cancelled."""
    reason: str = ""
    """First reason code, such as ``DUPL`` or ``CUST``."""
    additional: tuple[str, ...] = ()
    """Further texts."""
    original_message_id: str = ""
    """MsgId of the order."""
    original_message_name: str = ""
    """Name of the order's message."""
    original_created: str = ""
    """When the order was made."""
    original_payment_information_id: str = ""
    """PmtInfId of the block."""
    original_instruction_id: str = ""
    """InstrId of the payment."""
    original_end_to_end_id: str = ""
    """EndToEndId of the payment."""
    original_transaction_id: str = ""
    """The banks' own id of the payment."""
    original_uetr: str = ""
    """UETR of the payment."""
    original_count: int | None = None
    """Number of payments in the order or block."""
    original_total: str = ""
    """Their control sum, as told."""
    amount: Amount | None = None
    """Amount of the payment."""
    reversed_amount: Amount | None = None
    """What shall go back, of a reversal."""
    execution_date: str = ""
    """Day of execution or settlement that the payment has."""
    debtor: Counterparty | None = None
    """Who pays."""
    creditor: Counterparty | None = None
    """Who is paid."""


class CancellationStatus(Shape):
    """The answer to a request to cancel (camt.029)."""

    type: Literal["cancellation-status"] = "cancellation-status"
    level: Level | Literal["case"]
    """What it is said of; ``case`` for the investigation as a whole."""
    status: str = Field(pattern=r"^[A-Z0-9]{1,4}$")
    """``CNCL``, ``RJCR``, ``PDCR``, ``PECR``, ``UWFW`` of a case; ``ACCR``, ``RJCR``, ``PDCR`` of a payment …"""
    outcome: Literal["", "cancelled", "refused", "pending", "partly"] = ""
    """What it means for the payment; empty for a code without such a meaning."""
    reason: str = ""
    """First reason code, such as ``AM04`` or ``CUST``."""
    additional: tuple[str, ...] = ()
    """Further reason codes and texts."""
    report_id: str = ""
    """Id of the answer."""
    case: Identifier | None = None
    """Number of the case and who opened it (``issuer``)."""
    assigner: Counterparty | None = None
    """Who answers."""
    assignee: Counterparty | None = None
    """Who is answered."""
    status_id: str = ""
    """The bank's id of this status."""
    original_message_id: str = ""
    """MsgId of the order."""
    original_message_name: str = ""
    """Name of the order's message."""
    original_payment_information_id: str = ""
    """PmtInfId of the block."""
    original_instruction_id: str = ""
    """InstrId of the payment."""
    original_end_to_end_id: str = ""
    """EndToEndId of the payment."""
    original_transaction_id: str = ""
    """The banks' own id of the payment."""
    original_uetr: str = ""
    """UETR of the payment."""
    amount: Amount | None = None
    """Amount of the payment."""
    execution_date: str = ""
    """Day of execution or settlement that the payment has."""
