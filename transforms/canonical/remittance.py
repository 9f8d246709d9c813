"""What a payment is for, for people and for the creditor's system."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from transforms.canonical.parties import Counterparty
from transforms.canonical.shape import Amount, Shape


class Adjustment(Shape):
    """An amount by which what is paid differs from the document."""

    amount: Amount
    """Unsigned."""
    type: str = ""
    """Kind of discount or tax, where a document tells several."""
    direction: str = ""
    """``credit`` or ``debit``, of an adjustment."""
    reason: str = ""
    """Why, of an adjustment."""
    additional: str = ""
    """Further explanation, of an adjustment."""


class Reference(Shape):
    """A structured reference: a creditor reference or a document that is paid."""

    reference: str = Field("", max_length=35)
    """The reference itself; empty where the block tells amounts or texts only."""
    type: str = ""
    """What it is: ``SCOR`` for a creditor reference, ``CINV`` for an invoice number …"""
    issuer: str = ""
    """Who defines that type."""
    date: str = ""
    """Day of the document."""
    continues: bool = False
    """True when it stands in the same block (Strd) as the reference before."""
    due: Amount | None = None
    """Amount that the documents of the block ask for."""
    discounts: tuple[Adjustment, ...] = ()
    """Discounts that were taken."""
    credit_note: Amount | None = None
    """Amount of a credit note that was set off."""
    taxes: tuple[Adjustment, ...] = ()
    """Taxes in the amount."""
    adjustments: tuple[Adjustment, ...] = ()
    """Other differences."""
    remitted: Amount | None = None
    """Amount that is paid for the documents."""
    amounts: tuple[Adjustment, ...] = ()
    """Amounts of the documents by their type, as the newest versions tell them."""
    invoicer: Counterparty | None = None
    """Who issued the invoice, where it is not the creditor."""
    invoicee: Counterparty | None = None
    """Who the invoice was sent to, where it is not the debtor."""
    tax: dict[str, Any] | None = None
    """Tax remittance as the message has it, by element names (``TaxRmt``)."""
    garnishment: dict[str, Any] | None = None
    """Garnishment as the message has it, by element names (``GrnshmtRmt``)."""
    additional: tuple[str, ...] = ()
    """Further texts of the block."""


class Remittance(Shape):
    """What a payment is for."""

    unstructured: tuple[str, ...] = ()
    """Free text, each at most 140 characters; never joined, never cut."""
    structured: tuple[Reference, ...] = ()
    """References that the creditor's system reads."""
