"""The ledger's side of what people decide: cases, arrivals, effects in doubt, pauses, audit."""

from __future__ import annotations

import json
from typing import Any

from bus.ledger import cases, edges, versions, waiting
from bus.ledger.ledger import Ledger
from bus.message import Message
from bus.ports import Settlement

Puts = list[tuple[str, Message]]
_ARRIVAL_OUTCOMES = {"released": "released", "discarded": "discarded", "retried": "accepted"}


class Decisions:
    """Runs inside transactions that :class:`bus.runtime.control.Control` opens."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def must_be_open(self, tx: Any, case_id: int) -> str:
        """The code of a case; NotAllowed unless it exists and is open. Until the commit nobody else decides it."""
        self._ledger.store.lock(tx, [f"decision {case_id}"])
        return cases.must_be_open(tx, case_id)[0]

    def take_held_of_case(self, tx: Any, case_id: int) -> Puts:
        """Remove and return what a case holds."""
        return waiting.take_held_of_case(tx, case_id)

    def take_dead_of_case(self, tx: Any, case_id: int) -> Puts:
        """Remove and return the dead letters of a case."""
        return waiting.take_dead_of_case(tx, case_id)

    def apply(self, tx: Any, settlement: Settlement) -> None:
        """Write history and tally."""
        self._ledger.apply(tx, settlement)

    def close_case(self, tx: Any, case_id: int, state: str, by: tuple[str, str]) -> None:
        """Close a case; by = (who, reason)."""
        cases.close_case(tx, case_id, state, by, self._ledger.clock.now())

    def audit(self, tx: Any, who: str, what: str, target: str, reason: str) -> None:
        """Remember who did what to what, and why."""
        cases.audit(tx, self._ledger.clock.now(), who, what, target, reason)

    def decide_arrival(self, tx: Any, message_id: str, state: str) -> None:
        """A held or refused arrival follows its case."""
        edges.arrival_outcome(tx, message_id, _ARRIVAL_OUTCOMES[state])

    def in_doubt(self, tx: Any, unit: str, sink: str) -> bool:
        """Whether the effect of this unit at this sink is in doubt."""
        row = tx.execute("SELECT state FROM outbound WHERE id = ? AND sink = ?", (unit, sink)).fetchone()
        return row is not None and row[0] == "in_doubt"

    def give_up(self, tx: Any, unit: str, sink: str) -> None:
        """A person discards what may have happened: nobody will ask the partner any more."""
        tx.execute(
            "UPDATE outbound SET state = 'in_doubt' WHERE id = ? AND sink = ? AND state = 'requested'", (unit, sink)
        )

    def resolve_doubt(self, tx: Any, message: Message, sink: str, *, happened: bool) -> None:
        """A person found out whether the partner has it."""
        row = tx.execute(
            "SELECT receipt FROM outbound WHERE id = ? AND sink = ?", (message.headers.id, sink)
        ).fetchone()
        key = (message.headers.id, sink, message.headers.number)
        edges.set_outbound(tx, key, "delivered" if happened else "staged", json.loads(row[0]), self._ledger.clock.now())

    def set_route_state(self, tx: Any, route: str, state: str) -> None:
        """Remember running, paused or draining over restarts."""
        versions.set_route_state(tx, route, state, self._ledger.clock.now())
