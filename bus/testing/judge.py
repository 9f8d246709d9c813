"""Judges a landscape that has come to rest: every payment in exactly one place, every cent kept, nothing under way.

It believes nobody: what was sent is told by the ERP's own truth, what was received by the banks' append-only journals
and by the files in the partners' folders. Only what waits for a person is asked of the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from bus.message import decode
from bus.testing.erp import Received as ErpReceived
from bus.testing.judged_files import Statements, left_over, notices, outputs_fault, reject_faults
from bus.testing.landscape import Town
from bus.testing.payrun import Line, PaymentRun

Read = Callable[[str], list[tuple[Any, ...]]]
CLASSES = ("bank-north", "bank-south", "treasury", "bad")
_FINAL = {"settled": "ACSC", "rejected": "RJCT"}
_BANK_OF = {"large": "bank-north", "unplaced": "bank-south"}
_MOST_NAMED = 20
# Rows that must not exist once everything is at rest, and what they would mean.
_AT_REST = (
    ("SELECT count(*) FROM queued", "messages on channels"),
    ("SELECT count(*) FROM deferred", "units waiting for another attempt"),
    ("SELECT count(*) FROM member", "members of groups"),
    ("SELECT count(*) FROM parked", "messages waiting for a predecessor"),
    ("SELECT count(*) FROM gathering WHERE state <> 'swept'", "groups that are not finished"),
    ("SELECT count(*) FROM batch WHERE state <> 'complete'", "batches that are not complete"),
    ("SELECT count(*) FROM lane WHERE state <> 'main'", "lanes of finished batches"),
    ("SELECT count(*) FROM outbound WHERE state <> 'delivered'", "effects that are not delivered"),
    ("SELECT count(*) FROM arrival WHERE state <> 'completed'", "arrivals whose partner was not told"),
)


@dataclass(slots=True)
class Scene:
    """What is judged.

    Attributes:
        town: the partners.
        runs: everything that the ERP dropped, each with its truth.
        read: a query on the committed ledger.
        home: folder of ledger and blobs.
        local: folder of the outlets on our own disk (``treasury``, ``legacy-ledger``, ``notices``), None = not judged.
        schemas: ISO 20022 schemas that the outputs must be valid under.
        answered: the banks have answered everything, so the ERP must have heard of every payment's end.
        released: end-to-end ids of payments that the treasury has let go: they belong to a bank.
    """

    town: Town
    runs: list[PaymentRun]
    read: Read
    home: Path
    schemas: Path
    local: Path | None = None
    answered: bool = True
    released: frozenset[str] = frozenset()


@dataclass(slots=True)
class Sum:
    """Count and exact sum of one class of lines in one currency."""

    count: int = 0
    amount: Decimal = Decimal(0)

    def add(self, amount: Decimal) -> None:
        """One more."""
        self.count += 1
        self.amount += amount


@dataclass(slots=True)
class Judgement:
    """The verdict; clean when all lists are empty.

    Attributes:
        lost: payments, statuses and entries that are nowhere.
        doubled: those that are in more than one place, or twice in one.
        wrong: those in another place or with other facts than expected, phantoms, and invalid files.
        unfinished: what the ledger still has under way.
        left_over: claim, stage and temporary files.
        expected: (class, currency) -> lines that were sent.
        found: the same, as the banks, the treasury and the ERP have them.
        files: outputs to banks.
        valid: those of them that are valid under ISO's schemas with right control totals.
        duplicates: files held as suspected duplicates.
        refused: files refused as a whole.
        statuses: final statuses that the ERP heard.
        entries: booked entries that the ERP got.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    expected: dict[tuple[str, str], Sum] = field(default_factory=dict)
    found: dict[tuple[str, str], Sum] = field(default_factory=dict)
    files: int = 0
    valid: int = 0
    duplicates: int = 0
    refused: int = 0
    statuses: int = 0
    entries: int = 0

    @property
    def clean(self) -> bool:
        """Nothing is lost, doubled, wrong, under way or left over."""
        return not (self.lost or self.doubled or self.wrong or self.unfinished or self.left_over)

    def story(self) -> str:
        """What is wrong, for people; empty when clean."""
        named = {
            "lost": self.lost,
            "doubled": self.doubled,
            "wrong": self.wrong,
            "unfinished": self.unfinished,
            "left over": self.left_over,
        }
        return "\n".join(
            f"{what} {len(those)}: {', '.join(those[:_MOST_NAMED])}" for what, those in named.items() if those
        )

    def compare(self, what: str, expected: Counter[Any], found: Counter[Any]) -> None:
        """Book the difference of two collections of things that must be equal."""
        for one, count in (expected - found).items():
            self.lost += [f"{what} {one}"] * count
        for one, count in (found - expected).items():
            (self.doubled if one in expected else self.wrong).extend([f"{what} {one}"] * count)


def under_way(read: Read) -> list[str]:
    """What the ledger still has to do, in words; empty at rest."""
    counts = [(read(sql)[0][0], meaning) for sql, meaning in _AT_REST]
    return [f"{count} {meaning}" for count, meaning in counts if count]


