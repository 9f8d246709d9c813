"""The elements of pain.001 as text, in the order and with the names of a version, from checked canonical payments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

_CREDITOR_REFERENCES = ("RADM", "RPIN", "FXDR", "DISP", "PUOR", "SCOR")
_DOCUMENTS = (
    "MSIN",
    "CNFA",
    "DNFA",
    "CINV",
    "CREN",
    "DEBN",
    "HIRI",
    "SBIN",
    "CMCN",
    "SOAC",
    "BOLD",
    "VCHR",
    "AROI",
    "TSUT",
)
_ADDRESS = (("street", "StrtNm"), ("building", "BldgNb"), ("postcode", "PstCd"), ("town", "TwnNm"), ("country", "Ctry"))
# Of the SEPA character set and without a space at either end: nothing to convert, nothing to escape.
_SAFE = re.compile(r"[A-Za-z0-9/\-?:().,'+](?:[A-Za-z0-9/\-?:().,'+ ]*[A-Za-z0-9/\-?:().,'+])?")
_NO_BANK = "<Othr><Id>NOTPROVIDED</Id></Othr>"


class Elements:
    """Elements of one message version; every text goes through ``convert``, which may refuse it."""

    def __init__(self, message: str, convert: Callable[[str], str]) -> None:
        self._convert = convert
        self.has_uetr = message != "pain.001.001.03"
        self._bic = "BICFI" if self.has_uetr else "BIC"
        self._date = ("<Dt>", "</Dt>") if self.has_uetr else ("", "")

    def text(self, value: str) -> str:
        """A text as character data."""
        if _SAFE.fullmatch(value):
            return value
        return escape(self._convert(value.strip()))

    def party(self, tag: str, party: dict[str, Any]) -> str:
        """Name and address of a debtor or creditor."""
        address = self._address(party["address"]) if party.get("address") else ""
        return f"<{tag}><Nm>{self.text(party['name'])}</Nm>{address}</{tag}>"

    def account(self, tag: str, account: dict[str, Any]) -> str:
        """An account by IBAN or another number."""
        iban, currency = account.get("iban"), account.get("currency")
        number = f"<IBAN>{iban}</IBAN>" if iban else f"<Othr><Id>{self.text(account['other'])}</Id></Othr>"
        held_in = f"<Ccy>{self.text(currency)}</Ccy>" if currency else ""
        return f"<{tag}><Id>{number}</Id>{held_in}</{tag}>"

    def agent(self, tag: str, agent: dict[str, Any] | None, *, required: bool) -> str:
        """A bank by its BIC; one that is required and not known is told as NOTPROVIDED (EPC132-08)."""
        bic = agent.get("bic") if agent else ""
        if not bic and not required:
            return ""
        return f"<{tag}><FinInstnId>{f'<{self._bic}>{bic}</{self._bic}>' if bic else _NO_BANK}</FinInstnId></{tag}>"

    def execution_date(self, day: str) -> str:
        """The day on which the debtor's bank shall execute."""
        before, after = self._date
        return f"<ReqdExctnDt>{before}{day}{after}</ReqdExctnDt>"

    def payment_type(self, service_level: str, local_instrument: str, category_purpose: str) -> str:
        """Service level, local instrument and category purpose, as far as they are given."""
        inner = f"<SvcLvl><Cd>{service_level}</Cd></SvcLvl>" if service_level else ""
        if local_instrument:
            kind = (
                "Cd"
                if local_instrument.isupper() and local_instrument.isalpha() and len(local_instrument) <= 4
                else "Prtry"
            )
            inner += f"<LclInstrm><{kind}>{self.text(local_instrument)}</{kind}></LclInstrm>"
        inner += f"<CtgyPurp><Cd>{category_purpose}</Cd></CtgyPurp>" if category_purpose else ""
        return f"<PmtTpInf>{inner}</PmtTpInf>" if inner else ""

    def transaction(self, payment: dict[str, Any], identification: str, amount: str) -> str:
        """One credit transfer, on a line of its own."""
        creditor = payment["creditor"]
        purpose = payment.get("purpose")
        return (
            f"<CdtTrfTxInf><PmtId>{identification}</PmtId>"
            f'<Amt><InstdAmt Ccy="{payment["amount"]["currency"]}">{amount}</InstdAmt></Amt>'
            f"{self.agent('CdtrAgt', creditor.get('agent'), required=False)}"
            f"{self.party('Cdtr', creditor)}{self.account('CdtrAcct', creditor['account'])}"
            f"{f'<Purp><Cd>{purpose}</Cd></Purp>' if purpose else ''}"
            f"{self._remittance(payment.get('remittance'))}</CdtTrfTxInf>\n"
        )

    def _address(self, address: dict[str, Any]) -> str:
        inner = ""
        for key, tag in _ADDRESS:
            value = address.get(key)
            if value:
                inner += f"<{tag}>{self.text(value)}</{tag}>"
        for line in address.get("lines") or ():
            if line.strip():
                inner += f"<AdrLine>{self.text(line)}</AdrLine>"
        return f"<PstlAdr>{inner}</PstlAdr>" if inner else ""

    def _remittance(self, remittance: dict[str, Any] | None) -> str:
        if not remittance:
            return ""
        inner = ""
        for text in remittance.get("unstructured") or ():
            if text.strip():
                inner += f"<Ustrd>{self.text(text)}</Ustrd>"
        for item in remittance.get("structured") or ():
            inner += self._structured(item)
        return f"<RmtInf>{inner}</RmtInf>" if inner else ""

    def _structured(self, item: dict[str, Any]) -> str:
        kind, reference = item.get("type") or "", self.text(item["reference"])
        if kind in _DOCUMENTS:
            tag = f"<RfrdDocInf><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Nb>{reference}</Nb></RfrdDocInf>"
            return f"<Strd>{tag}</Strd>"
        code = f"<Cd>{kind}</Cd>" if kind in _CREDITOR_REFERENCES else f"<Prtry>{self.text(kind)}</Prtry>"
        which = f"<Tp><CdOrPrtry>{code}</CdOrPrtry></Tp>" if kind else ""
        return f"<Strd><CdtrRefInf>{which}<Ref>{reference}</Ref></CdtrRefInf></Strd>"
