"""Who takes part: parties with their identifiers and addresses, accounts, banks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transforms.canonical.shape import Currency, Shape


class Identifier(Shape):
    """A number by which somebody or something is known to an issuer."""

    id: str
    """The number itself."""
    scheme: str = ""
    """What it is: ``TXID``, ``CUST``, ``SEPA``, ``NIDN`` …"""
    issuer: str = ""
    """Who gave it."""


class Birth(Shape):
    """Where and when a person was born."""

    date: str = ""
    """Day."""
    province: str = ""
    """Province."""
    city: str = ""
    """City."""
    country: str = ""
    """ISO 3166 code."""


class Contact(Shape):
    """How to reach a party."""

    name: str = ""
    """Who to ask for."""
    phone: str = ""
    """``+49-2211234``"""
    mobile: str = ""
    """Mobile phone."""
    fax: str = ""
    """Fax."""
    email: str = ""
    """E-mail address."""
    job_title: str = ""
    """Job title."""
    department: str = ""
    """Department."""


class Address(Shape):
    """A postal address: structured, or hybrid with town, country and at most two lines."""

    type: str = ""
    """``ADDR``, ``HOME``, ``BIZZ`` …"""
    care_of: str = Field("", max_length=140)
    """Who takes the post in."""
    department: str = Field("", max_length=70)
    """Department."""
    sub_department: str = Field("", max_length=70)
    """Part of the department."""
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
    building_name: str = Field("", max_length=35)
    """Name of the building."""
    floor: str = Field("", max_length=70)
    """Floor."""
    unit: str = Field("", max_length=16)
    """Number of the unit in the building."""
    room: str = Field("", max_length=70)
    """Room."""
    post_box: str = Field("", max_length=16)
    """Post office box."""
    town_location: str = Field("", max_length=35)
    """Part of the town."""
    district: str = Field("", max_length=35)
    """District of the country subdivision."""
    subdivision: str = Field("", max_length=35)
    """State, province, canton."""
    lines: tuple[Annotated[str, Field(max_length=70)], ...] = Field((), max_length=7)
    """Free lines; how many of them a bank takes, and beside which fields, is said by its profile."""


class Agent(Shape):
    """A bank."""

    bic: str = ""
    """BIC of 8 or 11 characters (ISO 9362)."""
    lei: str = ""
    """Legal entity identifier (ISO 17442)."""
    clearing_system: str = ""
    """``USABA``, ``GBDSC``, ``CHBCC`` …: where ``member_id`` is known."""
    member_id: str = ""
    """Routing number of the bank in its clearing system."""
    name: str = ""
    """Name."""
    address: Address | None = None
    """Postal address."""
    other: Identifier | None = None
    """Any other number of the bank."""
    branch: str = ""
    """Number of the branch."""
    account: Account | None = None
    """Account of this bank at the next one, of intermediary banks."""


class Account(Shape):
    """An account, by IBAN or by another number."""

    iban: str | None = None
    """IBAN in electronic form."""
    other: str | None = None
    """Any other account number, where the country has no IBAN."""
    scheme: str = ""
    """What the other number is: ``BBAN``, ``CUID`` …"""
    issuer: str = ""
    """Who gave the other number."""
    kind: str = ""
    """``CACC``, ``SVGS`` …"""
    currency: Currency | Literal[""] | None = None
    """Currency of the account; empty where a statement does not tell it."""
    name: str = ""
    """Name of the account, beside that of its owner."""
    proxy: Identifier | None = None
    """Alias that stands for the account, such as a telephone number."""
    owner: str | None = None
    """Name of the account's owner, in statements."""
    servicer: Agent | None = None
    """Bank that keeps the account, in statements."""

    @model_validator(mode="after")
    def _one_number(self) -> Account:
        if self.iban and self.other:
            raise ValueError("an account has either `iban` or `other`")
        return self


class Party(Shape):
    """Debtor or creditor of an order."""

    name: str
    """Name."""
    account: Account | None = None
    """Account that is debited or credited."""
    agent: Agent | None = None
    """Bank of the account."""
    address: Address | None = None
    """Postal address."""
    country: str = ""
    """Country of residence, ISO 3166."""
    bic: str = ""
    """The party's own BIC (AnyBIC)."""
    lei: str = ""
    """Legal entity identifier (ISO 17442)."""
    organisation_ids: tuple[Identifier, ...] = ()
    """Numbers of an organisation."""
    private_ids: tuple[Identifier, ...] = ()
    """Numbers of a person; not beside those of an organisation."""
    birth: Birth | None = None
    """Birth of a person."""
    contact: Contact | None = None
    """How to reach the party."""


class Counterparty(Shape):
    """Anybody else who takes part, known by as little as the message tells."""

    name: str = ""
    """Name."""
    account: Account | None = None
    """Account."""
    agent: Agent | None = None
    """Bank of the account."""
    address: Address | None = None
    """Postal address."""
    country: str = ""
    """Country of residence, ISO 3166."""
    bic: str = ""
    """The party's own BIC (AnyBIC)."""
    lei: str = ""
    """Legal entity identifier (ISO 17442)."""
    organisation_ids: tuple[Identifier, ...] = ()
    """Numbers of an organisation."""
    private_ids: tuple[Identifier, ...] = ()
    """Numbers of a person; not beside those of an organisation."""
    birth: Birth | None = None
    """Birth of a person."""
    contact: Contact | None = None
    """How to reach the party."""
