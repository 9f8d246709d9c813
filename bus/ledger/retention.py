"""What the ledger forgets, and when: finished things only, table by table, in small commits.

Nothing that still waits is ever forgotten, however old: a held or deferred message, a dead letter, an open case, an
effect in doubt, a payment without a final status. Audit, totals and route versions stay for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bus.ledger.history import expand
from bus.ports import Store

Read = Callable[..., list[tuple[Any, ...]]]
_FINAL = "status IN ('ACSC', 'ACCC', 'RJCT', 'CANC')"
_NOT_WAITING = (
    "NOT EXISTS (SELECT 1 FROM held WHERE case_id = cases.id) "
    "AND NOT EXISTS (SELECT 1 FROM dead WHERE case_id = cases.id)"
)

_FOLLOWED = (
    "EXISTS (SELECT 1 FROM gathering AS g WHERE g.route = gathering.route AND g.step = gathering.step "
    "AND g.key = gathering.key AND g.batch = gathering.batch AND g.release > gathering.release)"
)
# An arrival that comes again after it was forgotten has the same id: nothing of the first one may be in its way.
_NOTHING_LEFT = (
    "NOT EXISTS (SELECT 1 FROM batch WHERE parent_id = arrival.id) "
    "AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.number = arrival.number) "
    "AND NOT EXISTS (SELECT 1 FROM held WHERE held.number = arrival.number) "
    "AND NOT EXISTS (SELECT 1 FROM deferred WHERE deferred.number = arrival.number)"
)
# What is only staged is staged anew if it comes again; a doubt without its dead letter was discarded by a person.
_GIVEN_UP = (
    "state IN ('staged', 'in_doubt') "
    "AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.number = outbound.number AND dead.channel = outbound.sink) "
    "AND NOT EXISTS (SELECT 1 FROM deferred WHERE deferred.number = outbound.number)"
)
_SIFTED, _LOOKED = "inbox_sifted", "inbox_looked"
"""In the table ``meta``, milliseconds since 1970 UTC: see :func:`sifted`, and when it was asked last."""
_BATCH_GONE = "(batch <> 0 AND NOT EXISTS (SELECT 1 FROM batch AS b WHERE b.id = abs(gathering.batch)))"


class Rule(NamedTuple):
    """Rows of one table that may go; ``old`` has a mark for the time before which they are old, where that counts."""

    kind: str
    """Name of the setting."""
    table: str
    key: str
    old: str


RULES = (
    Rule("arrivals", "arrival", "id", f"at < ? AND state = 'completed' AND {_NOTHING_LEFT}"),
    Rule("outbound", "outbound", "id, sink", "at < ? AND state = 'delivered'"),
    Rule("outbound", "outbound", "id, sink", f"at < ? AND state <> 'delivered' AND {_GIVEN_UP}"),
    Rule("instructions", "instruction", "id", f"changed < ? AND {_FINAL}"),
    Rule("cases", "dead", "id", "at < ? AND EXISTS (SELECT 1 FROM cases WHERE cases.id = case_id AND state <> 'open')"),
    Rule("cases", "cases", "id", f"last < ? AND state <> 'open' AND {_NOT_WAITING}"),
    # The newest stays, so that no number is used again.
    Rule("history", "batch", "id", "at < ? AND state = 'complete' AND id < (SELECT max(id) FROM batch)"),
    # Release numbers are in the ids of released messages and must go on where they were.
    Rule("history", "gathering", "id", f"opened < ? AND state = 'swept' AND ({_FOLLOWED} OR {_BATCH_GONE})"),
    # Its receiver has settled it. The leg goes after it, or it would count again.
    Rule(
        "inbox",
        "under_way",
        "leg, sha256",
        "EXISTS (SELECT 1 FROM inbox WHERE inbox.leg = under_way.leg AND inbox.at < ?)",
    ),
    Rule("inbox", "inbox", "leg", "at < ? AND NOT EXISTS (SELECT 1 FROM under_way WHERE under_way.leg = inbox.leg)"),
)


def sifted(read: Read, now: int, kept: int) -> int:
    """The time before which the inbox is needed no more: no copy of what was entered then can come.

    A copy is told from the first when it is taken from its queue. Nothing is taken from the queues of a paused route,
    of outlets that are held, or of a bus that does not run, and what has gathered there is taken after that: for such
    times the inbox forgets nothing, and later it catches up at twice the pace of time.
    """
    ((paused,),) = read("SELECT min(at) FROM route_state WHERE state = 'paused'")
    words = "SELECT key, value FROM meta WHERE key IN (?, ?, 'hold_outputs')"
    meta: dict[str, int] = dict(read(words, (_SIFTED, _LOOKED)))
    if _SIFTED not in meta:
        return min(now, now if paused is None else paused) - kept
    idle = paused is not None or meta.get("hold_outputs") == 1
    passed = 0 if idle else min(max(now - meta[_LOOKED], 0), kept // 4)
    return min(now - kept, meta[_SIFTED] + 2 * passed)


def look(tx: Any, now: int, before: int) -> None:
    """Write down how far the inbox is needed no more, and when that was."""
    sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    tx.executemany(sql, [(_SIFTED, before), (_LOOKED, now)])


def counted(read: Read, times: dict[str, int], spare: Iterable[str]) -> dict[str, int]:
    """How many rows of each table would go now."""
    found: dict[str, int] = {}
    for rule in RULES:
        where, bindings = _where(rule, times, spare)
        ((count,),) = read(f"SELECT count(*) FROM {rule.table} WHERE {where}", bindings)  # noqa: S608 - rules of ours
        found[rule.table] = found.get(rule.table, 0) + count
    limit = (times["history"], _oldest_waiting(read, times["history"]))
    ((found["history"],),) = read("SELECT count(*) FROM history WHERE at < ? AND last < ?", limit)
    return found


def purge(store: Store, times: dict[str, int], spare: Iterable[str], most: int = 1000) -> dict[str, int]:
    """Forget up to ``most`` rows of each table, a commit for each; returns how many rows went of which table.

    Args:
        store: the ledger's.
        times: setting -> everything before it is old, milliseconds since 1970 UTC.
        spare: endpoints whose arrivals are never forgotten: their partners leave files where they are, for ever.
        most: rows of one commit.
    """
    gone: dict[str, int] = {}
    for rule in RULES:
        where, bindings = _where(rule, times, spare)
        page = f"SELECT {rule.key} FROM {rule.table} WHERE {where} LIMIT ?"  # noqa: S608 - rules of ours
        if store.read(page, (*bindings, 1)):
            sql = f"DELETE FROM {rule.table} WHERE ({rule.key}) IN ({page}) RETURNING 1"  # noqa: S608 - rules of ours

            def work(tx: Any, sql: str = sql, bindings: tuple[Any, ...] = bindings) -> int:
                return len(tx.execute(sql, (*bindings, most)).fetchall())

            gone[rule.table] = gone.get(rule.table, 0) + store.commit("purge", work)
    limit = (times["history"], _oldest_waiting(store.read, times["history"]))
    if store.read(_HISTORY, (*limit, 1)):
        gone["history"] = store.commit("purge", lambda tx: _forget_history(tx, limit, most))
    return {table: count for table, count in gone.items() if count}


_HISTORY = "SELECT id, at, version, place, packed FROM history WHERE at < ? AND last < ? ORDER BY at LIMIT ?"


def _where(rule: Rule, times: dict[str, int], spare: Iterable[str]) -> tuple[str, tuple[Any, ...]]:
    names = tuple(spare) if rule.table == "arrival" else ()
    beside = f" AND endpoint NOT IN ({', '.join('?' * len(names))})" if names else ""
    return rule.old + beside, ((times[rule.kind],) * rule.old.count("?") + names)


def _oldest_waiting(read: Read, before: int) -> int:
    """Lowest number of a message that still waits for something: what happened from there on is kept.

    Of groups those are looked into that are older than what is forgotten: others have younger members.
    """
    waiting = (
        "SELECT min(number) AS n FROM held UNION ALL SELECT min(number) FROM dead "
        "UNION ALL SELECT min(number) FROM deferred UNION ALL SELECT min(number) FROM parked "
        "UNION ALL SELECT min(parent_number) FROM batch WHERE state <> 'complete' "
        "UNION ALL SELECT min(member.number) FROM gathering JOIN member "
        "ON member.id >= gathering.id << 30 AND member.id < (gathering.id + 1) << 30 "
        "WHERE gathering.opened < ? AND gathering.state IN ('open', 'released')"
    )
    ((found,),) = read(f"SELECT min(n) FROM ({waiting}) AS waiting", (before,))  # noqa: S608 - from above
    return 1 << 62 if found is None else int(found)


def _forget_history(tx: Any, limit: tuple[int, int], most: int) -> int:
    """Packed rows, with the business keys of the messages that came into being in them."""
    rows = tx.execute(_HISTORY, (*limit, most)).fetchall()
    keys = []
    for row in rows:
        for hop in expand(row[1:]):
            keys.append((hop["message"], "message", hop["number"]))
            born = hop["born"]
            if born is not None:
                keys += [(value, name, hop["number"]) for name, value in born["keys"]]
                keys.append((born["name"], "file", hop["number"]))
    tx.executemany("DELETE FROM business_key WHERE value = ? AND name = ? AND number = ?", keys)
    tx.executemany("DELETE FROM history WHERE id = ?", [(row[0],) for row in rows])
    return len(rows)
