"""Forms of parties, accounts, banks, charges and remittance information, which all messages spell alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transforms.iso20022.fields import (
    Count,
    Direction,
    Each,
    Flag,
    Inner,
    Money,
    Number,
    code,
    date,
    each,
    inner,
    money,
    text,
    texts,
    time,
)
from transforms.iso20022.forms import Field, Form, Pen, Read, Write, below, reader, writer
from transforms.iso20022.model import Type, type_at
from transforms.iso20022.shapes import Node
from transforms.iso20022.trees import Tree

IDENTIFIER: Form = (text("id", "Id"), code("scheme", "SchmeNm"), text("issuer", "Issr"))
ADDRESS: Form = (
    code("type", "AdrTp"),
    text("care_of", "CareOf"),
    text("department", "Dept"),
    text("sub_department", "SubDept"),
    text("street", "StrtNm"),
    text("building", "BldgNb"),
    text("building_name", "BldgNm"),
    text("floor", "Flr"),
    text("unit", "UnitNb"),
    text("post_box", "PstBx"),
    text("room", "Room"),
    text("postcode", "PstCd"),
    text("town", "TwnNm"),
    text("town_location", "TwnLctnNm"),
    text("district", "DstrctNm"),
    text("subdivision", "CtrySubDvsn"),
    text("country", "Ctry"),
    texts("lines", "AdrLine"),
)
CONTACT: Form = (
    text("name", "Nm"),
    text("phone", "PhneNb"),
    text("mobile", "MobNb"),
    text("fax", "FaxNb"),
    text("email", "EmailAdr"),
    text("job_title", "JobTitl"),
    text("department", "Dept"),
)
BIRTH: Form = (
    date("date", "BirthDt"),
    text("province", "PrvcOfBirth"),
    text("city", "CityOfBirth"),
    text("country", "CtryOfBirth"),
)
PERSON_OR_ORGANISATION: Form = (
    text("name", "Nm"),
    inner("address", "PstlAdr", ADDRESS),
    text("bic", "Id/OrgId/AnyBIC|Id/OrgId/BICOrBEI|Id/OrgId/BIC"),
    text("lei", "Id/OrgId/LEI"),
    each("organisation_ids", "Id/OrgId/Othr", IDENTIFIER),
    inner("birth", "Id/PrvtId/DtAndPlcOfBirth", BIRTH),
    each("private_ids", "Id/PrvtId/Othr", IDENTIFIER),
    text("country", "CtryOfRes"),
    inner("contact", "CtctDtls", CONTACT),
)
AGENT: Form = (
    text("bic", "FinInstnId/BICFI|FinInstnId/BIC|FinInstnId/CmbndId/BICFI|FinInstnId/CmbndId/BIC"),
    text("lei", "FinInstnId/LEI"),
    code("clearing_system", "FinInstnId/ClrSysMmbId/ClrSysId"),
    text("member_id", "FinInstnId/ClrSysMmbId/MmbId"),
    text("name", "FinInstnId/Nm"),
    inner("address", "FinInstnId/PstlAdr", ADDRESS),
    inner("other", "FinInstnId/Othr", IDENTIFIER),
    text("branch", "BrnchId/Id"),
)


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank; one that is told as NOTPROVIDED (EPC132-08) is none."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        read_all = reader(AGENT, nodes[0])
        if read_all is None:
            return None

        def known(values: Any) -> dict[str, Any] | None:
            found = read_all(values)
            return None if "other" in found and found == {"other": {"id": "NOTPROVIDED"}} else found or None

        return known

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        return Inner(AGENT).writer(tag, kind, pen)


def agent(key: str, path: str) -> Field:
    """A field with a bank."""
    return Field(key, path, Bank())


_AS_AGENT: Form = tuple(Field(f.key, f"Agt/{f.path.replace('|', '|Agt/')}", f.codec) for f in AGENT)
PARTY: Form = (
    *below(PERSON_OR_ORGANISATION, "", "Pty"),
    # Where a bank stands in the place of a party, what both have in common is kept.
    *(f for f in _AS_AGENT if f.key in ("name", "address", "bic", "lei")),
)
"""A party that newer versions put into a choice of ``Pty`` and ``Agt``."""
ACCOUNT: Form = (
    text("iban", "Id/IBAN"),
    text("other", "Id/Othr/Id|Id/BBAN|Id/UPIC|Id/PrtryAcct/Id"),
    code("scheme", "Id/Othr/SchmeNm"),
    text("issuer", "Id/Othr/Issr"),
    code("kind", "Tp"),
    text("currency", "Ccy"),
    text("name", "Nm"),
    inner("proxy", "Prxy", (text("id", "Id"), code("scheme", "Tp"))),
)
BANK_CODE: Form = (
    text("domain", "Domn/Cd"),
    text("family", "Domn/Fmly/Cd"),
    text("sub_family", "Domn/Fmly/SubFmlyCd"),
    text("own", "Prtry/Cd"),
    text("issuer", "Prtry/Issr"),
)
CHARGE: Form = (
    money("amount", "Amt"),
    Field("direction", "CdtDbtInd", Direction()),
    Field("included", "ChrgInclInd", Flag()),
    code("type", "Tp"),
    Field("rate", "Rate", Number()),
    text("bearer", "Br"),
    agent("agent", "Agt|Pty"),
)
EXCHANGE: Form = (
    Field("rate", "XchgRate", Number()),
    text("unit_currency", "UnitCcy"),
    text("source_currency", "SrcCcy"),
    text("target_currency", "TrgtCcy"),
    text("type", "RateTp"),
    text("contract", "CtrctId"),
    time("quoted", "QtnDt"),
)
BATCH: Form = (
    text("message_id", "MsgId"),
    text("payment_information_id", "PmtInfId"),
    Field("count", "NbOfTxs", Count()),
    money("total", "TtlAmt"),
    Field("direction", "CdtDbtInd", Direction()),
)


def side(key: str, tag: str, form: Form = PARTY) -> Form:
    """Party, account and bank of one side of a payment, whose elements ``tag`` begins."""
    return (
        *below(form, tag, key=key),
        inner(f"{key}.account", f"{tag}Acct", ACCOUNT),
        agent(f"{key}.agent", f"{tag}Agt"),
    )


def intermediaries(tag: str = "IntrmyAgt", places: int = 3) -> Form:
    """The banks between two others with their accounts, the first first."""
    found: tuple[Field, ...] = ()
    for n in range(places):
        at, key = f"{tag}{n + 1}", f"intermediary_agents.{n}"
        found += below(AGENT, at, key=key)
        found += below(ACCOUNT, f"{at}Acct", key=f"{key}.account")
    return found


# ---------------------------------------------------------------- remittance information

_ADJUSTMENT: Form = (
    money("amount", "Amt"),
    code("type", "Tp"),
    Field("direction", "CdtDbtInd", Direction()),
    text("reason", "Rsn"),
    text("additional", "AddtlInf"),
)
_BLOCK: Form = (
    money("due", "RfrdDocAmt/DuePyblAmt|RfrdDocAmt/RmtAmt/DuePyblAmt"),
    money("credit_note", "RfrdDocAmt/CdtNoteAmt"),
    each("adjustments", "RfrdDocAmt/AdjstmntAmtAndRsn", _ADJUSTMENT),
    money("remitted", "RfrdDocAmt/RmtdAmt"),
    each("amounts", "RfrdDocAmt/RmtAmtAndTp", (code("type", "Tp"), money("amount", "Amt"))),
    inner("invoicer", "Invcr", PERSON_OR_ORGANISATION),
    inner("invoicee", "Invcee", PERSON_OR_ORGANISATION),
    Field("tax", "TaxRmt", Tree()),
    Field("garnishment", "GrnshmtRmt", Tree()),
    texts("additional", "AddtlRmtInf"),
)
_KIND = "Tp/CdOrPrtry|CdtrRefTp|RfrdDocTp"
_CREDITOR_REFERENCE: Form = (
    text("reference", "Ref|CdtrRef"),
    code("type", _KIND),
    text("issuer", "Tp/Issr|CdtrRefTp/Issr"),
)
_DOCUMENT: Form = (
    text("reference", "Nb|RfrdDocNb"),
    code("type", _KIND),
    text("issuer", "Tp/Issr|RfrdDocTp/Issr"),
    date("date", "RltdDt"),
)


@dataclass(frozen=True, slots=True)
class Adjustments:
    """Discounts or taxes of documents: one plain amount in old versions, a list with kinds in new ones."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        form = tuple(f for f in _ADJUSTMENT if f.key in ("amount", "type"))
        plain = (money("amount", ""),)
        reads = [read for n in nodes if (read := reader(plain if n.text >= 0 else form, n)) is not None]
        return (lambda values: [one for read in reads if (one := read(values))] or None) if reads else None

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        if kind.elements:
            return Each(_ADJUSTMENT).writer(tag, kind, pen)
        plain = Money().writer(tag, kind, pen)
        return (lambda value: "".join([plain(one["amount"]) for one in value])) if plain is not None else None


