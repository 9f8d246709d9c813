"""Accounts and remittance information, which statements and payments spell alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import Rejected
from transforms.iso20022.forms import reader
from transforms.iso20022.party_forms import REMITTANCE
from transforms.iso20022.shapes import Node, Values

_KIND = ("Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry")
_PLAIN = {"Ustrd", *(f"Strd/CdtrRefInf/{name}" for name in ("Ref", *_KIND))}


def account(iban: str, other: str, currency: str = "") -> dict[str, Any] | None:
    """``{"iban": …}`` or ``{"other": …}``, with the account's currency where it is known; None for no account."""
    iban, other, currency = iban.strip(), other.strip(), currency.strip()
    if not iban and not other:
        return None
    found = {"iban": iban} if iban else {"other": other}
    if currency:
        found["currency"] = currency
    return found


def account_paths(at: str) -> tuple[str, str]:
    """Paths of the IBAN and of any other identification of the account element ``at``, in all versions."""
    return f"{at}/Id/IBAN", f"{at}/Id/Othr/Id|{at}/Id/BBAN|{at}/Id/UPIC|{at}/Id/PrtryAcct/Id"


def remittance(node: Node) -> Callable[[Values], dict[str, Any]]:
    """A reader of the ``RmtInf`` below ``node``: ``unstructured`` texts, ``structured`` references with their type."""
    texts = [found.text for found in node.all("RmtInf/Ustrd")]
    structured = [
        found.columns(reference, kind)
        for strd in node.all("RmtInf/Strd")
        for name, reference, kind in (
            ("CdtrRefInf", "Ref|CdtrRef", "Tp/CdOrPrtry/Cd|Tp/CdOrPrtry/Prtry|CdtrRefTp/Cd|CdtrRefTp/Prtry"),
            ("RfrdDocInf", "Nb|RfrdDocNb", "Tp/CdOrPrtry/Cd|Tp/CdOrPrtry/Prtry|RfrdDocTp/Cd|RfrdDocTp/Prtry"),
        )
        for found in strd.all(name)
    ]
    if not structured and not node.all("RmtInf/Strd"):
        return lambda values: {"unstructured": [values[index].strip() for index in texts], "structured": []}
    (whole,) = node.all("RmtInf")[:1]
    if not _PLAIN.issuperset(whole.leaves()):
        read_all = reader(REMITTANCE, whole)
        nothing: dict[str, Any] = {"unstructured": [], "structured": []}
        return lambda values: nothing | (read_all(values) if read_all is not None else {})

    def read(values: Values) -> dict[str, Any]:
        pairs = [pick(values) for pick in structured]
        return {
            "unstructured": [values[index].strip() for index in texts],
            "structured": [{"reference": r.strip(), "type": t.strip()} for r, t in pairs if r.strip()],
        }

    return read


def placed(error: Rejected, place: str) -> Rejected:
    """The same refusal with the place where it happened."""
    return Rejected(
        error.code,
        f"{place}: {error.message}",
        hint=error.hint,
        reason=error.reason,
        place=place,
        findings=error.findings,
    )
