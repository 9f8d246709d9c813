"""No query of a running bus reads all of a table that grows with the years."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from houses import SAMPLES, House

from bus.landscape import RetentionSpec
from bus.ledger import retention

GROWS = ("arrival", "outbound", "history", "business_key", "instruction", "remembered", "batch", "gathering", "inbox")
HELD = ("queued", "member", "held", "deferred")
"""May hold millions when a partner is away for long."""
YEARS = 3 * 365 * 86_400_000


def scanned(house: House, statements: dict[str, Any]) -> list[str]:
    """The statements whose plan reads a whole table, with the plan's line; a partial index is what is asked for."""
    connection: Any = house.app.store._connection
    found = []
    for sql, bindings in statements.items():
        for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings):
            words = line.split()
            if words[0] == "SCAN" and words[1] in GROWS + HELD and "INDEX" not in words:
                found.append(f"{line}: {sql}")
    return found


def test_no_query_of_a_running_bus_reads_all_of_a_table(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        statements: dict[str, Any] = {}
        connection: Any = house.app.store._connection

        def note(_cursor: Any, sql: str, bindings: Any) -> bool:
            if sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                statements[sql] = bindings
            return True

        connection.exec_trace = note
        house.app.bus.install(house.app.bus.assembly)
        for name in ("PAYRUN_good.csv", "PAYRUN_again.csv", "PAYRUN_bad_lines.csv"):
            house.drop(f"erp/outbox/{name}", (SAMPLES / name).read_bytes())
            house.settle()
        for name in ("PAIN002_known.xml", "CAMT053_first.xml", "CAMT053_gap.xml"):
            house.drop(f"bank-north/outbox/{name}", (SAMPLES / name).read_bytes())
            house.settle()
        times = dict.fromkeys(RetentionSpec().model_dump(), house.clock.now() + YEARS)
        while retention.purge(house.app.store, times, ()):
            pass
        house.settle()
        connection.exec_trace = None
        assert len(statements) > 60
        assert {"arrival", "outbound", "history"} <= {s.split()[2] for s in statements if s.startswith("DELETE")}
        assert scanned(house, statements) == []
        assert scanned(house, {"SELECT number FROM outbound WHERE at > ?": (1,)}), "it would be seen"
