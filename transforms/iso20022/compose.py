"""Writes any message whose layout is known: canonical bodies in, one document out, in flat memory.

A layout says where the fields of a body belong: into a record, the container around it, the head of the message. The
names and the order of the elements come from forms and from the schema of the version, so all versions have one layout.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Any, NamedTuple, Protocol, Self

from bus import Rejected
from transforms._faults import Faults
from transforms.canonical import MODELS
from transforms.canonical.checks import Flaw, refusal
from transforms.iso20022.forms import Form, Pen, Write, known, writer
from transforms.iso20022.identities import fits
from transforms.iso20022.model import model
from transforms.iso20022.names import FAMILIES, namespace
from transforms.iso20022.parties import placed

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_IN_MEMORY = 4 << 20
_LINES_IN_MEMORY = 1_000
OF_ALL = "VAL645"
"""Code of what is wrong between bodies that share a message, not with one of them."""
_STAND_ALONE = frozenset({"pain.001", "pain.007", "pain.008", "camt.055", "camt.056"})


class Draft(NamedTuple):
    """What one body contributes to a message.

    Attributes:
        key: bodies in a row with equal keys share a container; None for a body that concerns the message alone.
        container: fields of the container; what is told twice must agree.
        record: fields of the record; None for a body that is none.
        message: fields of the head of the message; what is told twice must agree.
        worth: amount for control sums.
    """

    key: Any
    container: dict[str, Any]
    record: dict[str, Any] | None
    message: dict[str, Any]
    worth: Decimal = Decimal(0)


@dataclass(slots=True)
class Tally:
    """Number of records and the sum of their amounts."""

    count: int = 0
    total: Decimal = Decimal(0)

    def add(self, worth: Decimal) -> None:
        """Count one record."""
        self.count += 1
        self.total += worth


class Layout(Protocol):
    """How canonical bodies become one message; made for one file."""

    @property
    def types(self) -> tuple[str, ...]:
        """Types of bodies that belong into the message."""
        ...

    @property
    def head(self) -> Form:
        """Of the message element, without containers or records."""
        ...

    @property
    def container(self) -> Form:
        """Of the container, without records."""
        ...

    @property
    def record(self) -> Form:
        """Of one record."""
        ...

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """Where the fields of a body belong."""
        ...

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """A container whose last record is known, as it is written."""
        ...

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """The head of the message when all is known."""
        ...


@dataclass(slots=True)
class _Container:
    """The container that is open."""

    key: Any
    fields: dict[str, Any]
    tally: Tally = field(default_factory=Tally)


class Composer:
    """Collects records in temporary files, because what stands before them is known after them."""

    def __init__(self, layout: Layout, message: str, pen: Pen) -> None:
        family = FAMILIES[message[:8]]
        self._layout, self._message, self._family = layout, message, family
        whole = known(model(message).root.type, family.message)
        inside = known(whole, family.container)
        record = family.record
        around = family.container or record
        self._head = writer(layout.head, whole, pen, before=around), writer(layout.head, whole, pen, after=around)
        self._record = writer(layout.record, known(inside, record), pen)
        self._around: tuple[Write, Write] | None = None
        if family.container:
            self._around = (
                writer(layout.container, inside, pen, before=record),
                writer(layout.container, inside, pen, after=record),
            )
        self._done: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - see __exit__
        self._open: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - as above
        self._lines: list[str] = []
        self._container: _Container | None = None
        self._fields: dict[str, Any] = {}
        self._tally = Tally()
        self._index = 0
        self.faults = Faults()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.close()
        self._open.close()

    def add(self, body: Any) -> None:
        """Append one body; what is wrong with it alone is one of the ``faults``, where the others stand alone too.

        Raises:
            Rejected: the body is wrong or does not belong into this message; its number is told.
        """
        try:
            self._check(body)
            self._append(self._layout.draft(body, self._index))
        except Rejected as error:
            found = placed(error, _place(body, self._index))
            if error.code == OF_ALL or not stands_alone(self._message):
                raise found from None
            self.faults.add(self._index, found)
        self._index += 1

    def _check(self, body: Any) -> None:
        kinds = self._layout.types
        kind = body.get("type", kinds[0]) if isinstance(body, dict) else ""
        if kind not in kinds:
            text = f"{self._message} is written from {' and '.join(kinds)}"
            raise Rejected("VAL450", text, reason="CH16", hint="set `type` in the mapping")
        flaws: Any = MODELS[kind](body)
        if flaws:
            raise refusal(tuple(flaw for flaw in flaws if isinstance(flaw, Flaw)))

    def _append(self, draft: Draft) -> None:
        _agree(self._fields, draft.message)
        if draft.key is None:
            return
        if self._container is None or self._container.key != draft.key:
            self._end()
            self._container = _Container(draft.key, {})
        _agree(self._container.fields, draft.container)
        if draft.record is None:
            return
        line = self._record(draft.record)
        self._lines.append(f"<{self._family.record}>{line}</{self._family.record}>\n")
        if len(self._lines) >= _LINES_IN_MEMORY:
            self._open.write("".join(self._lines).encode())
            self._lines.clear()
        self._container.tally.add(draft.worth)
        self._tally.add(draft.worth)

    def _end(self) -> None:
        container = self._container
        if container is None:
            return
        before, after = "", ""
        if self._around is not None:
            fields = self._layout.close(container.fields, container.tally)
            tag = self._family.container
            before, after = f"<{tag}>{self._around[0](fields)}\n", f"{self._around[1](fields)}</{tag}>\n"
        self._done.write(before.encode())
        self._open.seek(0)
        shutil.copyfileobj(self._open, self._done, 1 << 20)
        self._open.seek(0)
        self._open.truncate()
        self._done.write(f"{''.join(self._lines)}{after}".encode())
        self._lines.clear()
        self._container = None

    def finish(self, document: IO[bytes]) -> None:
        """Write the whole message.

        Raises:
            Rejected: ``VAL451`` when there was nothing to write.
        """
        self._end()
        if not self._index:
            raise Rejected("VAL451", "there is nothing to write", hint="do not send empty groups on")
        fields = self._layout.finish(self._fields, self._tally)
        tag = self._family.message
        head = f'{_DECLARATION}<Document xmlns="{namespace(self._message)}"><{tag}>\n{self._head[0](fields)}\n'
        document.write(head.encode())
        self._done.seek(0)
        shutil.copyfileobj(self._done, document, 1 << 20)
        document.write(f"{self._head[1](fields)}</{tag}></Document>\n".encode())


def stands_alone(message: str) -> bool:
    """Whether the records of a message say nothing of each other, so that one that is wrong can be left out."""
    return message[:8] in _STAND_ALONE


def _agree(there: dict[str, Any], more: dict[str, Any]) -> None:
    """Add fields; one that is told twice must be the same.

    Raises:
        Rejected: ``VAL645``.
    """
    for name, value in more.items():
        if there.setdefault(name, value) != value:
            text = f"`{name}` differs from that of the bodies before, and all of them share it in one message"
            raise Rejected(OF_ALL, text, reason="CH16", place=name, hint="group by it before writing")


def _place(body: Any, index: int) -> str:
    """Number of a body, from 1, and its reference where that is harmless to tell."""
    known = body if isinstance(body, dict) else {}
    reference = known.get("end_to_end_id") or known.get("original_end_to_end_id") or known.get("reference")
    return f"record {index + 1}" + (f" ({reference})" if fits(reference) else "")


def compose(parts: Iterable[Any], document: IO[bytes], message: str, layout: Layout, pen: Pen) -> None:
    """Write canonical bodies as one message.

    Raises:
        Rejected: see :class:`Composer`.
    """
    with Composer(layout, message, pen) as composer:
        for body in parts:
            composer.add(body)
        composer.faults.prove()
        composer.finish(document)
