"""The elements of pain.001 as text, in the order and with the names of a version, from checked canonical payments."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Any
from xml.sax.saxutils import escape

from transforms.iso20022.forms import Write, known, writer
from transforms.iso20022.model import model, type_at
from transforms.iso20022.party_forms import ACCOUNT, AGENT, PARTY
from transforms.iso20022.payment_forms import CREDIT_TRANSFER
from transforms.iso20022.pen import TextPen

_ADDRESS = (("street", "StrtNm"), ("building", "BldgNb"), ("postcode", "PstCd"), ("town", "TwnNm"), ("country", "Ctry"))
# Of the SEPA character set and without a space at either end: nothing to convert, nothing to escape.
_SAFE = re.compile(r"[A-Za-z0-9/\-?:().,'+](?:[A-Za-z0-9/\-?:().,'+ ]*[A-Za-z0-9/\-?:().,'+])?")
_PLAIN = frozenset(
    {
        "type",
        "id",
        "end_to_end_id",
        "invoice",
        "debtor",
        "creditor",
        "amount",
        "execution_date",
        "service_level",
        "local_instrument",
        "charge_bearer",
        "category_purpose",
        "purpose",
        "remittance",
        "message_id",
        "payment_information_id",
        "instruction_id",
        "uetr",
    }
)
"""Fields of a payment that stand in the block or are written here; one with others is written by its form."""
_PLAIN_PARTY = frozenset({"name", "account", "agent", "address"})
_PLAIN_ACCOUNT = frozenset({"iban", "other", "currency"})
_PLAIN_AGENT = frozenset({"bic"})
_PLAIN_ADDRESS = frozenset({*(key for key, _ in _ADDRESS), "lines"})
_PLAIN_REFERENCE = frozenset({"reference", "type"})
_IN_THE_BLOCK = ("service_level", "local_instrument", "category_purpose", "charge_bearer", "priority")
_WRITTEN_APART = ("instruction_id", "end_to_end_id", "uetr", "transaction_id", "clearing_reference")
_NO_BANK = "<Othr><Id>NOTPROVIDED</Id></Othr>"


class Elements:
    """Elements of one message version; every text goes through the pen, which may refuse it."""

    def __init__(self, pen: TextPen) -> None:
        """For the message of a pen."""
        self._pen, self._convert = pen, pen.convert
        self._again = lru_cache(maxsize=32_768)(self.text)  # the same suppliers are paid again and again
        self._message = known(model(pen.message).root.type, "CstmrCdtTrfInitn")
        block = known(self._message, "PmtInf")
        structured = known(block, "CdtTrfTxInf/RmtInf/Strd")
        self.has_uetr = type_at(block, "CdtTrfTxInf/PmtId/UETR") is not None
        self._bic = "BICFI" if type_at(block, "DbtrAgt/FinInstnId/BICFI") else "BIC"
        self._date = ("<Dt>", "</Dt>") if known(block, "ReqdExctnDt").elements else ("", "")
        self._documents = frozenset(known(structured, "RfrdDocInf/Tp/CdOrPrtry/Cd").simple.codes)
        self._references = frozenset(known(structured, "CdtrRefInf/Tp/CdOrPrtry/Cd").simple.codes)

    @cached_property
    def _by_form(self) -> dict[str, Write]:
        """Writers for what is not plain."""
        forms = {
            "PmtInf/Dbtr": PARTY,
            "PmtInf/DbtrAcct": ACCOUNT,
            "PmtInf/DbtrAgt": AGENT,
            "PmtInf/ChrgsAcct": ACCOUNT,
            "PmtInf/ChrgsAcctAgt": AGENT,
            "PmtInf/CdtTrfTxInf": CREDIT_TRANSFER,
            "PmtInf/CdtTrfTxInf/Cdtr": PARTY,
            "PmtInf/CdtTrfTxInf/CdtrAcct": ACCOUNT,
            "PmtInf/CdtTrfTxInf/CdtrAgt": AGENT,
            "GrpHdr/InitgPty": PARTY,
        }
        return {at.rpartition("/")[2]: writer(form, known(self._message, at), self._pen) for at, form in forms.items()}

    def element(self, tag: str, of: dict[str, Any] | None) -> str:
        """A party, account or bank with all that it has; nothing where there is none."""
        return f"<{tag}>{self._by_form[tag](of)}</{tag}>" if of else ""

    def text(self, value: str) -> str:
        """A text as character data."""
        if _SAFE.fullmatch(value):
            return value
        return escape(self._convert(value.strip()))

    def party(self, tag: str, party: dict[str, Any]) -> str:
        """Name and address of a debtor or creditor."""
        address = party.get("address")
        if not (party.keys() <= _PLAIN_PARTY and (not address or address.keys() <= _PLAIN_ADDRESS)):
            return self.element(tag, party)
        address = self._address(address) if address else ""
        return f"<{tag}><Nm>{self._again(party['name'])}</Nm>{address}</{tag}>"

    def account(self, tag: str, account: dict[str, Any]) -> str:
        """An account by IBAN or another number."""
        if not account.keys() <= _PLAIN_ACCOUNT:
            return self.element(tag, account)
        iban, currency = account.get("iban"), account.get("currency")
        number = f"<IBAN>{iban}</IBAN>" if iban else f"<Othr><Id>{self.text(account['other'])}</Id></Othr>"
        held_in = f"<Ccy>{self.text(currency)}</Ccy>" if currency else ""
        return f"<{tag}><Id>{number}</Id>{held_in}</{tag}>"

    def agent(self, tag: str, agent: dict[str, Any] | None, *, required: bool) -> str:
        """A bank by its BIC; one that is required and not known is told as NOTPROVIDED (EPC132-08)."""
        if agent and not agent.keys() <= _PLAIN_AGENT:
            return self.element(tag, agent)
        bic = agent.get("bic") if agent else ""
        if not bic and not required:
            return ""
        return f"<{tag}><FinInstnId>{f'<{self._bic}>{bic}</{self._bic}>' if bic else _NO_BANK}</FinInstnId></{tag}>"

    def execution_date(self, day: str) -> str:
        """The day on which the debtor's bank shall execute."""
        before, after = self._date
        return f"<ReqdExctnDt>{before}{day}{after}</ReqdExctnDt>"

    def payment_type(self, service_level: str, local_instrument: str, category_purpose: str, priority: str = "") -> str:
        """Priority, service level, local instrument and category purpose, as far as they are given."""
        inner = f"<InstrPrty>{priority}</InstrPrty>" if priority else ""
        inner += f"<SvcLvl><Cd>{service_level}</Cd></SvcLvl>" if service_level else ""
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
        """One plain credit transfer, on a line of its own."""
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

    @staticmethod
    def is_plain(payment: dict[str, Any]) -> bool:
        """Whether :meth:`transaction` writes all that a payment has beside debtor, creditor and what a block says."""
        if not payment.keys() <= _PLAIN:
            return False
        remittance = payment.get("remittance")
        structured = remittance.get("structured") if remittance else None
        return not structured or all(item.keys() <= _PLAIN_REFERENCE for item in structured)

    def whole_transaction(self, payment: dict[str, Any], identification: str) -> str:
        """A credit transfer with fields that few have, by its form; the ids are those that a plain one has."""
        rest = {name: value for name, value in payment.items() if name not in _IN_THE_BLOCK}
        if payment.get("transfer_currency"):
            rest["equivalent"] = rest.pop("amount")
        for name in _WRITTEN_APART:
            rest.pop(name, None)
        inner = self._by_form["CdtTrfTxInf"](rest)
        return f"<CdtTrfTxInf><PmtId>{identification}</PmtId>{inner}</CdtTrfTxInf>\n"

    def _address(self, address: dict[str, Any]) -> str:
        inner = ""
        for key, tag in _ADDRESS:
            value = address.get(key)
            if value:
                inner += f"<{tag}>{self._again(value)}</{tag}>"
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
        if kind in self._documents:
            tag = f"<RfrdDocInf><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Nb>{reference}</Nb></RfrdDocInf>"
            return f"<Strd>{tag}</Strd>"
        code = f"<Cd>{kind}</Cd>" if kind in self._references else f"<Prtry>{self.text(kind)}</Prtry>"
        which = f"<Tp><CdOrPrtry>{code}</CdOrPrtry></Tp>" if kind else ""
        return f"<Strd><CdtrRefInf>{which}<Ref>{reference}</Ref></CdtrRefInf></Strd>"
