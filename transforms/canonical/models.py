"""The canonical shapes as pydantic models: for JSON Schema, documentation and checks on request, never per message."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
"""ISO 8601 day, such as ``2026-11-24``."""
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
"""ISO 4217 alphabetic code."""


class Shape(BaseModel):
    """Base of the canonical shapes: frozen, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Amount(Shape):
    """Exact money."""

    value: Decimal
    """Exact value in the currency's main unit; unsigned except where a field says signed."""
    currency: Currency
    """ISO 4217 code."""


class Account(Shape):
    """An account, by IBAN or by another number."""

    iban: str | None = None
    """IBAN in electronic form."""
    other: str | None = None
    """Any other account number, where the country has no IBAN."""
    currency: Currency | None = None
    """Currency of the account."""
    owner: str | None = None
    """Name of the account's owner, in statements."""

    @model_validator(mode="after")
    def _one_number(self) -> Account:
        if self.iban and self.other:
            raise ValueError("an account has either `iban` or `other`")
        return self


class Agent(Shape):
    """A bank."""

    bic: str
    """BIC of 8 or 11 characters (ISO 9362)."""


class Address(Shape):
    """A postal address: structured, or hybrid with town, country and at most two lines."""

    country: str | None = None
    """ISO 3166 code of two letters."""
    town: str | None = Field(None, max_length=35)
    """Town."""
    postcode: str | None = Field(None, max_length=16)
    """Postcode."""
    street: str | None = Field(None, max_length=70)
    """Street."""
    building: str | None = Field(None, max_length=16)
    """Number of the building."""
    lines: tuple[Annotated[str, Field(max_length=70)], ...] = Field((), max_length=7)
    """Free lines; at most two where the address is sent to a bank."""


class Party(Shape):
    """Debtor or creditor of a payment."""

    name: str
    """Name."""
    account: Account | None = None
    """Account that is debited or credited."""
    agent: Agent | None = None
    """Bank of the account."""
    address: Address | None = None
    """Postal address."""


class Reference(Shape):
    """A structured reference."""

    reference: str = Field(max_length=35)
    """The reference itself."""
    type: str = ""
    """What it is: ``SCOR`` for a creditor reference, ``CINV`` for an invoice number …"""


class Remittance(Shape):
    """What a payment is for."""

    unstructured: tuple[str, ...] = ()
    """Free text, each at most 140 characters."""
    structured: tuple[Reference, ...] = ()
    """References that the creditor's system reads."""


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
    amount: Amount
    """What is paid, above zero."""
    execution_date: Day
    """Day on which the debtor's bank shall execute."""
    service_level: str = ""
    """``SEPA``, ``URGP`` …"""
    local_instrument: str = ""
    """``INST`` for instant payments …"""
    charge_bearer: Literal["", "SLEV", "SHAR", "DEBT", "CRED"] = ""
    """Who bears the charges."""
    category_purpose: str = ""
    """``SUPP``, ``SALA`` …"""
    purpose: str = ""
    """Purpose code for the creditor."""
    remittance: Remittance = Remittance()
    """What the payment is for."""
    message_id: str = ""
    """MsgId of the pain.001 that it was read from."""
    payment_information_id: str = ""
    """PmtInfId of the block that it was read from."""
    instruction_id: str = ""
    """InstrId that it was read with."""
    uetr: str = ""
    """Unique end-to-end transaction reference that it was read with."""


class PaymentStatus(Shape):
    """What a bank says of a payment, of a payment information block or of a whole message."""

    type: Literal["payment-status"] = "payment-status"
    level: Literal["group", "payment-information", "transaction"]
    """What it is said of."""
    status: str = Field(pattern=r"^[A-Z0-9]{1,4}$")
    """``ACTC``, ``ACCP``, ``ACSC``, ``PDNG``, ``RJCT``, ``RCVC``, ``RVNM`` …"""
    reason: str = ""
    """First reason code, such as ``AC04``."""
    additional: tuple[str, ...] = ()
    """Further reason codes and texts."""
    report_id: str = ""
    """MsgId of the report."""
    original_message_id: str = ""
    """MsgId of the pain.001."""
    original_payment_information_id: str = ""
    """PmtInfId in the pain.001."""
    original_end_to_end_id: str = ""
    """EndToEndId of the payment."""
    original_instruction_id: str = ""
    """InstrId of the payment."""


class Balance(Shape):
    """A balance of a statement."""

    amount: Amount
    """Signed: below zero when the account is overdrawn."""
    date: str
    """Day of the balance; empty when not told."""
    type: str
    """``OPBD``, ``PRCD`` or ``CLBD``."""


class Statement(Shape):
    """An account statement without its entries."""

    type: Literal["statement"] = "statement"
    id: str
    """The bank's id of the statement."""
    sequence_number: int | None = None
    """Number in the bank's sequence; gaps are missing statements."""
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
    entries: int = Field(ge=0)
    """Number of entries."""


class Counterparty(Shape):
    """The other side of a booked transaction."""

    name: str = ""
    """Name."""
    account: Account | None = None
    """Account."""


class EntryTransaction(Shape):
    """One transaction that an entry booked."""

    end_to_end_id: str = ""
    """EndToEndId of the payment."""
    instruction_id: str = ""
    """InstrId of the payment."""
    transaction_id: str = ""
    """The banks' own id."""
    amount: Amount | None = None
    """Amount; None when a batch does not tell it."""
    counterparty: Counterparty = Counterparty()
    """The other side; of a reversal, the other side of the original payment."""
    remittance: Remittance = Remittance()
    """What it was for."""
    return_reason: str = ""
    """Why it came back, such as ``AC04``."""


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
    transactions: tuple[EntryTransaction, ...] = ()
    """What the entry consists of."""


MODEL_TYPES: dict[str, type[Shape]] = {
    "payment": PaymentInstruction,
    "payment-status": PaymentStatus,
    "statement": Statement,
    "entry": StatementEntry,
}
"""Name of a model -> its class."""


def json_schema(model: str) -> dict[str, Any]:
    """The JSON Schema of a model, for editors and documentation."""
    return MODEL_TYPES[model].model_json_schema(by_alias=True)
