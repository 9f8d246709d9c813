"""Bugs to plant into a copy of the sources: a suite of crashes that does not turn red on them proves nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COPIED = ("bus", "endpoints", "transforms", "certs", "routes", "tests/faults", "tests/contracts")
JUDGED = ("lost", "doubled", "wrong", "left over")
"""Findings that no slow machine makes. What is merely under way may be late; only bugs that stop something are that."""
STOPS = (*JUDGED, "under way")


@dataclass(frozen=True, slots=True)
class Bug:
    """A replacement of text that must occur exactly once.

    Attributes:
        story: what is wrong with the program that has it.
        shows_at: label of the effects where a crash shows it soonest; empty = not with one process.
        how: further options of the simulation that shows it.
        killed_at: label of the effect where a real kill shows it best; empty = the same.
        shown_by: what a verdict must name for the bug to be found: one of these.
        by_chance: real kills, each when the effect is reached for a time by chance; 0 = a few, at the first time.
        cannot: why the simulator cannot have it, or no real fault shows it.
    """

    story: str
    shows_at: str
    file: str
    old: str
    new: str
    how: tuple[str, ...] = ()
    killed_at: str = ""
    shown_by: tuple[str, ...] = JUDGED
    by_chance: int = 0
    cannot: str = ""


_RABBIT = ("--backbone", "rabbitmq")
_NO_FSYNC = Bug(
    "a commit is not flushed to the disk before it is believed",
    "",
    "bus/ledger/store.py",
    '        connection.execute("PRAGMA synchronous = FULL")\n',
    '        connection.execute("PRAGMA synchronous = OFF")\n',
    cannot="it has no disk",
)
BUGS = {
    "ack-before-commit": Bug(
        "a message is taken off its channel in a commit of its own, before its outputs are committed",
        "commit.segment:after",
        "bus/channels/store.py",
        '        """One commit: take the input away, write the ledger\'s rows, send the output."""\n',
        """
        if deliveries:
            bounds = (deliveries[0].position, deliveries[-1].position)
            self._store.commit(label, lambda tx: tx.execute("DELETE FROM queued WHERE id BETWEEN ? AND ?", bounds))
""",
    ),
    "told-before-commit": Bug(
        "the partner's file is moved to done before its arrival is committed",
        "source.done",
        "bus/runtime/intake.py",
        "        try:\n            unfinished, known = self._ledger.known_arrival(route.name, identity, facts)\n",
        """        inbound.complete("done", identity[:8])
        try:
            unfinished, known = self._ledger.known_arrival(route.name, identity, facts)
""",
        killed_at="source.done:after",
    ),
    "delivered-before-publish": Bug(
        "an output counts as delivered before it is published",
        "commit.delivered",
        "bus/runtime/sender.py",
        '                if not flight.receipt.pop("happened", False):\n',
        """                if not flight.receipt.pop("happened", False):
                    mark = (self.outlet.name, flight.delivery.message.headers.id, flight.delivery.message)
                    early = Settlement(self.outlet.name)
                    early.outbound.append((*mark, {**flight.receipt, "state": "delivered"}))
                    self._broker.settle([flight.delivery], early, "delivered")
""",
        killed_at="sink.rename:before",
    ),
    "no-stage-rule": Bug(
        "after a crash an output is published again without asking whether it is out already",
        "sink.rename",
        "bus/runtime/sender.py",
        '        if state is not None and state[0] == "requested" and not getattr(self.outlet.sink, "keyed", False):\n',
        "        state = None\n        if state is not None:\n",
        killed_at="sink.rename:after",
    ),
    "no-cursor": Bug(
        "a split that was interrupted begins again from its first part, behind the parts that are stored already",
        "commit.stage-batch",
        "bus/runtime/splitting.py",
        "            parts = islice(parts, cursor.next_index, None)",
        "            parts = islice(parts, 0, None)",
        killed_at="commit.stage-batch:after",
    ),
    "id-not-deterministic": Bug(
        "the parts of a split get ids by chance, so a unit that runs again makes other ones",
        "commit.stage-batch",
        "bus/message.py",
        '        digest.update(b"%d" % index)\n',
        '        digest.update(b"%d" % index + __import__("os").urandom(8))\n',
        cannot="the ids are other ones, which no partner sees",
    ),
    "no-sweep": Bug(
        "stage files of a dead owner are never removed",
        "sink.stage",
        "bus/folder/drop.py",
        "            if found and int(found[1]) < end and path.removesuffix(_MARK) not in live:\n",
        "            if found and int(found[1]) < 0 and path.removesuffix(_MARK) not in live:\n",
        killed_at="sink.stage:after",
    ),
    "claim-never-recovered": Bug(
        "a file that a dead owner had claimed is never taken over",
        "source.claim",
        "bus/folder/pickup.py",
        "            if int(claim[1]) <= self.resources.epoch:\n",
        "            if int(claim[1]) == self.resources.epoch:\n",
        killed_at="source.claim:after",
        shown_by=STOPS,
    ),
    "release-twice": Bug(
        "a group counts as released only when its file is made, and is released again where that takes a while",
        "nothing",
        "bus/ledger/gatherings.py",
        "    tx.execute(\"UPDATE gathering SET state = 'released', due = 0 WHERE id = ?\", (group,))\n",
        '    tx.execute("UPDATE gathering SET release = release + 1, due = ? WHERE id = ?", (now + 1_000, group))\n',
        (*_RABBIT, "--refused", "4"),  # the commit that makes files of groups: they wait for a second
        killed_at="commit.segment:after",  # without a broker the next process makes files before it looks what is due
    ),
    "batch-poisoned": Bug(
        "one message whose commit is refused takes its whole batch into the grave",
        "nothing",
        "bus/runtime/worker.py",
        "                for delivery in done:\n                    self._handle(route, channel, [delivery])\n",
        "                self._broker.settle(done, Settlement(channel, route.version), 'lost')\n",
        ("--refused", "2,5,9"),
        cannot="a store would have to refuse single commits",
    ),
    "no-inbox": Bug(
        "what was settled is not written into the inbox, so a second copy is not told from the first",
        "commit.",
        "bus/channels/amqp/broker.py",
        "        if not deliveries:\n            return\n        came",
        "        if deliveries:\n            return\n        came",
        _RABBIT,
        killed_at="amqp.acknowledge:before",
    ),
    "acknowledged-before-commit": Bug(
        "the broker is told to forget a message before its outputs are committed",
        "commit.segment",
        "bus/channels/amqp/broker.py",
        '        commit()\n        self._effect("amqp.acknowledge:before")\n',
        "        self._consumer.settle(self.address.queue(channel), received)\n"
        "        received = []\n"
        '        commit()\n        self._effect("amqp.acknowledge:before")\n',
        _RABBIT,
        killed_at="commit.segment:before",
    ),
    "mark-before-publish": Bug(
        "rows of the outbox are removed before they are published",
        "commit.relay",
        "bus/channels/amqp/relay.py",
        "        while begun := self._begin(channel, _RELAYED):\n"
        "            self._settle(channel, begun)\n"
        "            count += len(begun.rows)\n",
        "        while rows := self._rows(channel, _RELAYED):\n"
        '            self._outbox.settle_with(Settlement(channel), "relay", self._outbox.taking(rows))\n'
        "            out = [self._outgoing(channel, row.message) for row in rows]\n"
        "            self._published(self._publish(out), channel)\n"
        "            count += len(rows)\n",
        _RABBIT,
        killed_at="commit.relay:after",
    ),
    "outbox-skipped": Bug(
        "what a dead process left in the outbox is not published until there is something new for that channel",
        "commit.",
        "bus/channels/amqp/broker.py",
        "        self._pending = set(outbox.channels())\n",
        "        outbox.channels = list\n        self._pending: set[str] = set()\n",
        _RABBIT,
        killed_at="commit.segment:after",
        shown_by=STOPS,
    ),
    "confirm-ignored": Bug(
        "nobody looks whether the broker confirmed what was published",
        "nothing",
        "bus/channels/amqp/broker.py",
        "            self._publisher.wait(job)\n",
        "            return\n",
        (*_RABBIT, "--failing", "5,9,14,20,30,40"),
    ),
    "no-fencing": Bug(
        "a process that was frozen beyond its lease goes on as if it still held it",
        "",
        "bus/ledger/leases.py",
        "    if row is None or row[0] != token:\n",
        "    if row is None:\n",
        cannot="it has one process",
    ),
    "no-fsync": _NO_FSYNC,
    "relay-legs-by-chance": Bug(
        "what is published from the outbox again gets another leg each time",
        "amqp.publish:after",
        "bus/channels/amqp/relay.py",
        "                return _Begun(rows, self._publish(out), take)\n",
        "                legs = iter([__import__('os').urandom(16).hex() for _ in rows])\n"
        "                again = [row.message.with_headers(leg=next(legs)) for row in rows]\n"
        "                out = [self._outgoing(channel, message) for message in again]\n"
        "                return _Begun(rows, self._publish(out), take)\n",
        _RABBIT,
        killed_at="commit.relay:before",
    ),
    "legs-by-chance": Bug(
        "a second run of a unit publishes under other legs",
        "amqp.publish:after",
        "bus/channels/amqp/legs.py",
        "    return _lane(leg[:-16], channel) + leg[-16:]\n",
        "    return __import__('os').urandom(16).hex()\n",
        _RABBIT,
        killed_at="amqp.publish:after",
        by_chance=24,  # most second copies are told by what they are; those of files that came in are not
    ),
}

