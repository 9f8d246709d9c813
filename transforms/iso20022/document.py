"""The reading side of the format: one file of any known message as a :class:`bus.ports.Document`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Literal

from bus import Finding, Part, Rejected
from transforms._plain_xml import Plain, plain
from transforms.iso20022 import cancellations, payments, schemas, statements, statuses
from transforms.iso20022.debits import DebitBlock
from transforms.iso20022.interbank import InterbankMessage, ReturnMessage
from transforms.iso20022.names import USUAL
from transforms.iso20022.opening import Opening, opening
from transforms.iso20022.stream import Check, Event, Segment, events

_MOST_FINDINGS = 1_000
READERS: dict[str, Callable[[Iterator[Event]], Iterator[Part]]] = {
    "pain.001": payments.payments,
    "pain.002": statuses.statuses,
    "pain.007": cancellations.reversals,
    "pain.008": partial(payments.payments, kind=DebitBlock),
    "pacs.002": statuses.statuses,
    "pacs.004": partial(payments.payments, kind=ReturnMessage),
    "pacs.008": partial(payments.payments, kind=InterbankMessage),
    "camt.029": cancellations.answers,
    "camt.055": cancellations.requests,
    "camt.056": cancellations.requests,
}
"""Family -> reader of its records; statements are read with options of their own."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read: see the fields of :class:`transforms.iso20022.Iso20022Spec` of the same names."""

    message: str = ""
    schema: Literal["off", "report", "strict"] = "off"
    max_size: int = 2_000_000_000
    prove_balances: bool = True


class Iso20022Document:
    """A message being read.

    Attributes:
        head: ``message`` (such as ``camt.053.001.08``), ``message_id``, ``created`` and, where the file has one, the
            ``application_header``; pain.002 and pacs.002 add ``original_message_id`` and ``original_message_name``.
        plain: the file.
        begun: what stands before its first record.
        findings: what validation with ``schema: report`` found so far, at most 1000.
    """

    def __init__(self, source: BinaryIO, options: ReadOptions) -> None:
        """Reads the first kilobytes.

        Raises:
            Rejected: the file is not XML, hostile, or another message than ``options`` want (``VAL403``, ``VAL404``).
        """
        self._options = options
        self.plain: Plain = plain(source, options.max_size)
        self.begun: Opening = opening(self.plain)
        _check_message(self.begun, options)
        self.findings: list[Finding] = []
        self.head: dict[str, Any] = self.begun.facts()
        if self.begun.family.name in ("pain.002", "pacs.002"):
            report = statuses.Report(self.begun.head)
            self.head["original_message_id"] = report.original_message_id
            self.head["original_message_name"] = report.original_message_name

    def parts(self, each: str) -> Iterator[Part]:
        """The records that the message has, see :attr:`transforms.iso20022.names.Family.each`; ``records``: the usual.

        Raises:
            Rejected: ``VAL409`` (other names), ``VAL405`` (schema), ``VAL420`` … ``VAL423`` (balances, totals) and what
                 :func:`transforms.iso20022.stream.events` raises, perhaps only at the end.
        """
        family = self.begun.family
        wanted = family.each[0] if each in ("", USUAL) else each
        if wanted not in family.each:
            known = " or ".join(f"`{name}`" for name in family.each)
            raise Rejected("VAL409", f"{family.name} has no `{each[:40]}`", hint=f"write {known}")
        stream = events(self.plain, self.begun, self._check())
        if family.name in READERS:
            return READERS[family.name](stream)
        prove = self._options.prove_balances and family.name == "camt.053"
        read: Callable[..., Iterator[Part]] = statements.entries if wanted == "entries" else statements.statements
        return read(stream, prove=prove, findings=self.findings)

    def whole(self) -> Any:
        """``{"head": …, NAME: [all usual records]}``; a bad record refuses all of it."""
        name = self.begun.family.each[0]
        records = []
        for part in self.parts(name):
            if part.error is not None:
                raise part.error
            records.append(part.body)
        return {"head": self.head, name: records}

    def _check(self) -> Check | None:
        wanted, message = self._options.schema, self.begun.message
        if wanted == "off" or (wanted == "report" and not schemas.available(message)):
            return None
        if not self.begun.is_iso:
            text = "the namespace is not ISO's own, so there is no XML Schema to validate with"
            raise Rejected("VAL404", text, hint="set `validate: off` for this sender")
        schemas.schema(message)

        def check(segment: Segment) -> None:
            found = schemas.violations(segment, message)
            if wanted == "report":
                room = _MOST_FINDINGS - len(self.findings)
                self.findings.extend(finding for finding, _ in zip(found, range(room), strict=False))
                return
            first = next(found, None)
            if first is not None:
                rest = tuple(finding for finding, _ in zip(found, range(_MOST_FINDINGS), strict=False))
                text = f"{first.place}: {first.message}"
                raise Rejected("VAL405", text, reason="FF01", place=first.place, findings=(first, *rest))

        return check


def _check_message(begun: Opening, options: ReadOptions) -> None:
    if not begun.message:
        raise Rejected(
            "VAL403",
            f"the namespace of `{begun.family.message}` is not one of ISO 20022",
            reason="FF01",
            place=begun.family.message,
            hint=f"expected for instance `urn:iso:std:iso:20022:tech:xsd:{begun.family.name}.001.08`",
        )
    wanted = options.message
    if not wanted:
        return
    exact = wanted.count(".") > 1
    if (begun.message != wanted or not begun.is_iso) if exact else begun.family.name != wanted:
        variant = "" if begun.is_iso else " (a bank's own variant)"
        raise Rejected(
            "VAL404",
            f"the file is a {begun.message}{variant}, not a {wanted}",
            reason="FF01",
            hint=f"write `message: {begun.family.name}` or leave it out to take other versions",
        )
