"""Leases: what only one process at a time may do, for a while, with a token that fences off who held it before.

All times are the database's own, so that the clocks of machines need not agree. A token grows with every new holder; a
write that is guarded by a token is refused in its own transaction as soon as somebody else has taken over, however long
the old holder was frozen in between. Tokens are numbers of the one counter that also numbers processes: what a holder
leaves with a partner bears his token, and who holds the lease later has a higher one, whichever process started first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bus.errors import Retryable
from bus.ledger.versions import next_epoch
from bus.ports import Store

TERM = 9_000
"""Milliseconds for which a process holds what it does not renew."""


def acquire(store: Store, tx: Any, name: str, owner: str, term: int = TERM) -> int:
    """Take a lease that is free, over its time or this owner's already; its token, 0 = somebody else holds it."""
    store.lock(tx, [_name(name)])
    now = store.time(tx)
    row = tx.execute("SELECT owner, token, until FROM lease WHERE name = ?", (name,)).fetchone()
    if row is None:
        token = next_epoch(tx)
        tx.execute("INSERT INTO lease VALUES (?, ?, ?, ?)", (name, owner, token, now + term))
        return token
    holder, token, until = row
    if holder != owner:
        if until > now:
            return 0
        token = max(next_epoch(tx), token + 1)
    tx.execute("UPDATE lease SET owner = ?, token = ?, until = ? WHERE name = ?", (owner, token, now + term, name))
    return int(token)


def renew(store: Store, tx: Any, name: str, token: int, term: int = TERM) -> bool:
    """Hold it for another term; false when somebody else has it. One that is over its time and still free is ours."""
    until = store.time(tx) + term
    sql = "UPDATE lease SET until = ? WHERE name = ? AND token = ? RETURNING 1"
    return bool(tx.execute(sql, (until, name, token)).fetchall())


def release(tx: Any, name: str, token: int) -> None:
    """Give it back at once. The row stays, so that the next token is a higher one; nobody owns it."""
    tx.execute("UPDATE lease SET until = 0, owner = '' WHERE name = ? AND token = ?", (name, token))


def guard(store: Store, tx: Any, name: str, token: int) -> None:
    """Let the rest of the transaction happen only while the token is the newest one; nobody takes over before its end.

    Raises:
        Retryable: ``SYS122`` somebody else has taken over.
    """
    store.lock(tx, [_name(name)], share=True)
    row = tx.execute("SELECT token FROM lease WHERE name = ?", (name,)).fetchone()
    if row is None or row[0] != token:
        raise Retryable("SYS122", f"another process has taken over `{name}`", hint="nothing: it goes on there")


def _name(name: str) -> str:
    return f"lease {name}"


class Holdings:
    """The leases of one process. Where a store has one process, everything is held without asking.

    Args:
        store: where leases are kept.
        owner: name of this process that no other process ever had.
        term: milliseconds that a lease lasts; :meth:`renew` must be called more often.
    """

    def __init__(self, store: Store, owner: str, term: int = TERM) -> None:
        self._store = store
        self.owner = owner
        self.term = term
        self._held: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._asked: dict[str, float] = {}
        self._sure_until = 0.0
        """Until then nobody else can have taken what is held; who was frozen longer asks again."""
        self._lock = threading.Lock()

    def mine(self, name: str) -> bool:
        """Whether this process may do it now; a lease that is free is taken. Asks at most twice a second."""
        if not self._store.shared or self.has(name):
            return True
        now = time.monotonic()
        with self._lock:
            if now < self._asked.get(name, 0.0):
                return False
            self._asked[name] = now + 0.5
        token = self._store.commit("lease", lambda tx: acquire(self._store, tx, name, self.owner, self.term))
        if token:
            if not self._held:
                self._sure_until = now + self.term / 1000
            self._held[name] = self._latest[name] = token
        return bool(token)

    def has(self, name: str) -> bool:
        """Whether this process holds it. Who could not renew in time, for it was frozen, asks before it answers."""
        if name in self._held and time.monotonic() >= self._sure_until:
            self.renew()
        return name in self._held

    def sure(self, name: str) -> bool:
        """Whether nobody else can have taken it meanwhile; asks nobody, so that who is cut off can ask."""
        return not self._store.shared or (name in self._held and time.monotonic() < self._sure_until)

    def token(self, name: str) -> int:
        """The token that it is held with; 0 = it is not, or nobody has to hold it."""
        return self._held.get(name, 0)

    def latest(self, name: str) -> int:
        """The token that it is held with, or was when it was held last; 0 = it never was, or nobody has to hold it."""
        return self._latest.get(name, 0)

    def give_back(self, name: str) -> None:
        """Let somebody else have it at once."""
        token = self._held.pop(name, 0)
        if token:
            self._store.commit("lease", lambda tx: release(tx, name, token))

    def guard(self, tx: Any, name: str) -> None:
        """As :func:`guard`, with the token of this process; forgets a lease that is lost.

        Raises:
            Retryable: ``SYS122`` another process has it.
        """
        if self._store.shared:
            try:
                guard(self._store, tx, name, self._held.get(name, 0))
            except Retryable:
                self._held.pop(name, None)
                raise

    def renew(self) -> None:
        """Hold everything for another term; what somebody else has taken is forgotten."""
        held = sorted(self._held.items())
        asked = time.monotonic()

        def work(tx: Any) -> list[str]:
            return [name for name, token in held if not renew(self._store, tx, name, token, self.term)]

        for lost in self._store.commit("lease", work) if held else ():
            self._held.pop(lost, None)
        self._sure_until = asked + self.term / 1000

    @contextmanager
    def renewing(self, failed: Callable[[str, Exception], None] = lambda _task, _error: None) -> Iterator[None]:
        """Hold everything for as long as the block takes, in a thread that nothing keeps from that.

        Args:
            failed: told of an error.
        """
        ending = threading.Event()

        def stay() -> None:
            while not ending.wait(self.term / 3000):
                try:
                    self.renew()
                except Exception as error:  # noqa: BLE001 - the database may be back at the next turn
                    failed("leases", error)

        thread = threading.Thread(target=stay, name="leases", daemon=True)
        if self._store.shared:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            if thread.is_alive():  # where the database is away it waits longer, and renews nothing any more
                thread.join(self.term / 1000)

    def release(self) -> None:
        """Give everything back, at the end."""
        held, self._held = self._held, {}

        def work(tx: Any) -> None:
            for name, token in held.items():
                release(tx, name, token)

        if held:
            self._store.commit("lease", work)
