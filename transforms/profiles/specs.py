"""What is written in a profile file: the rules of a scheme or bank for payments, edition by edition."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bus import FieldPath, Size, Spec, minor_units
from bus import Rejected as NotACurrency

Verdict = Literal["allow", "warn", "reject"]
Severity = Literal["error", "warning", "info"]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Length = Annotated[int, Field(ge=1, le=10_000)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Alternatives = Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z_]+)*( *\| *[a-z_]+(\.[a-z_]+)*)*$")]
"""Paths of fields, one of which has to have a value: ``creditor.agent.bic | creditor.agent.clearing.id``."""


def _zone(value: Any) -> str:
    from transforms.profiles.calendars import zone  # noqa: PLC0415 - reads the time zones of the system

    return zone(str(value)).key


def _calendar(value: Any) -> str:
    from transforms.profiles.calendars import calendar  # noqa: PLC0415 - loads `holidays` for those that are named

    return calendar(str(value), ()).name


Zone = Annotated[str, BeforeValidator(_zone)]
"""Name of a time zone in the IANA database."""
CalendarName = Annotated[str, BeforeValidator(_calendar)]
"""Name of a calendar."""


class LengthsSpec(Spec):
    """Longest texts in characters, counted after they were brought into the character set; nothing is ever cut off."""

    name: Length | None = None
    """Name of a party."""
    street: Length | None = None
    """Street of an address."""
    building: Length | None = None
    """Number of the building."""
    postcode: Length | None = None
    """Postcode."""
    town: Length | None = None
    """Town."""
    line: Length | None = None
    """One free line of an address."""
    text: Length | None = None
    """One unstructured remittance text."""
    reference: Length | None = None
    """One structured reference."""
    account: Length | None = None
    """An account number that is no IBAN."""


class AddressSpec(Spec):
    """What kinds of addresses are taken; from which day on is said by the edition that says it.

    *structured*: fields only, with town and country. *hybrid*: town and country in their fields, and free lines beside
    them. *unstructured*: anything else, such as free lines alone. *none*: no address.
    """

    none: Verdict = "allow"
    """A party without an address."""
    structured: Verdict = "allow"
    """Fields only."""
    hybrid: Verdict = "allow"
    """Town and country in their fields, the rest in lines."""
    unstructured: Verdict = "allow"
    """Lines only, or fields without town and country."""
    half: Verdict = "allow"
    """A country without a town or a town without a country."""
    repeated: Verdict = "allow"
    """A hybrid address whose lines say town or country again."""
    lines: int = Field(7, ge=0, le=7)
    """Most free lines of an unstructured address."""
    hybrid_lines: int = Field(2, ge=0, le=7)
    """Most free lines of a hybrid address."""


class CodeSpec(Spec):
    """A code of the payment: which are allowed, and what is written where the payment names none."""

    allowed: tuple[str, ...] = ()
    """Codes that may stand there; empty = any."""
    default: str = ""
    """Written where the payment has none."""
    required: bool = False
    """Without a code, or with an empty one, the payment is refused."""

    @model_validator(mode="after")
    def _the_default_is_allowed(self) -> CodeSpec:
        if self.default and self.allowed and self.default not in self.allowed:
            raise PydanticCustomError("VAL713", "the default `{code}` is not among the allowed", {"code": self.default})
        return self


class AmountSpec(Spec):
    """Bounds of one payment in a currency, both of them allowed."""

    least: Decimal | None = Field(default=None, ge=0)
    """Smallest amount."""
    most: Decimal | None = Field(default=None, gt=0)
    """Largest amount."""

    @model_validator(mode="after")
    def _in_order(self) -> AmountSpec:
        if self.least is not None and self.most is not None and self.most < self.least:
            raise PydanticCustomError("VAL713", "`most` is below `least`")
        return self


class AccountsSpec(Spec):
    """How accounts are written, and in which countries they may be."""

    debtor: Literal["any", "iban", "other"] = "any"
    """``iban``, ``other`` (a number that is no IBAN) or ``any``."""
    creditor: Literal["any", "iban", "other"] = "any"
    """Likewise."""
    countries: tuple[Country, ...] = ()
    """Countries of IBANs that are taken; empty = all."""
    bic_needed: tuple[Country, ...] = ()
    """Countries of IBANs beside which the BIC of the bank is needed."""
    routing: Literal["any", "usaba"] = "any"
    """``usaba``: where banks are named by ``agent.member_id``, it has to be a US routing number."""
    national_check: bool = False
    """Also prove the check digits that a country has inside its accounts, as Belgium, France, Italy or Norway do."""


class IdentifiersSpec(Spec):
    """Form of the references that travel with a payment (end-to-end id, instruction id, mandate)."""

    longest: Length = 35
    """Characters at most."""
    slashes: Literal["any", "inside"] = "any"
    """``inside``: no ``/`` at either end and no ``//``, which MT messages cannot carry."""
    creditor_id: Literal["any", "sepa"] = "any"
    """``sepa``: the creditor's identifier of a direct debit has the form and check digits of SEPA (AT-02)."""


