"""``pain001_write`` and ``pain001_write_xsd``: canonical payments become one pain.001.001.09, validated or not.

Floor: the same payments put into a text template by Python; with validation, lxml parses and validates the finished
file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.measure import Measurement, Memory, seconds, told, workplace
from bench.payments import floor as validation
from bus.app import calm_collector
from bus.ports import WriteContext
from transforms.iso20022 import Iso20022Spec

_TEMPLATE = (
    "<CdtTrfTxInf><PmtId><EndToEndId>{end_to_end_id}</EndToEndId></PmtId>"
    '<Amt><InstdAmt Ccy="{amount[currency]}">{amount[value]}</InstdAmt></Amt>'
    "<Cdtr><Nm>{creditor[name]}</Nm></Cdtr><CdtrAcct><Id><IBAN>{creditor[account][iban]}</IBAN></Id></CdtrAcct>"
    "<RmtInf><Ustrd>{remittance[unstructured][0]}</Ustrd></RmtInf></CdtTrfTxInf>\n"
)


def payments(count: int) -> Iterator[dict[str, Any]]:
    """Canonical payments of one debtor account."""
    debtor = {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}, "agent": {"bic": "COBADEFFXXX"}}
    creditor = {
        "name": "Nordic Paper AB",
        "account": {"iban": "SE4550000000058398257466"},
        "agent": {"bic": "ESSESESSXXX"},
        "address": {"country": "SE", "town": "Stockholm", "postcode": "11122", "street": "Storgatan", "building": "1"},
    }
    for n in range(count):
        yield {
            "type": "payment",
            "id": f"P-{n}",
            "end_to_end_id": f"E2E-{n}",
            "invoice": f"INV-{n}",
            "debtor": debtor,
            "creditor": creditor,
            "amount": {"value": Decimal(n % 99_991 + 1) / 100, "currency": "EUR"},
            "execution_date": "2026-11-24",
            "service_level": "SEPA",
            "charge_bearer": "SLEV",
            "remittance": {"unstructured": [f"Invoice INV-{n}"], "structured": []},
        }


def write(target: Path, given: list[dict[str, Any]], validate: str) -> tuple[float, float]:
    """(seconds, peak growth in MB)."""
    form = Iso20022Spec.model_validate({"message": "pain.001.001.09", "validate": validate}).build()
    calm_collector()

    def work() -> None:
        with target.open("w+b") as out:
            form.write(given, out, WriteContext("ab" * 16, 1_795_420_800_000))

    with Memory() as memory:
        took = seconds(work)
    return took, memory.growth_mb


def formatting(target: Path, given: list[dict[str, Any]]) -> float:
    """Seconds that Python takes to put the payments into a template."""

    def work() -> None:
        with target.open("w", encoding="utf-8") as out:
            out.writelines(_TEMPLATE.format_map(payment) for payment in given)

    return seconds(work)


def main(name: str, count: int) -> None:
    """One round."""
    given = list(payments(count))
    with_schema = name == "pain001_write_xsd"
    with workplace() as folder:
        took, grown = write(folder / "out.xml", given, "strict" if with_schema else "off")
        below = validation(folder / "out.xml") if with_schema else formatting(folder / "floor.xml", given)
    rate = count / took
    told(
        Measurement(
            name,
            str(count),
            round(rate),
            "payments/s",
            round(took, 3),
            grown,
            round(count / below),
            round(below / took, 3),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
