"""Control Bus (EIP): what people may ask of a running bus; every change is audited with who, what and why."""

from __future__ import annotations

from typing import Any

import msgspec

from bus.errors import NotAllowed
from bus.message import Group, Message
from bus.ports import Broker, Event, Settlement

Puts = list[tuple[str, Message]]
_APART = "SYS149"
"""Dead letters that are none of the ledger's own: what has their ids here is a file that was dropped again."""


class Control:
    """Decisions on cases. Each is one commit: effect, closing of the case, history and audit together.

    Args:
        broker: channels.
        ledger: ``bus.ledger.control.Decisions`` of the embedded bus.
    """

    def __init__(self, broker: Broker, ledger: Any) -> None:
        self._broker = broker
        self._ledger = ledger

    def release(self, case_id: int, who: str, reason: str) -> int:
        """Let what a case holds go on, in its pinned version; returns how many messages.

        Raises:
            NotAllowed: ``SYS203`` when the case holds nothing.
        """

        def work(tx: Any) -> Puts:
            self._ledger.must_be_open(tx, case_id)
            puts: Puts = self._ledger.take_held_of_case(tx, case_id)
            if not puts:
                raise NotAllowed("SYS203", f"case {case_id} holds nothing to release", hint="retry or discard it")
            self._close(tx, case_id, "released", (who, reason), puts)
            return puts

        return self._broker.transact("release", work)

    def discard(self, case_id: int, who: str, reason: str) -> int:
        """Throw away what a case holds or has buried, or just close it; the history keeps what it was.

        Raises:
            NotAllowed: ``SYS204`` without a reason.
        """
        if not reason:
            raise NotAllowed("SYS204", "a discard needs a reason", hint='add --reason "why"')
        gone: Puts = []

        def work(tx: Any) -> Puts:
            apart = self._ledger.must_be_open(tx, case_id) == _APART
            dead = self._ledger.take_dead_of_case(tx, case_id)
            for channel, message in () if apart else dead:
                self._ledger.give_up(tx, message.headers.id, channel)
            gone.extend([*self._ledger.take_held_of_case(tx, case_id), *dead])
            self._close(tx, case_id, "discarded", (who, reason), gone, apart=apart)
            return []

        self._broker.transact("discard", work)
        return len(gone)

    def retry(self, case_id: int, who: str, reason: str, *, pinned: bool = False, resolved_as: str = "") -> int:
        """Run the dead letters of a case again, in the current version of their route unless ``pinned``.

        ``resolved_as`` (``done`` or ``not-done``) decides an effect in doubt.

        Raises:
            NotAllowed: ``SYS205`` in doubt and not resolved, ``SYS206`` nothing to retry.
        """
        resolved: Puts = []

        def work(tx: Any) -> Puts:
            apart = self._ledger.must_be_open(tx, case_id) == _APART
            puts: Puts = self._ledger.take_dead_of_case(tx, case_id)
            if not puts:
                raise NotAllowed("SYS206", f"case {case_id} has no dead letter to retry", hint="release or discard it")
            again: Puts = []
            for channel, message in puts:
                doubtful = self._ledger.in_doubt(tx, message.headers.id, channel)
                if doubtful and resolved_as not in ("done", "not-done"):
                    raise NotAllowed(
                        "SYS205",
                        "whether the partner got it is in doubt",
                        hint="ask him, then --resolved-as done|not-done --reason",
                    )
                if doubtful and not reason:
                    raise NotAllowed(
                        "SYS204", "deciding a doubt needs a reason", hint='add --reason "what the partner said"'
                    )
                if doubtful:
                    self._ledger.resolve_doubt(tx, message, channel, happened=resolved_as == "done")
                if not doubtful or resolved_as == "not-done":
                    version = message.headers.version if pinned else 0
                    again.append((channel, message.with_headers(attempt=0, version=version)))
                else:
                    resolved.append((channel, message))
            self._close(tx, case_id, "retried", (who, reason), puts, apart=apart)
            return again

        return self._broker.transact("retry", work) + len(resolved)

    def _close(
        self, tx: Any, case_id: int, state: str, by: tuple[str, str], messages: Puts, *, apart: bool = False
    ) -> None:
        for channel, message in messages:
            settlement = Settlement(channel, message.headers.version)
            outputs = () if state == "discarded" else ((channel, message),)
            settlement.events.append(Event(message, state, reason=by[1], outputs=outputs))
            if state == "discarded" and isinstance(message.body, Group):
                settlement.closed_groups.append(message.body.number)
            plain = msgspec.structs.replace(message.headers, sequence=None)
            settlement.report(Message(plain), state)
            self._ledger.apply(tx, settlement)
            if not apart:
                self._ledger.decide_arrival(tx, message.headers.id, state)
        self._ledger.close_case(tx, case_id, state, by)
        self._ledger.audit(tx, by[0], state, f"case {case_id}", by[1])