_AMOUNTS: Form = (
    *_BLOCK,
    Field("discounts", "RfrdDocAmt/DscntApldAmt", Adjustments()),
    Field("taxes", "RfrdDocAmt/TaxAmt", Adjustments()),
)


@dataclass(frozen=True, slots=True)
class References:
    """Structured remittance: one item for a creditor reference or document, ``continues`` within the same ``Strd``."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        blocks = [_block(node) for node in nodes]
        if not blocks:
            return None

        def read(values: Any) -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = []
            for block in blocks:
                found += block(values)
            return found or None

        return read

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """See :class:`transforms.iso20022.forms.Codec`."""
        reference = type_at(kind, "CdtrRefInf")
        if reference is None:
            return None
        whole = writer(
            (*_AMOUNTS, inner("own", "CdtrRefInf", _CREDITOR_REFERENCE), each("documents", "RfrdDocInf", _DOCUMENT)),
            kind,
            pen,
        )
        listed = type_at(kind, "RfrdDocInf/Tp/CdOrPrtry/Cd")
        documents = frozenset(listed.simple.codes if listed is not None else ())

        def write(items: Any) -> str:
            return "".join([f"<{tag}>{whole(block)}</{tag}>" for block in _blocks(items, documents)])

        return write


def _block(node: Node) -> Any:
    """Reader of one ``Strd``: creditor reference and documents one by one, amounts and texts with the first."""
    forms = (("CdtrRefInf", _CREDITOR_REFERENCE), ("RfrdDocInf", _DOCUMENT))
    reads = [one for tag, form in forms for n in node.all(tag) if (one := reader(form, n)) is not None]
    rest = reader(_AMOUNTS, node)

    def read(values: Any) -> list[dict[str, Any]]:
        items = [{"reference": "", "type": ""} | item for one in reads if (item := one(values))]
        beside = rest(values) if rest is not None else {}
        if beside and not items:
            items = [{"reference": "", "type": ""}]
        for later in items[1:]:
            later["continues"] = True
        if items:
            items[0] |= beside
        return items

    return read


def _blocks(items: Any, documents: frozenset[str]) -> list[dict[str, Any]]:
    """The items of a list put together as they stand in one ``Strd`` each; one has at most one creditor reference."""
    blocks: list[dict[str, Any]] = []
    for item in items:
        is_document = item.get("type") in documents or bool(item.get("date"))
        last = blocks[-1] if blocks else None
        if not item.get("continues") or last is None or (not is_document and "own" in last):
            last = {key: value for key, value in item.items() if key not in ("reference", "type", "issuer", "date")}
            blocks.append(last)
        if is_document:
            last.setdefault("documents", []).append(item)
        elif item.get("reference"):
            last["own"] = item
    return blocks


REMITTANCE: Form = (texts("unstructured", "Ustrd"), Field("structured", "Strd", References()))