class RemittanceSpec(Spec):
    """How much may be said about what a payment is for."""

    texts: int | None = Field(default=None, ge=0)
    """Most unstructured texts."""
    references: int | None = Field(default=None, ge=0)
    """Most structured references."""
    both: bool = True
    """Whether texts and references may stand beside each other."""


class CutOffSpec(Spec):
    """Time of day until which payments of a kind are executed the same day; the first that fits counts."""

    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """Time of day on the clock of ``zone``; what comes at that very minute is late."""
    zone: Zone
    """Time zone such as ``Europe/Berlin``."""
    currency: Currency | Literal[""] = ""
    """Only for this currency; empty = any."""
    service_level: str = ""
    """Only for this service level; empty = any."""
    local_instrument: str = ""
    """Only for this local instrument; empty = any."""
    days_before: int = Field(0, ge=0, le=30)
    """Business days before the execution date on which this time counts."""


class ExecutionSpec(Spec):
    """On which days, and until when, a payment can be executed."""

    calendar: CalendarName = "none"
    """``ECB`` (TARGET), ``FED``, ``SIX`` and other markets, a country such as ``GB`` or ``DE-BY``; ``none`` = every
    day."""
    closed: tuple[date, ...] = ()
    """Further days on which nothing is executed."""
    cut_offs: tuple[CutOffSpec, ...] = ()
    """Cut-off times."""
    roll: Literal["next", "warn", "refuse"] = "warn"
    """A closed day, a day that is over, or a time after the cut-off: written for the next day that is possible, told as
    a warning, or refused."""
    most_days_ahead: int | None = Field(default=None, ge=0)
    """How many days ahead a payment may be ordered."""
    zone: Zone = "UTC"
    """Time zone whose day is today for payments that no cut-off is for."""


class FilesSpec(Spec):
    """How much goes into one file."""

    most_payments: int | None = Field(default=None, ge=1)
    """Payments in a file; more are refused."""
    most_in_block: int | None = Field(default=None, ge=1)
    """Payments in one block (``PmtInf``); what is more goes into the next block."""
    most_bytes: Size | None = None
    """Size of a file; a larger one is refused."""
    grouping: tuple[FieldPath, ...] = ()
    """Fields by which payments are kept in blocks of their own, beside those that a block shares anyway."""


class SeveritySpec(Spec):
    """How bad it is to break a rule; an ``error`` refuses the payment, a ``warning`` or ``info`` is told only."""

    characters: Severity = "error"
    """Characters outside of the set."""
    lengths: Severity = "error"
    """Texts that are too long."""
    accounts: Severity = "error"
    """Kind and country of accounts, missing BIC."""
    codes: Severity = "error"
    """Charge bearer, service level, local instrument, purposes, sequence type."""
    amounts: Severity = "error"
    """Currency and bounds of the amount."""
    remittance: Severity = "error"
    """Number of texts and references."""
    identifiers: Severity = "error"
    """Form of references."""
    required: Severity = "error"
    """Fields without a value."""