BEYOND = {
    "no-fencing": Bug(
        "an owner that was frozen beyond its lease goes on writing when it wakes",
        "tests/contracts/test_shared_channels.py::test_a_channel_in_order_has_one_owner_and_its_stale_token_is_refused",
        "bus/ledger/leases.py",
        "    if row is None or row[0] != token:\n",
        "    if row is None:\n",
    ),
    "no-fsync": replace(_NO_FSYNC, shows_at="tests/faults/test_volume.py::test_a_commit_is_there_after_a_power_cut"),
}
"""Bugs that need a second process or a real service: ``shows_at`` is the test that must turn red on them."""


def plant(name: str, target: Path) -> Path:
    """A copy of everything that runs, compiled or not, with one bug in it; returns its folder.

    Raises:
        ValueError: the text to replace is not there exactly once, because the sources have changed.
        SyntaxError: the bug is no program any more.
    """
    bug = {**BUGS, **BEYOND}[name]
    text = with_bug(name, bug)
    for part in _COPIED:
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns(".bus"))
    for name_of_file in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py"):
        shutil.copy2(ROOT / name_of_file, target / name_of_file)
    (target / bug.file).write_text(text, "utf-8")
    return target


def with_bug(name: str, bug: Bug) -> str:
    """The file with the bug in it, which is still a program; a bus that cannot even start would show nothing.

    Raises:
        ValueError: the text to replace is not there exactly once, because the sources have changed.
        SyntaxError: what comes out is no program.
    """
    text = (ROOT / bug.file).read_text("utf-8")
    if text.count(bug.old) != 1:
        raise ValueError(f"the text of `{name}` is {text.count(bug.old)} times in {bug.file}, not once")
    changed = text.replace(bug.old, bug.new)
    compile(changed, bug.file, "exec")
    return changed