def judge(scene: Scene) -> Judgement:
    """Look at every place where something can be, and compare with what was sent."""
    verdict = Judgement()
    received = scene.town.erp.received()
    _payments(scene, received, verdict)
    _whole_files(scene, received, verdict)
    if scene.answered:
        _statuses(scene, received, verdict)
        _refusals(scene, verdict)
    _statements(scene, received, verdict)
    _outputs(scene, verdict)
    verdict.unfinished += under_way(scene.read)
    for code, summary in scene.read("SELECT code, summary FROM cases WHERE code LIKE 'INT%' OR code LIKE 'NET9%'"):
        verdict.wrong.append(f"case {code} {summary}")
    verdict.left_over += left_over(scene.town.root, scene.home, scene.local)
    return verdict


# ---------------------------------------------------------------- payments


@dataclass(frozen=True, slots=True)
class _Seen:
    """A payment somewhere: the class of the place, and whether its facts are those that were sent."""

    place: str
    fault: str
    currency: str
    amount: Decimal


def _payments(scene: Scene, received: ErpReceived, verdict: Judgement) -> None:
    lines = {line.end_to_end_id: line for run in scene.runs if not run.fault for line in run.lines}
    seen: dict[str, list[_Seen]] = {}
    for identity, one in (*_at_banks(scene, lines), *_held(scene), *_rejected(received, lines)):
        seen.setdefault(identity, []).append(one)
    for identity, line in lines.items():
        outcome = _BANK_OF[line.kind] if identity in scene.released else line.outcome
        verdict.expected.setdefault((outcome, line.currency), Sum()).add(line.amount)
        there = seen.pop(identity, [])
        for one in there:
            verdict.found.setdefault((one.place, one.currency), Sum()).add(one.amount)
        if not there:
            verdict.lost.append(f"{identity} ({line.kind})")
        elif len(there) > 1:
            verdict.doubled.append(f"{identity} at {' and '.join(one.place for one in there)}")
        elif there[0].place != outcome or there[0].fault:
            fault = there[0].fault or f"expected at {outcome}"
            verdict.wrong.append(f"{identity} at {there[0].place}: {fault}")
    verdict.wrong += [f"{identity} at {there[0].place}: nobody sent it" for identity, there in seen.items()]
    if verdict.expected != verdict.found and not (verdict.lost or verdict.doubled or verdict.wrong):
        verdict.wrong.append("the sums per currency differ")


def _at_banks(scene: Scene, lines: dict[str, Line]) -> Iterable[tuple[str, _Seen]]:
    for name, bank in scene.town.banks.items():
        for one in bank.journal():
            line = lines.get(one.end_to_end_id)
            fault = "" if one.status in _FINAL else f"the bank refused the file: {one.reason}"
            if line is not None and (one.amount, one.currency) != (line.amount, line.currency):
                fault = "another amount"
            elif line is not None and one.remittance != f"Invoice {line.invoice}":
                fault = "another remittance information"
            yield one.end_to_end_id, _Seen(name, fault, one.currency, one.amount)


def _held(scene: Scene) -> Iterable[tuple[str, _Seen]]:
    """What waits for the treasury; a case must say so."""
    case = "EXISTS (SELECT 1 FROM cases WHERE id = case_id AND state = 'open')"
    sql = f"SELECT payload, {case} FROM held WHERE code = 'POL100'"  # noqa: S608 - no input in it
    for payload, has_case in scene.read(sql):
        headers = decode(payload).headers
        currency, amount = headers.worth or ("", Decimal(0))
        yield dict(headers.keys)["end_to_end_id"], _Seen("treasury", "" if has_case else "no case", currency, amount)


def _rejected(received: ErpReceived, lines: dict[str, Line]) -> Iterable[tuple[str, _Seen]]:
    """What came back to the ERP, line by line, as it was sent and with a reason."""
    for reject in received.rejects:
        identity = reject.end_to_end_id
        if not identity and not any(reject.fields):
            continue  # a notice on a whole file
        line = lines.get(identity)
        fault = "" if line is None else reject_faults(reject, line)
        yield identity, _Seen("bad", fault, reject.field("currency"), reject.amount or Decimal(0))


