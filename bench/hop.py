"""``embedded_hop``: from one durable channel to another.

Taken, routed by three rules, translated, put on another channel, history written, committed with fsync. Floor: insert +
delete of the same bytes in SQLite, same batch, same disk.

Both begin with a new database, as they did when the aim was set. A commit that makes the WAL's file longer waits
for the file system's journal too; SQLite begins the file anew at a fixed length, so this happens for a while after
a start, and to the floor in more of its commits than to the hop. Both with a file that has its length already:
``python -m bench.hop 100 long``.
"""

from __future__ import annotations

import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw

from bench.measure import Measurement, Memory, seconds, told, workplace
from bus.app import App, calm_collector
from bus.message import Headers, Message, child_id, encode
from bus.ports import Settlement

_ROUNDS = 9
COUNTS = {1: 2_000, 10: 15_000, 100: 40_000, 1000: 60_000}
_WAL_MB = 32
"""More than it ever gets here: 2,000 pages of 8 KB and one commit."""

LANDSCAPE = {
    "bus.yaml": "name: bench\noutlets:\n  ledger: {endpoint: {file: {path: out, name: '{id}'}}}\n",
    "hop.route.yaml": """
route: hop
from: {channel: incoming}
batch: 1000
steps:
  - route:
      - when: amount.currency != 'EUR'
        steps: [{tap: other}]
        to: other
      - when: amount.value > 1000000
        to: other
      - when: is_sepa(creditor.account.iban)
        steps: [{translate: {mapping: journal}}]
        to: journal
      - otherwise: other
""",
    "sinks.route.yaml": "route: sinks\nfrom: {channel: journal}\nto: none\n",
    "others.route.yaml": "route: others\nfrom: {channel: other}\nto: none\n",
    "journal.mapping.yaml": """
mapping: journal
from: payment
to: journal
fields:
  document: end_to_end_id
  account: {lookup: accounts, key: debtor.account.iban, default: "'unknown'"}
  supplier.name: creditor.name
  supplier.iban: creditor.account.iban
  amount: amount
  tax: multiply(amount.value, 0.19)
  text: remittance.unstructured[0]
  booked: execution_date
""",
    "accounts.table.yaml": "table: accounts\nrows:\n  - {key: DE89370400440532013000, value: '1800'}\n",
}


def payment(n: int) -> dict[str, Any]:
    """A canonical payment of about 1 KB."""
    return {
        "type": "payment",
        "id": f"P-{n:08d}",
        "end_to_end_id": f"E2E-{n:08d}",
        "invoice": f"INV-{n:08d}",
        "debtor": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}, "agent": {"bic": "COBADEFFXXX"}},
        "creditor": {
            "name": "Nordic Paper AB",
            "account": {"iban": "FR1420041010050500013M02606"},
            "agent": {"bic": "PSSTFRPPXXX"},
            "address": {
                "country": "FR",
                "town": "Paris",
                "postcode": "75001",
                "street": "Rue de Rivoli",
                "building": "1",
            },
        },
        "amount": {"value": Decimal("100.10"), "currency": "EUR"},
        "execution_date": "2026-11-24",
        "service_level": "SEPA",
        "charge_bearer": "SLEV",
        "remittance": {"unstructured": ["Invoice INV for paper and more paper, " * 8]},
    }


def lengthen_wal(database: Path) -> None:
    """Give the WAL of an open database its length; what stands behind its last commit counts for nothing."""
    with Path(f"{database}-wal").open("ab") as file:
        file.writelines(bytes(1 << 20) for _ in range(_WAL_MB))
        file.flush()
        os.fsync(file.fileno())


def hop(folder: Path, batch: int, *, long: bool) -> tuple[float, float]:
    """(messages per second, peak growth in MB)."""
    for name, text in LANDSCAPE.items():
        (folder / name).write_text(text, "utf-8")
    count = COUNTS[batch]
    app = App(folder)
    if long:
        lengthen_wal(app.store.path)
    for begin in range(0, count, 1000):
        filling = Settlement("fill")
        for n in range(begin, min(begin + 1000, count)):
            headers = Headers(child_id("ab" * 16, "bench", "fill", n), "ab" * 16, worth=("EUR", Decimal("100.10")))
            filling.puts.append(("incoming", Message(headers, payment(n))))
        app.broker.settle([], filling, "fill")
    worker = app.bus._worker  # noqa: SLF001 - the measured piece itself, without the round through all channels

    def work() -> None:
        while worker.run_batch("hop", batch):
            pass

    calm_collector()  # as `bus run` does
    with Memory() as memory:
        took = seconds(work)
    (through,) = app.store.read("SELECT count FROM tally WHERE place = 'hop' AND outcome = 'sent'")[0]
    if through != count or app.broker.depth("sinks") != count:
        raise SystemExit(f"only {through} of {count} messages went through")
    app.close()
    return count / took, memory.growth_mb


def floor(folder: Path, batch: int, *, long: bool) -> float:
    """Rows per second of: read a batch, insert it elsewhere, delete it, commit with fsync."""
    connection = apsw.Connection(str(folder / "floor.db"))
    for pragma in ("page_size = 8192", "journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 2000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, payload BLOB); CREATE TABLE b (id INTEGER PRIMARY KEY, payload BLOB)"
    )
    if long:
        lengthen_wal(folder / "floor.db")
    count = COUNTS[batch]
    headers = Headers(child_id("ab" * 16, "bench", "fill", 1), "ab" * 16)
    payload = encode(Message(headers, payment(1)))
    with connection:
        connection.executemany("INSERT INTO a VALUES (?, ?)", ((n, payload) for n in range(count)))

    def work() -> None:
        while True:
            rows = connection.execute("SELECT id, payload FROM a ORDER BY id LIMIT ?", (batch,)).fetchall()
            if not rows:
                return
            with connection:
                connection.executemany("INSERT INTO b VALUES (?, ?)", rows)
                connection.execute("DELETE FROM a WHERE id BETWEEN ? AND ?", (rows[0][0], rows[-1][0]))

    took = seconds(work)
    connection.close()
    return count / took


def main(batch: int, *, long: bool = False) -> None:
    """Nine rounds, floor and hop in turn; the median ratio counts, because the disk is shared."""
    rounds = []
    for _ in range(_ROUNDS):
        with workplace() as folder:
            below = floor(folder, batch, long=long)
            rate, grown = hop(folder, batch, long=long)
            rounds.append((rate / below, rate, below, grown))
    ratio, rate, below, grown = sorted(rounds)[_ROUNDS // 2]
    told(
        Measurement(
            "embedded_hop",
            str(batch),
            round(rate),
            "msg/s",
            round(COUNTS[batch] / rate, 3),
            grown,
            round(below),
            round(ratio, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), long=sys.argv[2:] == ["long"])
