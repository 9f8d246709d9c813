"""A scripted bank: takes pain.001 files, answers with pain.002, states accounts with camt.053, and forgets nothing.

It works on its local folder, the disk behind the SFTP server that its customers see. It reads and writes with lxml and
the published schemas alone, never with girobus' own translators: it is the independent check of them.

::

    inbox/          files from customers; what begins with a dot (``.stage``) is not there yet
    processed/      000001-NAME: taken files with their arrival number
    outbox/         PAIN002_*.xml and CAMT053_*.xml for customers
    journal.jsonl   one line a received transaction (:class:`bus.testing.bank_journal.Received`)
    state.json      how far each file and each account has got
    .answers/       answers that are written and not yet published

A bank may die at any moment. The next one over the same folder goes on: every answer is published exactly once, under a
name that follows from the arrival number.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from bus.ports import Clock, EffectHook
from bus.testing.bank_checks import Answers, Head, Judge, Verdict, minor_units
from bus.testing.bank_documents import Entry, Report, Statement
from bus.testing.bank_journal import Journal, Received, read_journal

__all__ = ["Answers", "Bank", "Event", "Received", "read_journal"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something the bank did.

    Attributes:
        kind: ``accepted`` or ``refused`` (a file was judged), ``published`` (an answer or statement is in the outbox).
        file: name of the delivered or of the published file.
        arrival: number of the judged file, 0 for ``published``.
        reason: why a file was refused whole.
        transactions: how many transactions were received in a judged file.
        rejected: how many of them were refused one by one.
    """

    kind: str
    file: str
    arrival: int = 0
    message_id: str = ""
    reason: str = ""
    transactions: int = 0
    rejected: int = 0


class _Open(msgspec.Struct):
    """A judged file whose answers are still to be written."""

    arrival: int
    head: Head
    reason: str
    text: str


class _Account(msgspec.Struct):
    """How far the statements of an account in one currency have got."""

    sequence: int
    closing: Decimal
    day: str
    booked: int
    """Arrival up to which settled payments are in a statement."""
    owner: str
    bic: str
    version: str


class _State(msgspec.Struct):
    judged: int = 0
    """Arrival up to which the journal is complete."""
    journal: int = 0
    """Bytes of the journal that are complete."""
    unanswered: list[_Open] = []
    publish: list[str] = []
    """Answers that are written; those still in ``.answers`` are not yet published."""
    accounts: dict[str, _Account] = {}


