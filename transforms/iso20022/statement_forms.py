"""Forms of statements, their entries and the transactions that these book."""

from __future__ import annotations

from transforms.iso20022.fields import (
    Code,
    Count,
    Day,
    Direction,
    Flag,
    Inner,
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
from transforms.iso20022.forms import Field, Form, below
from transforms.iso20022.party_forms import (
    ACCOUNT,
    BANK_CODE,
    BATCH,
    CHARGE,
    EXCHANGE,
    PARTY,
    REMITTANCE,
    agent,
    intermediaries,
)
from transforms.iso20022.trees import INTEREST, RELATED

BALANCE: Form = (
    Field("type", "Tp/CdOrPrtry|Tp", Code()),
    Field("sub_type", "Tp/SubTp", Code()),
    money("amount", "Amt"),
    Field("direction", "CdtDbtInd", Direction()),
    Field("date", "Dt", Day()),
)
_COUNT: Form = (Field("entries", "NbOfNtries", Count()), Field("total", "Sum", Number()))
STATEMENT: Form = (
    Field("page", "StmtPgntn/PgNb|RptPgntn/PgNb|NtfctnPgntn/PgNb", Count()),
    Field("last_page", "StmtPgntn/LastPgInd|RptPgntn/LastPgInd|NtfctnPgntn/LastPgInd", Flag()),
    Field("legal_sequence_number", "LglSeqNb", Count()),
    text("copy_kind", "CpyDplctInd"),
    *below(_COUNT, "TxsSummry/TtlNtries", key="summary.all"),
    Field("summary.net", "TxsSummry/TtlNtries/TtlNetNtry/Amt|TxsSummry/TtlNtries/TtlNetNtryAmt", Number()),
    Field("summary.sign", "TxsSummry/TtlNtries/TtlNetNtry/CdtDbtInd|TxsSummry/TtlNtries/CdtDbtInd", Direction()),
    inner("summary.credits", "TxsSummry/TtlCdtNtries", _COUNT),
    inner("summary.debits", "TxsSummry/TtlDbtNtries", _COUNT),
    text("additional", "AddtlStmtInf|AddtlRptInf|AddtlNtfctnInf"),
)
"""What a statement has beside its identification, account and balances."""
STATEMENT_ACCOUNT: Form = (
    *below(tuple(f for f in ACCOUNT if f.key not in ("iban", "other", "currency")), "Acct"),
    agent("servicer", "Acct/Svcr"),
)
"""What the account of a statement has beside number, currency and owner."""
STATEMENT_HEAD: Form = (
    text("id", "Id"),
    Field("sequence_number", "ElctrncSeqNb", Count()),
    time("created", "CreDtTm"),
    time("from", "FrToDt/FrDtTm|FrToDt/FrDt"),
    time("to", "FrToDt/ToDtTm|FrToDt/ToDt"),
    inner("account", "Acct", (*ACCOUNT, text("owner", "Ownr/Nm|Ownr/Pty/Nm"), agent("servicer", "Svcr"))),
    each("balances", "Bal", BALANCE),
)
_DETAIL: Form = (money("amount", "Amt"), inner("exchange", "CcyXchg", EXCHANGE))
_AMOUNTS: Form = (
    *below(_DETAIL, "AmtDtls/InstdAmt", key="amounts.instructed"),
    *below(_DETAIL, "AmtDtls/TxAmt", key="amounts.transaction"),
    *below(_DETAIL, "AmtDtls/CntrValAmt", key="amounts.counter_value"),
    *below(_DETAIL, "AmtDtls/AnncdPstngAmt", key="amounts.announced"),
)
_CHARGES: Form = (money("total_charges", "Chrgs/TtlChrgsAndTaxAmt"), each("charges", "Chrgs/Rcrd|Chrgs", CHARGE))
ENTRY: Form = (
    *_AMOUNTS,
    *_CHARGES,
    inner("code", "BkTxCd", BANK_CODE),
    each("batches", "NtryDtls/Btch", BATCH),
    *INTEREST,
    text("additional", "AddtlNtryInf"),
)
"""What an entry may have beside what nearly every entry has."""
ENTRY_HEAD: Form = (
    text("reference", "NtryRef"),
    money("amount", "Amt"),
    Field("direction", "CdtDbtInd", Direction()),
    Field("reversal", "RvslInd", Flag()),
    Field("status", "Sts", Code()),
    date("booking_date", "BookgDt"),
    date("value_date", "ValDt"),
    text("bank_reference", "AcctSvcrRef"),
)
_RELATED = ("RltdPties/{}", "RltdPties/{}Acct", "RltdAgts/{}Agt")


def _side(key: str, tag: str) -> Form:
    party, held, bank = (path.format(tag) for path in _RELATED)
    return (*below(PARTY, party, key=key), inner(f"{key}.account", held, ACCOUNT), agent(f"{key}.agent", bank))


SIDES: Form = (*_side("debtor", "Dbtr"), *_side("creditor", "Cdtr"))
_ORIGINATOR = "RtrInf/Orgtr/Nm|RtrInf/Orgtr/Pty/Nm|RtrInf/Orgtr/Id/OrgId/AnyBIC|RtrInf/Orgtr/Id/OrgId/BICOrBEI"
TRANSACTION: Form = (
    text("message_id", "Refs/MsgId"),
    text("bank_reference", "Refs/AcctSvcrRef"),
    text("payment_information_id", "Refs/PmtInfId"),
    text("uetr", "Refs/UETR"),
    text("mandate_id", "Refs/MndtId"),
    text("cheque_number", "Refs/ChqNb"),
    text("clearing_reference", "Refs/ClrSysRef"),
    each("own_references", "Refs/Prtry", (text("id", "Ref"), text("scheme", "Tp"))),
    *_AMOUNTS,
    *_CHARGES,
    inner("code", "BkTxCd", BANK_CODE),
    inner("initiating_party", "RltdPties/InitgPty", PARTY),
    inner("ultimate_debtor", "RltdPties/UltmtDbtr", PARTY),
    inner("ultimate_creditor", "RltdPties/UltmtCdtr", PARTY),
    *(Field(f.key, "|".join(f"RltdAgts/{path}" for path in f.path.split("|")), f.codec) for f in intermediaries()),
    code("local_instrument", "LclInstrm"),
    code("purpose", "Purp"),
    *RELATED,
    *INTEREST,
    date("settlement_date", "RltdDts/IntrBkSttlmDt"),
    time("accepted", "RltdDts/AccptncDtTm"),
    texts("return_additional", "RtrInf/AddtlInf"),
    text("return_originator", _ORIGINATOR),
    inner("return_code", "RtrInf/OrgnlBkTxCd", BANK_CODE),
    text("additional", "AddtlTxInf"),
)
"""What a ``TxDtls`` may have beside references, amount, sides and remittance information."""
TRANSACTION_HEAD: Form = (
    text("end_to_end_id", "Refs/EndToEndId"),
    text("instruction_id", "Refs/InstrId"),
    text("transaction_id", "Refs/TxId"),
    money("amount", "Amt|AmtDtls/TxAmt/Amt"),
    Field("direction", "CdtDbtInd", Direction()),
    inner("remittance", "RmtInf", REMITTANCE),
    Field("return_reason", "RtrInf/Rsn|RtrInf/RtrRsn", Code()),
)
WRITTEN_TRANSACTION: Form = (*TRANSACTION_HEAD, *TRANSACTION, *SIDES)
WRITTEN_ENTRY: Form = (
    *ENTRY_HEAD,
    *(f for f in ENTRY if f.key not in ("code", "batches")),
    Field("code", "BkTxCd", Inner(BANK_CODE, required=True)),
    each("details", "NtryDtls", (inner("batch", "Btch", BATCH), each("transactions", "TxDtls", WRITTEN_TRANSACTION))),
)
WRITTEN_STATEMENT: Form = (*STATEMENT_HEAD, *STATEMENT)
