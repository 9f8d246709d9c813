"""The scripted ERP: drops payment runs as a real one does, and reads what comes back."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from bus.testing.payrun import COLUMNS, Maker, Mix, PaymentRun

_TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """One line that came back refused.

    Attributes:
        fields: the columns as they were sent, without the two that were added.
        amount: None when it is no number.
    """

    file: str
    fields: tuple[str, ...]
    reason_code: str
    reason_text: str

    def field(self, column: str) -> str:
        """The field of a :data:`COLUMNS` name; empty where the line was too short."""
        index = COLUMNS.index(column)
        return self.fields[index] if index < len(self.fields) else ""

    @property
    def end_to_end_id(self) -> str:
        """What the line is found by."""
        return self.field("end_to_end_id")

    @property
    def amount(self) -> Decimal | None:
        """The amount as it was written, None when it is no number."""
        try:
            return Decimal(self.field("amount"))
        except InvalidOperation:
            return None


@dataclass(frozen=True, slots=True)
class Received:
    """What came into the ERP's inbox.

    Attributes:
        files: name -> content, all of them; of those that were taken, ``taken/NAME``.
        rejects: lines of the reject files (``PAYREJ_*.csv``), in order of file name and line.
        reject_trailers: file name -> its trailer lines, split into fields.
        statuses: canonical payment statuses of the JSON files.
        statements: canonical statements and entries of the JSON files.
        others: names of the files that are none of these (statements in the bank's own format).
    """

    files: dict[str, bytes]
    rejects: tuple[RejectedLine, ...]
    reject_trailers: dict[str, tuple[tuple[str, ...], ...]]
    statuses: tuple[dict[str, Any], ...]
    statements: tuple[dict[str, Any], ...]
    others: tuple[str, ...]


class Erp:
    """An ERP with a folder for what it sends (``outbox``) and what it gets (``inbox``).

    Args:
        root: its folder; the sub-folders are made.
        seed: decides every payment run, see :class:`bus.testing.payrun.Maker`.
        day: execution date of most payments.
    """

    def __init__(self, root: Path, seed: int, *, day: date = date(2026, 11, 24)) -> None:
        self.root = root
        self.outbox = root / "outbox"
        self.inbox = root / "inbox"
        self._maker = Maker(seed, day)
        for folder in (self.outbox, self.inbox):
            folder.mkdir(parents=True, exist_ok=True)

    def payment_run(self, run_no: int, lines: int, *, bad_share: float = 0.03, mix: Mix | None = None) -> PaymentRun:
        """A payment run with its truth; the same bytes for the same seed, number and shares.

        Raises:
            ValueError: a number is out of range, or the shares are more than the whole.
        """
        return self._maker.run(run_no, lines, bad_share=bad_share, mix=mix)

    def drop(self, run: PaymentRun) -> Path:
        """Put a run into the outbox: the file whole and durable first, then its marker ``NAME.done``."""
        path = self.outbox / run.name
        _place(path, run.content)
        _place(path.with_name(path.name + ".done"), b"")
        return path

    def received(self) -> Received:
        """Everything that has been delivered to the inbox so far.

        Raises:
            ValueError: a delivered file is not what its name says: no UTF-8, no JSON, a JSON amount with an exponent
                beyond reason. Nothing of the kind may ever be delivered.
        """
        files = {str(path.relative_to(self.inbox)): path.read_bytes() for path in delivered(self.inbox)}
        rejects: list[RejectedLine] = []
        trailers: dict[str, tuple[tuple[str, ...], ...]] = {}
        statuses: list[dict[str, Any]] = []
        statements: list[dict[str, Any]] = []
        others: list[str] = []
        for name, content in files.items():
            if "PAYREJ_" in name:
                lines, trailers[name] = _read_rejects(name, content)
                rejects += lines
            elif name.endswith(".json"):
                for body in _read_json(content):
                    (statuses if body.get("type") == "payment-status" else statements).append(body)
            else:
                others.append(name)
        return Received(files, tuple(rejects), trailers, tuple(statuses), tuple(statements), tuple(others))


def take(box: Path) -> None:
    """Take what lies in a folder, as a partner does, so that what is put there again is there twice.

    What begins with a dot is not there yet. Of two files with one name the second gets a number.
    """
    taken = box / _TAKEN
    for path in _complete(box):
        taken.mkdir(exist_ok=True)
        target, copy = taken / path.name, 1
        while target.exists():
            copy += 1
            target = taken / f"{copy}-{path.name}"
        path.rename(target)


def delivered(box: Path) -> list[Path]:
    """Every file that ever came into a folder, taken or not."""
    return [*_complete(box), *_complete(box / _TAKEN)]


def _complete(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _place(path: Path, content: bytes) -> None:
    # The leading dot keeps the half-written file out of everybody's file pattern.
    temp = path.with_name(f".{path.name}.tmp")
    with temp.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(path)


def _read_rejects(name: str, content: bytes) -> tuple[list[RejectedLine], tuple[tuple[str, ...], ...]]:
    lines: list[RejectedLine] = []
    trailers: list[tuple[str, ...]] = []
    for row in csv.reader(content.decode("utf-8").splitlines(), delimiter=";", strict=True):
        if not row or row[0] == COLUMNS[0]:
            continue
        if row[0] == "T":
            trailers.append(tuple(row))
            continue
        *fields, code, text = row
        lines.append(RejectedLine(name, tuple(fields), code, text))
    return lines, tuple(trailers)


def _read_json(content: bytes) -> list[dict[str, Any]]:
    found = json.loads(content.decode("utf-8"), parse_float=Decimal)
    bodies = found if isinstance(found, list) else [found]
    if not all(isinstance(body, dict) for body in bodies):
        raise ValueError("a JSON file in the inbox holds something other than objects")
    return bodies
