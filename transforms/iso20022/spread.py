"""A big statement file read by several processes: the same lines in the same order as one process makes.

The file is cut at end tags of entries. Each piece, put between the elements that are open there, is a small file of its
own and read as such; how many entries and lines go before it is known from counting. Whatever a piece cannot tell by
itself (a refusal, a second message, totals that do not agree) makes the rest of the file be read by one process, so the
result does not depend on how the work was shared; only how many records go before the refusal of a whole file does.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from io import BytesIO
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from bus import EncodedRecords, Encoder, Rejected
from transforms._plain_xml import Plain
from transforms.iso20022.document import Iso20022Document, ReadOptions
from transforms.iso20022.opening import Opening, opening
from transforms.iso20022.statements import Run, Statement
from transforms.iso20022.stream import Cutter, events, record_name

_PIECE = 2 << 20
_LONGEST = 32 << 20
_STATEMENTS = ("camt.052", "camt.053", "camt.054")


class _Piece(NamedTuple):
    """A part of the file and what goes before it.

    Attributes:
        path, start, size: where it is read.
        head: what has to stand before it, empty at the beginning of the file.
        closing: what has to stand behind it, empty at the end.
        line: of the file, on which it begins.
        before: entries in the file.
        within: entries of the statement that is open.
    """

    path: Path
    start: int
    size: int
    head: bytes
    closing: bytes
    line: int
    before: int
    within: int


class _Result(NamedTuple):
    """What became of a piece: its records, their number, its statements in order, whether it ends the file.

    The first statement of all pieces but the first is the rest of one.
    """

    records: EncodedRecords
    number: int
    statements: list[Statement]
    is_last: bool


def spread(
    path: Path, options: ReadOptions, encode: Encoder, processes: int, piece: int = _PIECE
) -> Iterator[EncodedRecords] | None:
    """The entries of a statement file as ``encode`` writes them, or None for a file that cannot be shared.

    ``piece`` is about how many bytes a process reads at a time.

    Raises:
        Rejected: see :class:`transforms.iso20022.document.Iso20022Document`, perhaps only at the end.
    """
    with ExitStack() as stack:
        source = stack.enter_context(path.open("rb"))
        document = Iso20022Document(source, options)
        file, begun = document.plain, document.begun
        if begun.family.name not in _STATEMENTS or not begun.open_tags or options.schema != "off":
            return None
        if file.file is not source:  # it is not plain, what is read is a copy in this process
            return None
        stack.pop_all()
    prove = options.prove_balances and begun.family.name == "camt.053"
    found = _in_order(_pieces(path, file, begun, piece), encode, processes)
    return _joined(found, _Joined(prove=prove), lambda done: _by_one(path, options, encode, done))


def _pieces(path: Path, file: Plain, begun: Opening, size: int) -> Iterator[_Piece]:
    """Cut the file; the last entry of each piece is kept back, so that the next has one in any case."""
    cutter = Cutter(file, begun, record_name(begun), trees=False)
    end = cutter.end
    start, line, before, index, kept = file.start, file.line, 0, 0, b""
    with file.file as source:
        source.seek(start)
        while block := source.read(size):
            kept += block
            last = kept.rfind(end)
            cut = kept.rfind(end, 0, last) + len(end) if last > 0 else 0
            if cut < len(end):
                if len(kept) > _LONGEST:
                    break  # one process tells what is wrong
                continue
            piece = kept[:cut]
            yield _Piece(path, start, cut, cutter.envelope, cutter.closing, line, before, index)
            count = piece.count(end)
            cutter.advance(piece)
            begins = cutter.last_container
            index = piece.count(end, begins) if begins >= 0 else index + count
            start, line, before, kept = start + cut, line + piece.count(b"\n"), before + count, kept[cut:]
    yield _Piece(path, start, -1, cutter.envelope, b"", line, before, index)


def _read(piece: _Piece, encode: Encoder) -> _Result | None:
    """Read one piece in a process of its own; None when it cannot be read without the rest of the file."""
    with piece.path.open("rb") as source:
        source.seek(piece.start)
        content = source.read(piece.size)
    head = piece.head + b"\n" if piece.head else b""
    file = Plain(BytesIO(b"".join((head, content, piece.closing))), 0, piece.line - head.count(b"\n"))
    run, messages, count = Run([], prove=False), 0, 0
    statements: list[Statement] = []
    lines: list[bytes] = []
    refused: list[tuple[str, str, str]] = []
    try:
        begun = opening(file)
        for event in events(file, begun, before=piece.before, ahead=False):
            run.see(event)
            messages += event.kind == "message"
            statement = run.statement
            if statement is None:
                continue
            if event.kind == "container":
                statement.body["entries"] = 0 if statements else piece.within
                statements.append(statement)
            for record in event.records if event.kind == "records" else ():
                count += 1
                try:
                    lines.append(encode(statement.read(record)))
                except Rejected as error:
                    refused.append((record.place(), error.code, error.message))
    except Rejected:
        return None
    end = f"</{record_name(begun)}>".encode()
    if messages != 1 or not statements or count != content.count(end):
        return None
    for statement in statements:
        statement.findings.clear()
    return _Result(EncodedRecords(b"".join(lines), tuple(refused)), count, statements, not piece.closing)


def _in_order(pieces: Iterator[_Piece], encode: Encoder, processes: int) -> Iterator[_Result | None]:
    """The results, with a few pieces under way at any time; ends early when a process is killed."""
    waiting: deque[Future[_Result | None]] = deque()
    with ProcessPoolExecutor(processes, get_context("fork" if sys.platform == "linux" else "spawn")) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(_read, piece, encode))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            yield None  # killed, perhaps for its memory: one process needs less
        finally:
            pool.shutdown(cancel_futures=True)


def _joined(
    results: Iterator[_Result | None], joined: _Joined, rest: Callable[[int], Iterator[EncodedRecords]]
) -> Iterator[EncodedRecords]:
    """The records of all results; from the first piece on that cannot be taken as it is, the ``rest`` after so many."""
    done = 0
    for result in results:
        if result is None or not joined.take(result):
            results.close()  # type: ignore[attr-defined]  # a generator: its processes end with it
            yield from rest(done)
            return
        yield result.records
        done += result.number


class _Joined:
    """The statements of all pieces put together again, to prove their balances."""

    def __init__(self, *, prove: bool) -> None:
        self._prove = prove
        self._open: Statement | None = None

    def take(self, result: _Result) -> bool:
        """Take what comes next; false where a statement that ends in it is not proved."""
        first, *others = result.statements
        if self._open is None:
            self._open = first
        else:
            self._open.absorb(first)
        for statement in others:
            if not self._is_proved():
                return False
            self._open = statement
        return self._is_proved() if result.is_last else True

    def _is_proved(self) -> bool:
        try:
            if self._prove and self._open is not None:
                self._open.prove()
        except Rejected:
            return False
        return True


def _by_one(path: Path, options: ReadOptions, encode: Encoder, done: int) -> Iterator[EncodedRecords]:
    """What one process makes of the file after the first ``done`` entries."""
    with path.open("rb") as source:
        for part in islice(Iso20022Document(source, options).parts("entries"), done, None):
            if part.error is None:
                yield EncodedRecords(encode(part.body), ())
            else:
                yield EncodedRecords(b"", ((part.place, part.error.code, part.error.message),))
