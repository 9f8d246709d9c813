"""Generated input of any size: statements and payment runs, valid and with right totals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>
<GrpHdr><MsgId>BENCH-1</MsgId><CreDtTm>2026-11-24T06:00:00Z</CreDtTm></GrpHdr>
<Stmt><Id>STMT-1</Id><ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-11-24T06:00:00Z</CreDtTm>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1000000.00</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-11-23</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{closing}</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Dt><Dt>2026-11-24</Dt></Dt></Bal>
"""
_ENTRY = """<Ntry><NtryRef>N{n}</NtryRef><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-24</Dt></BookgDt><ValDt><Dt>2026-11-24</Dt></ValDt><AcctSvcrRef>SVC-{n}</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><InstrId>I-{n}</InstrId><EndToEndId>E2E-{n}</EndToEndId><TxId>T-{n}</TxId></Refs>
<Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>
<RltdPties><Dbtr><Pty><Nm>Nordic Paper AB</Nm><PstlAdr><StrtNm>Storgatan</StrtNm><BldgNb>1</BldgNb><PstCd>11122</PstCd>
<TwnNm>Stockholm</TwnNm><Ctry>SE</Ctry></PstlAdr></Pty></Dbtr><DbtrAcct><Id><IBAN>SE4550000000058398257466</IBAN></Id></DbtrAcct>
<Cdtr><Pty><Nm>ACME GmbH</Nm></Pty></Cdtr></RltdPties>
<RltdAgts><DbtrAgt><FinInstnId><BICFI>ESSESESSXXX</BICFI></FinInstnId></DbtrAgt></RltdAgts>
<RmtInf><Ustrd>Invoice INV-{n} of November, thank you for your business</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>
"""


def camt053(path: Path, entries: int) -> Path:
    """A camt.053.001.08 with one statement; opening + entries = closing."""
    amounts = [Decimal(n % 9973 + 1) / 100 for n in range(entries)]
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEAD.replace("{closing}", f"{Decimal('1000000.00') + sum(amounts):.2f}"))
        for n, amount in enumerate(amounts):
            file.write(_ENTRY.format(n=n, amount=f"{amount:.2f}"))
        file.write("</Stmt></BkToCstmrStmt></Document>\n")
    return path


def mt940(path: Path, lines: int) -> Path:
    """An MT940 with one statement of about so many lines, four an entry, in the structure of German banks."""
    entries, total = lines // 4, Decimal(0)
    body = []
    for n in range(entries):
        amount = Decimal(n % 9973 + 1) / 100
        total += amount
        body.append(
            f":61:2611241124C{f'{amount:.2f}'.replace('.', ',')}NTRFINV-{n}//SVC-{n}\n"
            f":86:166?00SEPA-GUTSCHRIFT?109301?20EREF+E2E-{n}?21SVWZ+Invoice INV-{n}\n"
            "?22of November, thank you for?23your business\n"
            "?30COBADEFFXXX?31DE89370400440532013000?32Nordic Paper AB\n"
        )
    text = "".join(body)
    closing = f"{Decimal(1000) + total:.2f}".replace(".", ",")
    path.write_text(
        f":20:BENCH-1\n:25:37040044/0532013000\n:28C:1/1\n:60F:C261123EUR1000,00\n{text}:62F:C261124EUR{closing}\n-\n",
        "latin-1",
    )
    return path


def payment_run(path: Path, lines: int) -> Path:
    """A payment run as the shipped landscape takes it, one debtor account, SEPA only."""
    total = Decimal(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(
            "payment_id;end_to_end_id;invoice;debtor_name;debtor_iban;debtor_bic;creditor_name;creditor_account;creditor_bic;"
            "creditor_country;amount;currency;execution_date;remittance\n"
        )
        for n in range(lines):
            amount = Decimal(n % 99_991 + 1) / 100
            total += amount
            file.write(
                f"P-{n};E2E-{n};INV-{n};ACME GmbH;DE89370400440532013000;COBADEFFXXX;"
                f"Nordic Paper AB;SE4550000000058398257466;ESSESESSXXX;SE;{amount};EUR;2026-11-24;Invoice INV-{n}\n"
            )
        file.write(f"T;{lines};EUR;{total}\n")
    return path