class Bank:
    """A bank over its folder; one at a time. Nothing runs by itself: tests and the demo call its methods.

    Args:
        name: letters, digits and ``-``; part of the ids and file names of its reports.
        root: its folder; the sub-folders are made.
        schemas: folder of the ISO 20022 schemas, files named like ``pain.001.001.09.xsd``.
        clock: for the creation times of documents.
        answers: how it answers.
        effect: called before and after everything that changes the disk (``bank.take:before`` …); tests crash in it.

    Raises:
        ValueError: the name has other characters, the journal has lost lines that the state knows of, or the state
            beside a journal is gone.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        *,
        schemas: Path,
        clock: Clock,
        answers: Answers | None = None,
        effect: EffectHook = lambda _label: None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]{1,40}", name):
            raise ValueError("a bank's name has 1 to 40 letters, digits or `-`; ids and file names contain it")
        self.name = name
        self.root = root
        self.inbox, self.outbox = root / "inbox", root / "outbox"
        self._processed, self._stage = root / "processed", root / ".answers"
        for folder in (self.inbox, self.outbox, self._processed, self._stage):
            folder.mkdir(parents=True, exist_ok=True)
        self.answers = answers or Answers()
        self._clock = clock
        self._effect = effect
        self._state = self._load()
        if not (root / "state.json").exists():
            self._save()  # before the journal is made: a journal without a state is a sign of loss
        self._journal = Journal(root / "journal.jsonl", self._state.journal)
        self._judge = Judge(schemas, self._journal, self.answers)
        self._verdicts: dict[int, Verdict] = {}
        numbered = [(path.name.partition("-")[0], path) for path in self._processed.iterdir()]
        self._taken = {int(number): path for number, path in numbered if number.isdecimal()}
        self._last = max([self._state.judged, *self._taken])
        for path in self._stage.iterdir():
            if path.name not in self._state.publish:
                path.unlink()  # an earlier bank died before it decided to publish this; it will be written again

    def journal(self) -> list[Received]:
        """Every transaction ever received, in order; compare with what was sent to find lost and doubled ones."""
        return self._journal.read()

    # ------------------------------------------------------------ files in, reports out

    def work_once(self, most: int = 100) -> list[Event]:
        """Take up to ``most`` new files, judge them, answer what is unanswered; leaves nothing half-done."""
        events = self._publish()
        self._take(most)
        events += self._judge_taken()
        if not self.answers.silent:
            self._answer()
        return events + self._publish()

    def _take(self, most: int) -> None:
        with os.scandir(self.inbox) as found:
            names = sorted(e.name for e in found if not e.name.startswith(".") and e.is_file(follow_symlinks=False))
        for name in names[:most]:
            # Customers may call their files what they like; what is no text or very long is cut to what a disk takes.
            kept = name.encode("utf-8", "replace").decode()[:100]
            target = self._processed / f"{self._last + 1:06d}-{kept}"
            self._effect("bank.take:before")
            try:
                (self.inbox / name).rename(target)
            except FileNotFoundError:
                continue  # the customer took it back
            self._effect("bank.take:after")
            self._last += 1
            self._taken[self._last] = target

    def _judge_taken(self) -> list[Event]:
        events: list[Event] = []
        for arrival in range(self._state.judged + 1, self._last + 1):
            path = self._taken.get(arrival)
            if path is None:
                continue
            name = path.name.partition("-")[2]
            verdict = self._judge.verdict(path.read_bytes(), arrival, name)
            self._journal.add(verdict.received)
            self._verdicts[arrival] = verdict
            self._state.unanswered.append(_Open(arrival, verdict.head, verdict.reason, verdict.text))
            kind = "refused" if verdict.reason else "accepted"
            rejected = sum(one.status == "rejected" for one in verdict.received)
            facts = (arrival, verdict.head.message_id, verdict.reason, len(verdict.received), rejected)
            events.append(Event(kind, name, *facts))
        if events:
            self._effect("bank.journal:before")
            self._journal.commit()
            self._effect("bank.journal:after")
            self._state.journal = self._journal.size
            self._state.judged = self._last
            self._save()
        return events

    def _answer(self) -> None:
        if not self._state.unanswered:
            return
        self._recall()
        for file in self._state.unanswered:
            for number, content in enumerate(self._reports(file), 1):
                self._write(f"PAIN002_{self.name}_{file.arrival:06d}_{number}.xml", content)
        self._verdicts.clear()
        self._state.unanswered = []
        self._save()

    def _reports(self, file: _Open) -> list[bytes]:
        verdict = self._verdicts[file.arrival]
        version = file.head.version or self.answers.version
        ids = [f"{self.name[:20].upper()}-{file.arrival:06d}-{number}" for number in (1, 2)]
        first, second = (Report(i, self._clock.now(), version, verdict) for i in ids)
        if file.reason:
            return [first.group("RJCT")]
        return [first.group(self.answers.first), second.transactions(explicit=self.answers.explicit)]

    def _recall(self) -> None:
        """Verdicts that an earlier bank over this folder reached and did not answer, from the journal."""
        missing = [file for file in self._state.unanswered if file.arrival not in self._verdicts]
        if not missing:
            return
        received: dict[int, list[Received]] = {file.arrival: [] for file in missing}
        for one in self._journal.read():
            if one.arrival in received:
                received[one.arrival].append(one)
        for file in missing:
            self._verdicts[file.arrival] = Verdict(file.head, received[file.arrival], file.reason, file.text)

    # ------------------------------------------------------------ statements

    def statement(self, day: date) -> list[Event]:
        """End ``day``: a camt.053 for each debtor account and currency, with the settled payments not yet in one.

        An account that has a statement of that day or a later one gets no other. Every debtor account that ever
        appeared gets one, also without entries.
        """
        events = self._publish()
        for key, payments in self._unstated().items():
            known = self._state.accounts.get(key)
            if known is not None and known.day >= day.isoformat():
                continue
            statement = self._statement(key, day, payments)
            self._write(_statement_name(statement), statement.write())
            self._state.accounts[key] = _Account(
                statement.sequence,
                statement.closing,
                day.isoformat(),
                self._state.judged,
                statement.owner,
                statement.bic,
                statement.version,
            )
        self._save()
        return events + self._publish()

    def _unstated(self) -> dict[str, list[Received]]:
        found: dict[str, list[Received]] = {key: [] for key in self._state.accounts}
        for one in self._journal.read():
            key = f"{one.debtor_account}|{one.currency}"
            known = self._state.accounts.get(key)
            if one.status == "settled" and (known is None or one.arrival > known.booked):
                found.setdefault(key, []).append(one)
        return found

    def _statement(self, key: str, day: date, payments: list[Received]) -> Statement:
        account, _, currency = key.rpartition("|")
        known = self._state.accounts.get(key)
        last = payments[-1] if payments else None
        least = Decimal(1).scaleb(-minor_units(currency))
        debits = [
            Entry(-1, p.amount, p.end_to_end_id, p.creditor_name, p.creditor_account, p.remittance, p.message_id,
                  p.payment_information_id)
            for p in payments
        ]  # fmt: skip
        return Statement(
            account=account,
            currency=currency,
            owner=last.debtor_name if last else known.owner if known else "",
            bic=last.debtor_bic if last else known.bic if known else "",
            version=last.version if last else known.version if known else self.answers.version,
            sequence=known.sequence + 1 if known else 1,
            day=day,
            opening=known.closing if known else self.answers.opening.quantize(least),
            entries=(*debits, *self._credits(key, day, least)),
            created=self._clock.now(),
        )

    def _credits(self, key: str, day: date, least: Decimal) -> list[Entry]:
        """Money from customers, the same for the same account and day."""
        if not self.answers.credits:
            return []
        seed = hashlib.sha256(f"{key}|{day.isoformat()}".encode()).digest()
        found = []
        for number in range(1 + seed[0] % self.answers.credits):
            units = 1 + int.from_bytes(seed[number * 3 % 28 + 1 :][:3], "big") % 5_000_000
            reference = f"CUST-{seed.hex()[:8].upper()}-{number + 1}"
            entry = Entry(1, units * least, reference, f"Customer {seed[1]:03d}", "", f"Receipt {reference}")
            found.append(entry)
        return found

    # ------------------------------------------------------------ the disk

    def _write(self, name: str, content: bytes) -> None:
        """Write an answer where only the bank looks. Published later, by a rename that can be asked if it happened."""
        temp = self._stage / f".{name}"
        self._effect("bank.answer:before")
        temp.write_bytes(content)
        temp.rename(self._stage / name)
        self._effect("bank.answer:after")
        self._state.publish.append(name)

    def _publish(self) -> list[Event]:
        events: list[Event] = []
        for name in self._state.publish:
            staged = self._stage / name
            # Nobody else touches this folder: what is gone from it has been published, wherever it may be by now.
            if staged.exists():
                self._effect("bank.publish:before")
                staged.rename(self.outbox / name)
                self._effect("bank.publish:after")
                events.append(Event("published", name))
        if self._state.publish:
            self._state.publish = []
            self._save()
        return events

    def _load(self) -> _State:
        path = self.root / "state.json"
        if not path.exists():
            if (self.root / "journal.jsonl").exists():
                raise ValueError(f"{path} is gone, so nobody knows which lines of the journal beside it are whole")
            return _State()
        return msgspec.json.decode(path.read_bytes(), type=_State)

    def _save(self) -> None:
        path = self.root / "state.json"
        temp = path.with_name(".state.json")
        self._effect("bank.state:before")
        with temp.open("wb") as file:
            file.write(msgspec.json.encode(self._state))
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
        self._effect("bank.state:after")


def _statement_name(statement: Statement) -> str:
    account = re.sub(r"[^A-Za-z0-9]", "", statement.account)
    return f"CAMT053_{account}_{statement.currency}_{statement.day:%Y%m%d}.xml"
