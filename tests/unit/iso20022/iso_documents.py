"""Small ISO 20022 documents, put together from the parts a test wants to be different."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bus import Part, WriteContext
from bus.testing.steps import StepBench
from transforms.iso20022 import Iso20022Spec

IBAN = "DE89370400440532013000"
OTHER_IBAN = "NL91ABNA0417164300"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
CONTEXT = WriteContext("0123456789abcdef0123456789abcdef", 1_795_514_400_123)


def balance(kind: str, value: str, sign: str = "CRDT", currency: str = "EUR", date: str = "2026-11-20") -> str:
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{value}</Amt>'
        f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{date}</Dt></Dt></Bal>"
    )


def entry(value: str = "10.00", sign: str = "CRDT", *, currency: str = "EUR", inner: str = "", **of: str) -> str:
    """A camt entry; ``of`` may have ``ref``, ``booked``, ``reversal``, ``status``; ``inner`` stands after BkTxCd."""
    status = of.get("status", "<Sts><Cd>BOOK</Cd></Sts>")
    reversal = f"<RvslInd>{of['reversal']}</RvslInd>" if "reversal" in of else ""
    return (
        f'<Ntry><NtryRef>{of.get("ref", "1")}</NtryRef><Amt Ccy="{currency}">{value}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'
        f"{reversal}{status}<BookgDt><Dt>{of.get('booked', '2026-11-20')}</Dt></BookgDt>"
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>{inner}</Ntry>"
    )


def details(end_to_end: str = "E2E-1", amount: str = "") -> str:
    return (
        f"<NtryDtls><TxDtls><Refs><EndToEndId>{end_to_end}</EndToEndId></Refs>{amount}"
        f"<RltdPties><Dbtr><Pty><Nm>Payer &amp; Co</Nm></Pty></Dbtr>"
        f"<DbtrAcct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></DbtrAcct>"
        "<Cdtr><Pty><Nm>Payee</Nm></Pty></Cdtr><CdtrAcct><Id><Othr><Id>4711</Id></Othr></Id></CdtrAcct></RltdPties>"
        "<RmtInf><Ustrd>Invoice 1</Ustrd></RmtInf></TxDtls></NtryDtls>"
    )


def statement(entries: Iterable[str], *, opening: str = "100.00", closing: str = "", name: str = "S1") -> str:
    balances = balance("OPBD", opening) if opening else ""
    balances += balance("CLBD", closing) if closing else ""
    return (
        f"<Stmt><Id>{name}</Id><ElctrncSeqNb>7</ElctrncSeqNb><CreDtTm>2026-11-20T18:00:00</CreDtTm>"
        f"<Acct><Id><IBAN>{IBAN}</IBAN></Id><Ccy>EUR</Ccy></Acct>{balances}{''.join(entries)}</Stmt>"
    )


def camt053(*statements: str, version: str = "08") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="{NAMESPACE}camt.053.001.{version}"><BkToCstmrStmt><GrpHdr><MsgId>M1</MsgId>'
        f"<CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr>{''.join(statements)}</BkToCstmrStmt></Document>\n"
    ).encode()


def transaction(value: str = "10.00", currency: str = "EUR", end_to_end: str = "E2E-1") -> str:
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I-{end_to_end}</InstrId><EndToEndId>{end_to_end}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{currency}">{value}</InstdAmt></Amt><Cdtr><Nm>Supplier</Nm></Cdtr>'
        f"<CdtrAcct><Id><IBAN>{OTHER_IBAN}</IBAN></Id></CdtrAcct></CdtTrfTxInf>"
    )


def block(transactions: list[str], count: str, total: str, name: str = "P1") -> str:
    return (
        f"<PmtInf><PmtInfId>{name}</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>"
        "<ReqdExctnDt><Dt>2026-11-24</Dt></ReqdExctnDt><Dbtr><Nm>ACME</Nm></Dbtr>"
        f"<DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
        "<DbtrAgt><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></DbtrAgt>"
        f"{''.join(transactions)}</PmtInf>"
    )


def pain001(blocks: list[str], count: str, total: str) -> bytes:
    return (
        f'<Document xmlns="{NAMESPACE}pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><MsgId>M1</MsgId>'
        f"<CreDtTm>2026-11-20T18:00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>"
        f"<InitgPty><Nm>ACME</Nm></InitgPty></GrpHdr>{''.join(blocks)}</CstmrCdtTrfInitn></Document>"
    ).encode()


def payment(**changes: Any) -> dict[str, Any]:
    """A canonical payment that is right; a change with ``None`` takes the field away."""
    made: dict[str, Any] = {
        "type": "payment",
        "id": "P-1",
        "end_to_end_id": "E2E-1",
        "invoice": "INV-1",
        "debtor": {"name": "ACME GmbH", "account": {"iban": IBAN}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {"name": "Supplier", "account": {"iban": OTHER_IBAN}, "agent": {"bic": "ABNANL2AXXX"}},
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "service_level": "SEPA",
        "charge_bearer": "SLEV",
        "remittance": {"unstructured": ["Invoice INV-1"], "structured": []},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def read(content: bytes, each: str = "records", **options: Any) -> list[Part]:
    return list(Iso20022Spec(**options).build().read(io.BytesIO(content)).parts(each))


def written(payments: Iterable[Any], context: WriteContext = CONTEXT, **options: Any) -> bytes:
    target = io.BytesIO()
    form = Iso20022Spec(**{"message": "pain.001.001.09"} | options).build(StepBench())
    form.write(payments, target, context)
    return target.getvalue()


def folder_of(variable: str) -> Path:
    """A folder that the environment names; tests without it skip and say so."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: the files it names are not part of this checkout")
    return Path(value)
