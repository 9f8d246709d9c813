"""Columns of a DATEV booking batch: number, name, kind and width of each, and the key under which a booking has it.

Source: DATEV format description, category 21 (Buchungsstapel), version 13; header version 700.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "digits", "amount", "rate", "date", "day", "flag", "account"]


class Column(NamedTuple):
    """One column. ``width`` is most characters of a text, most digits before the point of an amount."""

    name: str
    kind: Kind = "text"
    width: int = 0
    key: str = ""


_FIRST = (
    Column("Umsatz (ohne Soll/Haben-Kz)", "amount", 10, "amount"),
    Column("Soll/Haben-Kennzeichen", "text", 1, "side"),
    Column("WKZ Umsatz", "text", 3, "currency"),
    Column("Kurs", "rate", 4, "exchange_rate"),
    Column("Basis-Umsatz", "amount", 10, "base_amount"),
    Column("WKZ Basis-Umsatz", "text", 3, "base_currency"),
    Column("Konto", "account", 9, "account"),
    Column("Gegenkonto (ohne BU-Schlüssel)", "account", 9, "contra_account"),
    Column("BU-Schlüssel", "text", 4, "tax_key"),
    Column("Belegdatum", "day", 4, "date"),
    Column("Belegfeld 1", "text", 36, "reference"),
    Column("Belegfeld 2", "text", 12, "reference_2"),
    Column("Skonto", "amount", 8, "discount"),
    Column("Buchungstext", "text", 60, "text"),
    Column("Postensperre", "flag", 1, "item_blocked"),
    Column("Diverse Adressnummer", "text", 9, "address_number"),
    Column("Geschäftspartnerbank", "digits", 3, "partner_bank"),
    Column("Sachverhalt", "digits", 2, "matter"),
    Column("Zinssperre", "flag", 1, "interest_blocked"),
    Column("Beleglink", "text", 210, "document_link"),
)
_COSTS = (
    Column("KOST1 - Kostenstelle", "text", 36, "cost_centre"),
    Column("KOST2 - Kostenstelle", "text", 36, "cost_object"),
    Column("Kost-Menge", "rate", 12, "cost_quantity"),
    Column("EU-Land u. UStID (Bestimmung)", "text", 15, "vat_id"),
    Column("EU-Steuersatz (Bestimmung)", "amount", 2, "eu_tax_rate"),
    Column("Abw. Versteuerungsart", "text", 1, "taxation"),
    Column("Sachverhalt L+L", "digits", 3),
    Column("Funktionsergänzung L+L", "digits", 3),
    Column("BU 49 Hauptfunktionstyp", "digits", 1),
    Column("BU 49 Hauptfunktionsnummer", "digits", 2),
    Column("BU 49 Funktionsergänzung", "digits", 3),
)
_LAST = (
    Column("Stück", "digits", 8, "pieces"),
    Column("Gewicht", "amount", 8, "weight"),
    Column("Zahlweise", "digits", 2),
    Column("Forderungsart", "text", 10),
    Column("Veranlagungsjahr", "digits", 4),
    Column("Zugeordnete Fälligkeit", "date", 8),
    Column("Skontotyp", "digits", 1),
    Column("Auftragsnummer", "text", 30, "order_number"),
    Column("Buchungstyp", "text", 2, "booking_type"),
    Column("USt-Schlüssel (Anzahlungen)", "digits", 2),
    Column("EU-Land (Anzahlungen)", "text", 2),
    Column("Sachverhalt L+L (Anzahlungen)", "digits", 3),
    Column("EU-Steuersatz (Anzahlungen)", "amount", 2),
    Column("Erlöskonto (Anzahlungen)", "digits", 8),
    Column("Herkunft-Kz", "text", 2),
    Column("Buchungs GUID", "text", 36, "id"),
    Column("KOST-Datum", "date", 8, "cost_date"),
    Column("SEPA-Mandatsreferenz", "text", 35, "mandate_id"),
    Column("Skontosperre", "flag", 1, "discount_blocked"),
    Column("Gesellschaftername", "text", 76),
    Column("Beteiligtennummer", "digits", 4),
    Column("Identifikationsnummer", "text", 11),
    Column("Zeichnernummer", "text", 20),
    Column("Postensperre bis", "date", 8, "item_blocked_until"),
    Column("Bezeichnung SoBil-Sachverhalt", "text", 30),
    Column("Kennzeichen SoBil-Buchung", "digits", 2),
    Column("Festschreibung", "flag", 1, "locked"),
    Column("Leistungsdatum", "date", 8, "service_date"),
    Column("Datum Zuord. Steuerperiode", "date", 8, "tax_date"),
    Column("Fälligkeit", "date", 8, "due_date"),
    Column("Generalumkehr (GU)", "text", 1, "general_reversal"),
    Column("Steuersatz", "amount", 2, "tax_rate"),
    Column("Land", "text", 2, "country"),
    Column("Abrechnungsreferenz", "text", 50, "settlement_reference"),
    Column("BVV-Position", "digits", 1),
    Column("EU-Land u. UStID (Ursprung)", "text", 15, "origin_vat_id"),
    Column("EU-Steuersatz (Ursprung)", "amount", 2, "origin_tax_rate"),
    Column("Abw. Skontokonto", "digits", 9, "discount_account"),
)


def _pairs(name: str, count: int, key: str) -> tuple[Column, ...]:
    return tuple(
        column
        for n in range(1, count + 1)
        for column in (
            Column(f"{name} - Art {n}", "text", 20, f"{key}_{n}_kind"),
            Column(f"{name} - Inhalt {n}", "text", 210, f"{key}_{n}"),
        )
    )


COLUMNS = (*_FIRST, *_pairs("Beleginfo", 8, "document_info"), *_COSTS, *_pairs("Zusatzinformation", 20, "note"), *_LAST)
"""All 125 columns in their order."""
VERSION = 13
REQUIRED = ("amount", "side", "account", "contra_account", "date")
SIDES = {"S": "debit", "H": "credit"}
"""Soll and Haben, as seen from the account in ``Konto``."""
