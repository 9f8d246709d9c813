"""Where a transaction is, in sentences: what a controller reads first in ``bus trace`` and ``bus cases show``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bus.cli.moments import age, span, stamp
from bus.cli.output import clean
from bus.ledger.reading import Amount, Total, route_of
from bus.ledger.reading_places import Case, Where
from bus.ledger.reading_trace import Trace

_STATUSES = {
    "RCVD": "received", "PDNG": "pending", "ACTC": "format checked", "ACCP": "checked", "ACWC": "accepted with change",
    "ACFC": "funds checked", "ACSP": "in settlement", "ACSC": "settled", "ACCC": "credited to the payee",
    "PART": "partly accepted", "RJCT": "rejected", "CANC": "cancelled",
}  # fmt: skip
"""ISO external payment transaction status codes, in words."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a place does not tell by itself: whether the bus runs, which routes are paused; ``now`` in milliseconds."""

    now: int
    running: bool = True
    hold_outputs: bool = False
    states: dict[str, str] = field(default_factory=dict)
    outlets: frozenset[str] = frozenset()


def step_name(step: str) -> str:
    """A step as people count: one without a name is ``2`` for the second of its route, or ``north.2`` of a branch."""
    flow, dot, last = step.rpartition(".")
    return f"{flow}{dot}{int(last) + 1}" if last.isdigit() else step


def mood(trace: Trace, around: Circumstances) -> str:
    """One word for the corner: DONE, WAITS, STUCK, REJECTED; with how long for what is stuck."""
    where = trace.where
    if where.kind in ("rejected", "discarded", "withdrawn") or (where.kind == "answered" and where.status == "RJCT"):
        return "REJECTED"
    stuck = where.kind in ("dead", "in_doubt") or where.overdue or (where.kind == "held" and where.case is not None)
    if stuck or (where.kind == "split" and any(_undecided(case) for case in trace.cases)):
        return f"STUCK {age(where.since, around.now)}"
    return "DONE" if trace.finished else "WAITS"


def _undecided(case: Case) -> bool:
    """Somebody has to act before all is done; a case that only tells of refused records is for information."""
    return case.state == "open" and (case.waits > 0 or case.code.startswith("SLA"))


def title(trace: Trace) -> str:
    """``invoice INV-2026-00417 · 12,480.00 EUR · payment P-17 · PAYRUN_1.csv line 17``."""
    subject = trace.subject
    named = trace.found_by not in ("message", "number")
    parts = [f"{trace.found_by} {clean(trace.asked)}" if named else f"message {subject.message}"]
    if subject.worth is not None:
        parts.append(str(subject.worth))
    parts += [f"{name} {clean(value)}" for name, value in subject.keys if value != trace.asked][:4]
    if trace.arrival is not None and trace.arrival.name != trace.asked:
        parts.append(" ".join(filter(None, (clean(trace.arrival.name), subject.place))))
    return " · ".join([*parts, "copy"] if subject.copy else parts)


def sentence(where: Where, around: Circumstances) -> str:
    """Where it is and what it waits for."""
    return _SENTENCES[where.kind](where, around)


def money(totals: tuple[Total, ...]) -> str:
    """``3 (400.10 EUR), 1 (5.00 USD)``; counts alone where there is no amount."""
    without = " without amount" if any(total.currency for total in totals) else ""
    told = sorted(totals, key=lambda total: not total.currency)
    return ", ".join(
        f"{total.count} ({Amount(total.amount, total.currency)})" if total.currency else f"{total.count}{without}"
        for total in told
    )


def next_commands(trace: Trace) -> list[str]:
    """What can be typed now."""
    where = trace.where
    if where.case is None:
        return []
    number = where.case
    commands = [f"bus cases show {number}"]
    if where.kind == "held":
        commands += [f"bus cases release {number} --reason …", f"bus cases discard {number} --reason …"]
    elif where.kind == "dead":
        commands += [f"bus cases retry {number}", f"bus cases discard {number} --reason …"]
    elif where.kind == "in_doubt":
        commands += [f"bus cases retry {number} --resolved-as done|not-done --reason …"]
    return commands


# ---------------------------------------------------------------- sentence by sentence


def _because(where: Where) -> str:
    reason = clean(where.reason)
    return f"{reason} ({where.code})" if where.code else reason


def _case(where: Where) -> str:
    return f" · case {where.case}" if where.case is not None else ""


