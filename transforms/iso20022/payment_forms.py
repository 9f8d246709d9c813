"""Forms of credit transfers and direct debits: the transaction, the block that it stands in, the message."""

from __future__ import annotations

from transforms.iso20022.fields import (
    Code,
    Count,
    Flag,
    Number,
    WriteOnly,
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
    AGENT,
    CHARGE,
    EXCHANGE,
    IDENTIFIER,
    PARTY,
    REMITTANCE,
    agent,
    intermediaries,
    side,
)
from transforms.iso20022.trees import RELATED, Tree

KIND: Form = (
    text("priority", "PmtTpInf/InstrPrty"),
    code("service_level", "PmtTpInf/SvcLvl"),
    code("local_instrument", "PmtTpInf/LclInstrm"),
    text("sequence_type", "PmtTpInf/SeqTp"),
    code("category_purpose", "PmtTpInf/CtgyPurp"),
    text("charge_bearer", "ChrgBr"),
)
"""What kind of payment it is; of the block or of one transaction."""
IDENTIFICATION: Form = (
    text("instruction_id", "PmtId/InstrId"),
    text("end_to_end_id", "PmtId/EndToEndId"),
    text("transaction_id", "PmtId/TxId"),
    text("uetr", "PmtId/UETR"),
    text("clearing_reference", "PmtId/ClrSysRef"),
)
_REPORT: Form = (
    text("side", "DbtCdtRptgInd"),
    text("authority", "Authrty/Nm|Authrty/AuthrtyNm"),
    text("country", "Authrty/Ctry|Authrty/AuthrtyCtry"),
    each(
        "details",
        "Dtls|RgltryDtls",
        (
            text("type", "Tp"),
            date("date", "Dt"),
            text("country", "Ctry"),
            text("code", "Cd"),
            money("amount", "Amt"),
            texts("texts", "Inf"),
        ),
    ),
)
_ON_BEHALF: Form = (inner("ultimate_debtor", "UltmtDbtr", PARTY), inner("ultimate_creditor", "UltmtCdtr", PARTY))
_FURTHER: Form = (
    *_ON_BEHALF,
    code("purpose", "Purp"),
    each("regulatory", "RgltryRptg", _REPORT),
    *RELATED,
    inner("remittance", "RmtInf", REMITTANCE),
)
CREDIT_TRANSFER: Form = (
    *IDENTIFICATION,
    *KIND,
    money("amount", "Amt/InstdAmt|InstdAmt"),
    money("equivalent", "Amt/EqvtAmt/Amt"),
    text("transfer_currency", "Amt/EqvtAmt/CcyOfTrf"),
    inner("exchange", "XchgRateInf", EXCHANGE),
    *intermediaries(),
    *side("creditor", "Cdtr"),
    each("instructions_for_creditor_agent", "InstrForCdtrAgt", (text("code", "Cd"), text("text", "InstrInf"))),
    text("instruction_for_debtor_agent", "InstrForDbtrAgt|InstrForDbtrAgt/InstrInf"),
    Field("cheque", "ChqInstr", Tree()),
    *_FURTHER,
)
"""``CdtTrfTxInf``; ``equivalent`` takes the place of the amount where the debtor's side is told."""
INTERBANK: Form = (
    *CREDIT_TRANSFER,
    *side("debtor", "Dbtr"),
    money("settled", "IntrBkSttlmAmt"),
    date("settlement_date", "IntrBkSttlmDt"),
    Field("exchange.rate", "XchgRate", Number()),
    each("charges", "ChrgsInf", CHARGE),
)
"""``CdtTrfTxInf`` of pacs.008, which has no block."""
_AMENDMENT: Form = (
    text("original_id", "OrgnlMndtId"),
    text("original_creditor_name", "OrgnlCdtrSchmeId/Nm"),
    text("original_creditor_id", "OrgnlCdtrSchmeId/Id/PrvtId/Othr/Id"),
    Field("original_creditor_scheme", "OrgnlCdtrSchmeId/Id/PrvtId/Othr/SchmeNm", WriteOnly(Code())),
    inner("original_debtor_account", "OrgnlDbtrAcct", ACCOUNT),
    inner("original_debtor_agent", "OrgnlDbtrAgt", AGENT),
)
_MANDATE: Form = (
    text("id", "MndtId"),
    date("signed", "DtOfSgntr"),
    Field("amended", "AmdmntInd", WriteOnly(Flag())),
    inner("amendment", "AmdmntInfDtls", _AMENDMENT),
    text("electronic_signature", "ElctrncSgntr"),
    date("first_collection", "FrstColltnDt"),
    date("last_collection", "FnlColltnDt"),
    text("frequency", "Frqcy|Frqcy/Tp"),
)
_SCHEME: Form = below(IDENTIFIER, "Id/PrvtId/Othr")
DIRECT_DEBIT: Form = (
    *IDENTIFICATION,
    *KIND,
    money("amount", "InstdAmt"),
    inner("mandate", "DrctDbtTx/MndtRltdInf|DrctDbtTx/MndtRltdInf/DrctDbtMndt", _MANDATE),
    inner("creditor_scheme_id", "DrctDbtTx/CdtrSchmeId", _SCHEME),
    text("pre_notification", "DrctDbtTx/PreNtfctnId"),
    date("pre_notification_date", "DrctDbtTx/PreNtfctnDt"),
    *side("debtor", "Dbtr"),
    *_FURTHER,
)
"""``DrctDbtTxInf``."""
_BLOCK: Form = (
    text("payment_information_id", "PmtInfId"),
    text("method", "PmtMtd"),
    Field("batch_booking", "BtchBookg", Flag()),
    Field("count", "NbOfTxs", Count()),
    Field("total", "CtrlSum", Number()),
    *KIND,
    inner("charges_account", "ChrgsAcct", ACCOUNT),
    agent("charges_agent", "ChrgsAcctAgt"),
)
CREDIT_TRANSFER_BLOCK: Form = (
    *_BLOCK,
    date("execution_date", "ReqdExctnDt"),
    *side("debtor", "Dbtr"),
    inner("ultimate_debtor", "UltmtDbtr", PARTY),
)
"""``PmtInf`` of pain.001."""
DIRECT_DEBIT_BLOCK: Form = (
    *_BLOCK,
    date("collection_date", "ReqdColltnDt"),
    *side("creditor", "Cdtr"),
    inner("ultimate_creditor", "UltmtCdtr", PARTY),
    inner("creditor_scheme_id", "CdtrSchmeId", _SCHEME),
)
"""``PmtInf`` of pain.008."""
HEADER: Form = (
    text("message_id", "GrpHdr/MsgId"),
    time("created", "GrpHdr/CreDtTm"),
    Field("count", "GrpHdr/NbOfTxs", Count()),
    Field("total", "GrpHdr/CtrlSum", Number()),
    inner("initiating_party", "GrpHdr/InitgPty", PARTY),
)
"""``GrpHdr``."""

_OFTEN = (
    "PmtId/InstrId PmtId/EndToEndId PmtId/UETR PmtTpInf/SvcLvl/Cd PmtTpInf/SvcLvl/Prtry PmtTpInf/LclInstrm/Cd "
    "PmtTpInf/LclInstrm/Prtry PmtTpInf/CtgyPurp/Cd PmtTpInf/CtgyPurp/Prtry PmtTpInf/CtgyPurp ChrgBr Amt/InstdAmt "
    "CdtrAgt/FinInstnId/BICFI CdtrAgt/FinInstnId/BIC Cdtr/Nm Cdtr/PstlAdr/StrtNm Cdtr/PstlAdr/BldgNb "
    "Cdtr/PstlAdr/PstCd Cdtr/PstlAdr/TwnNm Cdtr/PstlAdr/Ctry Cdtr/PstlAdr/AdrLine CdtrAcct/Id/IBAN "
    "CdtrAcct/Id/Othr/Id CdtrAcct/Ccy Purp/Cd Purp/Prtry RmtInf/Ustrd"
)
PLAIN_CREDIT_TRANSFER = frozenset(_OFTEN.split())
"""The elements that nearly every credit transfer has alone; one with others is read by its form."""