class RulesSpec(Spec):
    """The rules of one edition; what is not said is not restricted."""

    characters: Literal["sepa-latin", "latin-extended", "swift-x", "ascii", "any"] | None = None
    """Character set of all texts; nothing = the one that the format has by itself."""
    conversion: Literal["transliterate", "refuse"] = "transliterate"
    """Characters outside of the set: brought into it (``ü`` becomes ``u``), or refused."""
    lengths: LengthsSpec = LengthsSpec()
    """Longest texts."""
    address: AddressSpec = AddressSpec()
    """Addresses of debtor and creditor."""
    currencies: tuple[Currency, ...] = ()
    """Currencies that are paid; empty = all."""
    amounts: dict[Currency, AmountSpec] = Field(default_factory=dict)
    """Bounds of the amount by currency."""
    accounts: AccountsSpec = AccountsSpec()
    """Accounts of both sides."""
    identifiers: IdentifiersSpec = IdentifiersSpec()
    """References."""
    remittance: RemittanceSpec = RemittanceSpec()
    """Remittance information."""
    charge_bearer: CodeSpec = CodeSpec()
    """Who bears the charges."""
    service_level: CodeSpec = CodeSpec()
    """Service level."""
    local_instrument: CodeSpec = CodeSpec()
    """Local instrument."""
    category_purpose: CodeSpec = CodeSpec()
    """Category purpose."""
    purpose: CodeSpec = CodeSpec()
    """Purpose."""
    sequence_type: CodeSpec = CodeSpec()
    """Sequence type of a direct debit."""
    required: tuple[Alternatives, ...] = ()
    """Fields that must have a value: ``creditor.agent.bic``, or alternatives with ``|`` between."""
    execution: ExecutionSpec = ExecutionSpec()
    """Execution date, calendar and cut-off."""
    files: FilesSpec = FilesSpec()
    """Blocks and files."""
    severity: SeveritySpec = SeveritySpec()
    """How bad a breach is, rule by rule; addresses and execution dates have their own words for it."""

    @field_validator("amounts")
    @classmethod
    def _known_currencies(cls, value: dict[str, AmountSpec]) -> dict[str, AmountSpec]:
        for currency in value:
            try:
                minor_units(currency)
            except NotACurrency:
                raise PydanticCustomError("VAL713", "`{it}` is no currency of ISO 4217", {"it": currency}) from None
        return value


class EditionSpec(Spec):
    """The rules from a day on. A later edition says only what it changes; lists are replaced whole."""

    valid_from: date | None = None
    """First day; only the first edition may leave it out, it is then valid since ever."""
    source: str = ""
    """Document that the rules are from."""
    rules: RulesSpec = RulesSpec()
    """The rules, or what of them changes."""


class ProfileSpec(Spec):
    """A profile, ``NAME.profile.yaml``: the rule book of a scheme or bank for the payments that are sent to it.

    ```yaml
    profile: house-bank
    summary: SEPA credit transfers as our house bank takes them
    extends: sepa-sct
    editions:
      - rules:
          characters: latin-extended
          execution:
            roll: next
            cut_offs: [{at: "14:30", zone: Europe/Berlin, currency: EUR}]
      - valid_from: 2027-03-01
        source: letter of the bank, 2026-10-12
        rules: {address: {unstructured: reject}}
    ```
    """

    profile: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the profile."""
    summary: str = ""
    """One sentence for people."""
    extends: str = ""
    """Profile whose rules hold where this one says nothing, each of its editions from its own day on."""
    model: Literal["", "payment", "direct-debit"] = ""
    """Canonical model that it is about; empty = the one of the extended profile, else ``payment``."""
    chosen_by: Literal["", "execution_date", "processing_date"] = ""
    """Day that chooses the edition: when the payment is to be executed, or when it is looked at. Empty = as in the
    extended profile, else ``execution_date``."""
    editions: tuple[EditionSpec, ...]
    """Editions, the oldest first."""

    @model_validator(mode="after")
    def _editions_in_order(self) -> ProfileSpec:
        if not self.editions:
            raise PydanticCustomError("VAL710", "a profile has at least one edition")
        days = [edition.valid_from for edition in self.editions]
        if None in days[1:]:
            raise PydanticCustomError("VAL710", "only the first edition may be without `valid_from`")
        known: list[Any] = [day for day in days if day is not None]
        if any(later <= earlier for earlier, later in pairwise(known)):
            raise PydanticCustomError("VAL710", "each edition begins after the one before it: sort by `valid_from`")
        return self
