"""Layouts of flat IDoc records: the control record, the head of data records, and segments whose fields are known.

Widths are those of SAP's documentation of the IDoc types ORDERS05, INVOIC02 and SYSTAT01 (segment releases up to 46C);
later releases only add fields behind them. Of PEXR2002 the segments that it shares with them are known (dates,
references, partners) and the banks, E1IDB02: its first eight fields as two public copies of SAP's data dictionary have
them alike (leanx.eu for E1IDB02, se80.co.uk for E2IDB02), the account FIIKONTO as its data element, EDIFACT 3194
(an..35). For the header, the amounts, the items and the texts of payments no public source of widths was found; a route
declares them. Segments that are not listed keep their data as one text.
"""

from __future__ import annotations

import re

CONTROL_LENGTH = 524
HEAD_LENGTH = 63
DATA_LENGTH = 1_063
_SPELLED = re.compile(r"([A-Z][A-Z0-9_]*):([0-9]{1,4})")


def layout(text: str) -> tuple[tuple[str, int, int], ...]:
    """``QUALF:3 BELNR:35`` as (name, first, behind last) triples.

    Raises:
        ValueError: the text is not of this form, or longer than a record.
    """
    found, at = [], 0
    for part in text.split():
        spelled = _SPELLED.fullmatch(part)
        if not spelled:
            raise ValueError("fields are written `NAME:width`, with blanks between them")
        found.append((spelled[1], at, at + int(spelled[2])))
        at = found[-1][2]
    if not found or at > DATA_LENGTH - HEAD_LENGTH:
        raise ValueError("a segment has one to a thousand characters")
    return tuple(found)


CONTROL = layout(
    "TABNAM:10 MANDT:3 DOCNUM:16 DOCREL:4 STATUS:2 DIRECT:1 OUTMOD:1 EXPRSS:1 TEST:1 IDOCTYP:30 CIMTYP:30 MESTYP:30 "
    "MESCOD:3 MESFCT:3 STD:1 STDVRS:6 STDMES:6 SNDPOR:10 SNDPRT:2 SNDPFC:2 SNDPRN:10 SNDSAD:21 SNDLAD:70 RCVPOR:10 "
    "RCVPRT:2 RCVPFC:2 RCVPRN:10 RCVSAD:21 RCVLAD:70 CREDAT:8 CRETIM:6 REFINT:14 REFGRP:14 REFMES:14 ARCKEY:70 "
    "SERIAL:20"
)
HEAD = layout("SEGNAM:30 MANDT:3 DOCNUM:16 SEGNUM:6 PSGNUM:6 HLEVEL:2")
SEGMENTS = {
    "E1EDK01": layout(
        "ACTION:3 KZABS:1 CURCY:3 HWAER:3 WKURS:12 ZTERM:17 KUNDEUINR:20 EIGENUINR:20 BSART:4 BELNR:35 NTGEW:18 "
        "BRGEW:18 GEWEI:3 FKART_RL:4 ABLAD:25 BSTZD:4 VSART:2 VSART_BEZ:20 RECIPNT_NO:10"
    ),
    "E1EDK02": layout("QUALF:3 BELNR:35 POSNR:6 DATUM:8 UZEIT:6"),
    "E1EDK03": layout("IDDAT:3 DATUM:8 UZEIT:6"),
    "E1EDKA1": layout(
        "PARVW:3 PARTN:17 LIFNR:17 NAME1:35 NAME2:35 NAME3:35 NAME4:35 STRAS:35 STRS2:35 PFACH:35 ORT01:35 COUNC:9 "
        "PSTLZ:9 PSTL2:9 LAND1:3 ABLAD:35 PERNR:30 PARNR:30 TELF1:25 TELF2:25 TELBX:25 TELFX:25 TELTX:25 TELX1:25 "
        "SPRAS:1 ANRED:15 ORT02:35 HAUSN:6 STOCK:6 REGIO:3"
    ),
    "E1EDP01": layout(
        "POSEX:6 ACTION:3 PSTYP:1 KZABS:1 MENGE:15 MENEE:3 BMNG2:15 PMENE:3 ABFTZ:7 VPREI:15 PEINH:9 NETWR:18 ANETW:18 "
        "SKFBP:18 NTGEW:18 GEWEI:3 EINKZ:1 CURCY:3 PREIS:18 MATKL:9 UEPOS:6"
    ),
    "E1EDP02": layout("QUALF:3 BELNR:35 ZEILE:6 DATUM:8 UZEIT:6 BSARK:35 IHREZ:30"),
    "E1EDP03": layout("IDDAT:3 DATUM:8 UZEIT:6"),
    "E1IDB02": layout(
        "FIIQUALI:3 FIIBKENN:11 FIIBKCDE:3 FIIBKUKN:17 FIIBKUCD:3 FIIBKNAM:70 FIIBKORT:70 FIIBLAND:3 FIIKONTO:35"
    ),
    "E1EDP19": layout("QUALF:3 IDTNR:35 KTEXT:70"),
    "E1EDS01": layout("SUMID:3 SUMME:18 SUNIT:3 WAERQ:3"),
    "E1STATS": layout(
        "TABNAM:10 MANDT:3 DOCNUM:16 LOGDAT:8 LOGTIM:6 STATUS:2 UNAME:12 REPID:8 ROUTID:30 STACOD:8 STATXT:70 SEGNUM:6 "
        "SEGFLD:10 STAPA1:20 STAPA2:20 STAPA3:20 STAPA4:20 REFINT:14 REFGRP:14 REFMES:14 ARCKEY:70 STATYP:1"
    ),
    "E1EDKT2": layout("TDLINE:70 TDFORMAT:2"),
    "E1EDPT2": layout("TDLINE:70 TDFORMAT:2"),
}

TO_DECLARE = {
    "E1IDKU1": "BGMTYP:… BGMNAME:… BGMREF:…",
    "E1IDKU5": "MOAQUAL:… MOABETR:… CUXWAERZ:…",
    "E1IDPU5": "MOAQUAL:… MOABETR:… CUXWAERZ:…",
    "E1IDT01": "TXTVW:… TXT01:… TXT02:…",
}
"""Segments that a payment is read from and whose widths a route declares -> the beginning of their fields."""


def usual_name(name: str) -> str:
    """Segment type of an external segment name: ``E2EDK01005`` is ``E1EDK01``, ``Z2FOO000`` is ``Z1FOO``."""
    if not re.match("[EZ][12]", name):
        return name
    base = name[0] + "1" + name[2:]
    return base[:-3] if len(base) > 7 and base[-3:].isdigit() and name[1] == "2" else base