def _whole_files(scene: Scene, received: ErpReceived, verdict: Judgement) -> None:
    """Duplicates are held, broken files are refused whole, with one notice and one case each; all lie in ``done``."""
    duplicates = Counter(run.name for run in scene.runs if run.fault == "duplicate")
    broken = Counter(run.name for run in scene.runs if run.fault not in ("", "duplicate"))
    held = [str(decode(row[0]).headers.name) for row in scene.read("SELECT payload FROM held WHERE code = 'DUP101'")]
    held += [row[0] for row in scene.read("SELECT name FROM arrival WHERE outcome = 'discarded'")]
    dead = [str(decode(row[0]).headers.name) for row in scene.read("SELECT payload FROM dead")]
    told = [name for name in _notices(received) if name]
    # Which of two files with the same content is the second one is decided by who arrives first.
    twins = _twins(scene.runs)
    both = (Counter(twins.get(name, name) for name in names) for names in (duplicates.elements(), held))
    verdict.compare("held duplicate", *both)
    verdict.compare("dead letter of", broken, Counter(dead))
    verdict.compare("refusal of", broken, Counter(told))
    verdict.duplicates, verdict.refused = len(held), len(dead)
    outbox = scene.town.erp.outbox
    sent = Counter(run.content for run in scene.runs)
    taken = [path for path in outbox.glob("done/*") if ".csv.done" not in path.name]
    verdict.compare("taken file", _named(sent, scene.runs), _named(Counter(p.read_bytes() for p in taken), scene.runs))
    markers = sum(1 for path in outbox.glob("done/*") if ".csv.done" in path.name)
    if markers != len(taken):
        verdict.wrong.append(f"{len(taken)} files were taken with {markers} markers")


def _named(contents: Counter[bytes], runs: list[PaymentRun]) -> Counter[str]:
    names = {run.content: run.name for run in reversed(runs)}
    return Counter({names.get(content, "of nobody"): count for content, count in contents.items()})


def _twins(runs: list[PaymentRun]) -> dict[str, str]:
    """Name of a file -> name of the first file with the same content."""
    first = {run.content: run.name for run in reversed(runs)}
    return {run.name: first[run.content] for run in runs}


def _notices(received: ErpReceived) -> Iterable[str]:
    for reject in received.rejects:
        if not any(reject.fields) and reject.reason_text.startswith("file "):
            yield reject.reason_text.split(" ")[1]


# ---------------------------------------------------------------- answers


def _statuses(scene: Scene, received: ErpReceived, verdict: Judgement) -> None:
    """The ERP hears of every payment's end exactly once, and of no step twice."""
    ends = {
        one.end_to_end_id: (_FINAL[one.status], one.reason)
        for bank in scene.town.banks.values()
        for one in bank.journal()
        if one.status in _FINAL
    }
    heard: dict[str, list[tuple[str, str]]] = {}
    for body in received.statuses:
        instruction = body.get("instruction") or {}
        identity = str(instruction.get("end_to_end_id") or body["original_end_to_end_id"])
        heard.setdefault(identity, []).append((str(body["status"]), str(body["reason"])))
    for identity, end in ends.items():
        steps = heard.pop(identity, [])
        last = [step for step in steps if step[0] in _FINAL.values()]
        if not last:
            verdict.lost.append(f"final status of {identity}")
        elif len(last) > 1 or len(set(steps)) < len(steps):
            verdict.doubled.append(f"status of {identity}")
        elif last[0] != end:
            verdict.wrong.append(f"status of {identity}: {last[0]} instead of {end}")
        else:
            verdict.statuses += 1
    verdict.wrong += [f"status of {identity}: no bank has it" for identity in heard]
    registered = scene.read("SELECT end_to_end_id, status FROM instruction")
    known = Counter((identity, status) for identity, status in registered)
    verdict.compare("instruction", Counter((identity, end[0]) for identity, end in ends.items()), known)


def _refusals(scene: Scene, verdict: Judgement) -> None:
    """The treasury gets one notice of every payment that a bank refused, with the bank's own facts."""
    if scene.local is None:
        return
    refused = Counter(
        (name, one.end_to_end_id, one.message_id, one.currency, one.amount, one.reason)
        for name, bank in scene.town.banks.items()
        for one in bank.journal()
        if one.status == "rejected"
    )
    found, faults = notices(scene.local / "notices")
    verdict.compare("notice", refused, found)
    verdict.wrong += faults


def _statements(scene: Scene, received: ErpReceived, verdict: Judgement) -> None:
    statements = Statements([bank.outbox / "done" for bank in scene.town.banks.values()])
    entries = statements.in_jsonl(content for name, content in received.files.items() if name.endswith(".jsonl"))
    verdict.entries = entries.total()
    verdict.compare("entry", statements.by_reference, entries)
    if scene.local is not None:
        verdict.compare("treasury's entry", statements.by_reference, statements.in_csv(scene.local / "treasury"))
        found, faults = statements.in_records(scene.local / "legacy-ledger")
        verdict.compare("ledger's entry", statements.by_payment, found)
        verdict.wrong += faults


def _outputs(scene: Scene, verdict: Judgement) -> None:
    """Every file that a bank got: valid under the schema, NbOfTxs and CtrlSum recomputed."""
    for bank in scene.town.banks.values():
        for path in sorted((bank.root / "processed").iterdir()):
            verdict.files += 1
            fault = outputs_fault(path, scene.schemas)
            verdict.valid += not fault
            if fault:
                verdict.wrong.append(f"{path.name}: {fault}")
        verdict.unfinished += [f"{bank.name} has not taken {p.name}" for p in bank.inbox.iterdir() if p.is_file()]