def _until(where: Where, around: Circumstances, before: str = "until") -> str:
    if where.until is None:
        return ""
    left = where.until.timestamp() * 1000 - around.now
    how = f"in {span(left)}" if left > 0 else "now"
    return f"{before} {stamp(where.until)} UTC ({how})"


def _queued(where: Where, around: Circumstances) -> str:
    outlet = where.place in around.outlets
    text = f"Waits to be sent to {where.place}" if outlet else f"Waits for its turn in {where.place}"
    text += f" since {stamp(where.since)} UTC"
    if around.states.get(route_of(where.place)) == "paused":
        text += f" · route {route_of(where.place)} is paused"
    if not around.running:
        text += " · no bus runs"
    elif outlet and around.hold_outputs:
        text += " · outputs are held back"
    return text


def _gathering(where: Where, around: Circumstances) -> str:
    text = f"Waits in its group ({where.members} so far)"
    if where.missing:
        text += f" for the rest of its file: {where.missing} records are on their way"
    due = _until(where, around, "which goes")
    return text + (f", {due}" if due else "")


def _held(where: Where, around: Circumstances) -> str:
    why = f": {_because(where)}" if where.reason else ""
    return " ".join(filter(None, (f"Held since {stamp(where.since)} UTC", _until(where, around)))) + why + _case(where)


def _deferred(where: Where, around: Circumstances) -> str:
    again = _until(where, around, "Runs again")
    return f"Failed {where.attempt} {'time' if where.attempt == 1 else 'times'}: {_because(where)}. {again}"


def _split(where: Where, _around: Circumstances) -> str:
    what = f"Split into {where.members} {'record' if where.members == 1 else 'records'}"
    return f"{what}, {where.missing} still on the way" if where.missing else f"{what}, all accounted for"


def _rejected(where: Where, around: Circumstances) -> str:
    text = f"Rejected: {_because(where)}"
    return f"{text} · reject file: {sentence(where.then, around)}" if where.then is not None else text


def _withdrawn(where: Where, around: Circumstances) -> str:
    text = "Taken back: its file was refused as a whole"
    return f"{text} · the file: {sentence(where.then, around)}" if where.then is not None else text


def _delivered(where: Where, _around: Circumstances) -> str:
    name = f" as {clean(where.file)}" if where.file else ""
    return f"Delivered to {where.outlet}{name}, {stamp(where.since)} UTC"


def _awaiting(where: Where, around: Circumstances) -> str:
    which = f" ({where.missing} of {where.members} payments)" if where.members > 1 else ""
    text = f"{_delivered(where, around)} · waits for the answer of {where.partner}{which}"
    if not where.overdue:
        return f"{text} {_until(where, around)}"
    late = f" since {stamp(where.until)} UTC" if where.until is not None else ""
    return f"{text}, overdue{late}{_case(where)}"


def _answered(where: Where, _around: Circumstances) -> str:
    words = _STATUSES.get(where.status, "")
    status = f"{words} ({where.status})" if words else where.status
    reason = f", reason {clean(where.reason)}" if where.reason else ""
    return f"{where.partner} answered: {status}{reason}, {stamp(where.since)} UTC"


def _resequencing(where: Where, around: Circumstances) -> str:
    return " ".join(filter(None, (f"Waits for number {where.missing} before it", _until(where, around))))


_SENTENCES: dict[str, Callable[[Where, Circumstances], str]] = {
    "queued": _queued,
    "loading": lambda _w, _a: "Its file is still being split; all its records go on at once",
    "withdrawn": _withdrawn,
    "gathering": _gathering,
    "held": _held,
    "deferred": _deferred,
    "resequencing": _resequencing,
    "dead": lambda w, _a: f"Needs a person: {_because(w)}{_case(w)}",
    "in_doubt": lambda w, _a: f"In doubt whether the partner has it: {_because(w)}{_case(w)}",
    "split": _split,
    "rejected": _rejected,
    "filtered": lambda w, _a: f"Left out by step {step_name(w.step)} of route {route_of(w.place)}",
    "ended": lambda w, _a: f"Ended on purpose at step {step_name(w.step)} of route {route_of(w.place)}",
    "discarded": lambda w, _a: f"Thrown away by a person, {stamp(w.since)} UTC: {clean(w.reason)}",
    "delivered": _delivered,
    "awaiting": _awaiting,
    "answered": _answered,
}
