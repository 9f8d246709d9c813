"""International entries (IAT): the addenda 10 to 16, which every one of them has, and their batch header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bus import Rejected
from transforms.nacha import records as r
from transforms.nacha.items import Item, ascii_text, refused


class Foreign(NamedTuple):
    """What international entries need besides the payment; see the spec."""

    gateway: str
    odfi: str
    bank_name: str
    bank_country: str
    exchange: str
    kind: str
    currency: str

    def places(self, receiver: Mapping[str, Any]) -> tuple[str]:
        """Country of the receiver's bank, which the batch header names."""
        agent = receiver.get("agent") or {}
        address = agent.get("address") or {}
        bic, country = str(agent.get("bic") or ""), str(address.get("country") or "")
        return (country or bic[4:6],)

    def header(self, places: tuple[str]) -> dict[str, Any]:
        """Fields of the batch header."""
        return {
            "exchange": self.exchange,
            "exchange_reference_kind": "3",
            "destination_country": places[0],
            "originating_currency": "USD",
            "destination_currency": self.currency,
        }


def foreign_addenda(payment: Item, options: Foreign) -> list[tuple[str, dict[str, Any]]]:
    """The addenda 10 to 16 of a payment.

    Raises:
        Rejected: ``VAL790`` for something that they cannot do without, ``VAL792`` for no gateway.
    """
    if not r.is_routing_number(options.gateway):
        hint = "write `international: {gateway: …}`, the routing number that the bank tells"
        raise Rejected("VAL792", f"payment {payment.number}: international entries need a gateway", hint=hint)
    number = payment.number
    if not options.bank_name:
        hint = "write `international: {bank_name: …}`"
        raise refused(number, "bank_name", "the name of the own bank is missing", hint)
    (country,) = options.places(payment.receiver)
    if len(country) != 2:
        raise _missing(number, "agent.address.country", "the country of the receiver's bank")
    sender, receiver = payment.originator, payment.receiver
    bank = receiver.get("agent") or {}
    kind, identification = _bank(bank)
    if not identification:
        raise _missing(number, "agent", "the BIC or number of the receiver's bank")
    amount = payment.amount if options.exchange == "FF" else 0
    return [
        ("10", {"kind": options.kind, "foreign_amount": amount, "receiver_name": _name(receiver, number)}),
        ("11", {"originator_name": _name(sender, number), "originator_street": _street(sender, number)}),
        ("12", {"originator_town": _town(sender, number), "originator_country": _country(sender, number)}),
        (
            "13",
            {
                "odfi_name": options.bank_name,
                "odfi_id_kind": "01",
                "odfi_id": options.odfi,
                "odfi_country": options.bank_country,
            },
        ),
        (
            "14",
            {
                "rdfi_name": ascii_text(bank.get("name") or identification, number, "agent.name"),
                "rdfi_id_kind": kind,
                "rdfi_id": ascii_text(identification, number, "agent"),
                "rdfi_country": country,
            },
        ),
        (
            "15",
            {
                "receiver_id": ascii_text(payment.body.get("end_to_end_id"), number, "end_to_end_id"),
                "receiver_street": _street(receiver, number),
            },
        ),
        ("16", {"receiver_town": _town(receiver, number), "receiver_country": _country(receiver, number)}),
    ]


def _missing(number: int, field: str, what: str) -> Rejected:
    return refused(number, field, f"{what} is missing, which international entries need")


def _bank(bank: Mapping[str, Any]) -> tuple[str, str]:
    """Qualifier and number of a bank: 02 BIC, 01 number of a national clearing system."""
    other = bank.get("other") or {}
    if bank.get("bic"):
        return "02", str(bank["bic"])
    return "01", str(bank.get("member_id") or other.get("id") or "")


def _name(party: Mapping[str, Any], number: int) -> str:
    text = ascii_text(party.get("name"), number, "name")
    if not text:
        raise _missing(number, "name", "a name")
    return text


def _address(party: Mapping[str, Any]) -> Mapping[str, Any]:
    address = party.get("address")
    return address if isinstance(address, Mapping) else {}


def _street(party: Mapping[str, Any], number: int) -> str:
    address = _address(party)
    text = ascii_text(
        f"{address.get('building') or ''} {address.get('street') or ''}".strip(), number, "address.street"
    )
    if not text:
        raise _missing(number, "address.street", "the street of a party")
    return text


def _town(party: Mapping[str, Any], number: int) -> str:
    town, state = (ascii_text(_address(party).get(n), number, f"address.{n}") for n in ("town", "subdivision"))
    if not town:
        raise _missing(number, "address.town", "the town of a party")
    return f"{town}*{state}\\"


def _country(party: Mapping[str, Any], number: int) -> str:
    country, postcode = (ascii_text(_address(party).get(n), number, f"address.{n}") for n in ("country", "postcode"))
    if len(country) != 2:
        raise _missing(number, "address.country", "the country of a party")
    return f"{country}*{postcode}\\"
