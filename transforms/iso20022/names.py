"""Names of the ISO 20022 messages that girobus reads and writes: families, versions, element names, namespaces."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One message in all its versions.

    Attributes:
        name: the first two parts of the message name, such as ``camt.053``.
        message: element below ``Document``.
        container: element that groups the records: a statement, a payment information block; empty when they stand
            in the message element.
        record: element that is counted: an entry, a transaction.
        detail: element of which one record may have thousands; empty for none.
        kind: what ``bus inspect`` calls such a file.
        each: names that :meth:`bus.ports.Document.parts` takes, the usual one first.
    """

    name: str
    message: str
    container: str
    record: str
    detail: str
    kind: str
    each: tuple[str, ...]


_ACCOUNT = ("entries", "statements")
FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family("camt.052", "BkToCstmrAcctRpt", "Rpt", "Ntry", "TxDtls", "report", _ACCOUNT),
        Family("camt.053", "BkToCstmrStmt", "Stmt", "Ntry", "TxDtls", "statement", _ACCOUNT),
        Family("camt.054", "BkToCstmrDbtCdtNtfctn", "Ntfctn", "Ntry", "TxDtls", "notification", _ACCOUNT),
        Family("pain.001", "CstmrCdtTrfInitn", "PmtInf", "CdtTrfTxInf", "", "payments", ("payments",)),
        Family("pain.002", "CstmrPmtStsRpt", "OrgnlPmtInfAndSts", "TxInfAndSts", "", "status", ("statuses",)),
        Family("pain.008", "CstmrDrctDbtInitn", "PmtInf", "DrctDbtTxInf", "", "payments", ("payments",)),
        Family("pain.007", "CstmrPmtRvsl", "", "OrgnlPmtInfAndRvsl", "", "cancellation", ("cancellations",)),
        Family("pacs.002", "FIToFIPmtStsRpt", "", "TxInfAndSts", "", "status", ("statuses",)),
        Family("pacs.004", "PmtRtr", "", "TxInf", "", "returns", ("returns",)),
        Family("pacs.008", "FIToFICstmrCdtTrf", "", "CdtTrfTxInf", "", "payments", ("payments",)),
        Family("camt.029", "RsltnOfInvstgtn", "", "CxlDtls", "", "status", ("statuses",)),
        Family("camt.055", "CstmrPmtCxlReq", "", "Undrlyg", "", "cancellation", ("cancellations",)),
        Family("camt.056", "FIToFIPmtCxlReq", "", "Undrlyg", "", "cancellation", ("cancellations",)),
    )
}
BY_ELEMENT: dict[str, Family] = {f.message: f for f in FAMILIES.values()}

_CAMT = ("camt.029", "camt.052", "camt.053", "camt.054", "camt.055", "camt.056", "camt.060")
_PACS = ("pacs.002", "pacs.004", "pacs.008", "pacs.009")
_PAIN = ("pain.001", "pain.002", "pain.007", "pain.008")
MESSAGES = (*_CAMT, "head.001", *_PACS, *_PAIN, "remt.001")
"""All messages that girobus has XML Schemas of (``versions.csv``); those of :data:`FAMILIES` have a canonical shape."""

WRITABLE = {
    "pain.001": "pain.001.001.09",
    "pain.002": "pain.002.001.10",
    "pain.007": "pain.007.001.08",
    "pain.008": "pain.008.001.08",
    "camt.029": "camt.029.001.09",
    "camt.052": "camt.052.001.08",
    "camt.053": "camt.053.001.08",
    "camt.054": "camt.054.001.08",
    "camt.055": "camt.055.001.08",
    "camt.056": "camt.056.001.08",
}
"""Messages that are written from canonical bodies, in every version that there is a schema of -> the usual version."""
USUAL = "records"
"""The ``each`` that means the usual records of whatever message a file turns out to be."""

_ISO = "urn:iso:std:iso:20022:tech:xsd:"
_NAME = re.compile(r"(?:pain|camt|pacs|head|remt)\.\d{3}(\.\d{3}\.\d{2})?")
_IN_NAMESPACE = re.compile(r"((?:pain|camt|pacs|head|remt)\.\d{3}\.\d{3}\.\d{2})(?!\d)")


def namespace(message: str) -> str:
    """The XML namespace of a message, as ISO 20022 defines it."""
    return _ISO + message


def known(name: str) -> bool:
    """Whether a name such as ``camt.053`` or ``pain.001.001.09`` is of a message that girobus has XML Schemas of."""
    return bool(_NAME.fullmatch(name)) and name[:8] in MESSAGES


def message_of(uri: str) -> tuple[str, bool]:
    """Message name that an XML namespace speaks of, and whether the namespace is ISO's own.

    Banks and clearing houses publish variants such as ``http://www.six-interbank-clearing.com/de/pain.001.001.03.ch.02.xsd``.
    ``("", False)`` when there is no message name in it.
    """
    found = _IN_NAMESPACE.search(uri)
    if not found:
        return "", False
    return found[1], uri == _ISO + found[1]
