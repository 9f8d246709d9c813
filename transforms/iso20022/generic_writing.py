"""The writing side of ``as: json``: plain data of any message as XML, whole or put together from records."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any
from xml.sax.saxutils import quoteattr

from bus import Rejected
from transforms._plain_xml import Plain
from transforms.iso20022.envelope import hull
from transforms.iso20022.generic import OUTSIDE, ElementWriter, WrongValue, present
from transforms.iso20022.model import Element, Model, model
from transforms.iso20022.names import namespace
from transforms.iso20022.schemas import available
from transforms.iso20022.validation import violations

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_IN_MEMORY = 4 << 20
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(frozen=True, slots=True)
class GenericOptions:
    """How to write: see the fields of :class:`transforms.iso20022.Iso20022Spec` of the same names."""

    message: str = ""
    validate: bool = True
    envelope: str = "keep"


def write(bodies: Iterable[Any], target: IO[bytes], options: GenericOptions) -> None:
    """Write one message: a body with a ``document``, or records that follow each other with the heads around them.

    Raises:
        Rejected: ``VAL600`` (not the message that is written), ``VAL604`` … ``VAL615`` (the plain data, with its path),
            ``VAL611`` (bodies that do not belong into one message), ``VAL616`` (no body), ``VAL614`` (XML Schema).
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as document:
        composer = Composer(document, options)
        for number, body in enumerate(bodies, 1):
            composer.add(body, number)
        made = composer.finish()
        if options.validate and not composer.is_variant:
            file = Plain(document, len(_DECLARATION), 2)  # type: ignore[arg-type]  # it has all that is used
            for found in violations(file, made, {})[:1]:
                text = f"{found.place}: the written file would break its XML Schema: {found.message}"
                raise Rejected("VAL614", text, reason="FF01", place=found.place, hint="correct the data or its mapping")
        document.seek(0)
        shutil.copyfileobj(document, target, 1 << 20)


class _Open:
    """A container that was begun: its element, its head, the elements of it that come behind the records."""

    __slots__ = ("behind", "element", "head")

    def __init__(self, element: Element, head: dict[str, Any], behind: str) -> None:
        self.element, self.head, self.behind = element, head, behind


class Composer:
    """Puts records together; those that follow each other with equal heads share their containers."""

    def __init__(self, out: IO[bytes], options: GenericOptions) -> None:
        self._out, self._options = out, options
        self._write = ElementWriter(checked=options.validate)
        self._model: Model | None = None
        self._outside: dict[str, Any] = {}
        self._after = ""
        self._open: list[_Open] = []
        self._closed = False
        self.is_variant = False

    def add(self, body: Any, number: int) -> None:
        """Append a body, from 1."""
        place = f"body {number}"
        if not isinstance(body, dict):
            raise Rejected("VAL606", f"{place}: an object with `message` and `document` is wanted", place=place)
        try:
            self._begin(body, place)
            if self._closed:
                text = f"{place}: the document is complete, nothing can follow it"
                raise Rejected("VAL611", text, hint="write one document a message", place=place)
            if "document" in body:
                self._whole(body)
            else:
                self._record({key: value for key, value in body.items() if key not in OUTSIDE})
        except WrongValue as problem:
            raise problem.refused(place) from None

    def finish(self) -> str:
        """Close what is open; returns the full name of the message.

        Raises:
            Rejected: ``VAL616``: there was no body.
        """
        if self._model is None:
            raise Rejected("VAL616", "there is nothing to write", hint="do not send empty groups on")
        self._close(0)
        self._put(f"</Document>{self._after}\n")
        return self._model.message

    def _put(self, text: str) -> None:
        self._out.write(text.encode())

    def _begin(self, body: dict[str, Any], place: str) -> None:
        message = self._message(body, place)
        outside = {key: body[key] for key in OUTSIDE if key in body and key != "document"}
        if self._model is not None:
            if message != self._model.message or outside != self._outside:
                text = f"{place}: it belongs to another message than those before it"
                raise Rejected("VAL611", text, hint="aggregate by what tells messages apart", place=place)
            return
        self._model, self._outside = model(message), outside
        before, self._after = hull(body, self._options.envelope)
        uri = body.get("namespace", namespace(message))
        self.is_variant = uri != namespace(message)
        location = body.get("schema_location")
        if not isinstance(uri, str) or not isinstance(location, str | None):
            raise WrongValue("VAL606", "`namespace` and `schema_location` are texts")
        attributes = f" xmlns:xsi={quoteattr(_XSI)} xsi:schemaLocation={quoteattr(location)}" if location else ""
        self._out.write(_DECLARATION)
        self._put(f"{before}<Document xmlns={quoteattr(uri)}{attributes}>\n")

    def _message(self, body: dict[str, Any], place: str) -> str:
        wanted, message = self._options.message, body.get("message")
        if message is None and wanted.count(".") > 1:
            return wanted
        if not isinstance(message, str) or not available(message):
            text = f"{place}: `message` does not tell the message, such as `pain.001.001.09`"
            raise Rejected("VAL600", text, hint="write it into the body, with its version", place=f"{place}.message")
        if wanted and message != wanted and not (wanted.count(".") == 1 and message[:8] == wanted):
            text = f"{place}: it is a {message}, written is {wanted}"
            raise Rejected("VAL600", text, hint="convert it: `translate: {to: …, from: …}`", place=f"{place}.message")
        return message

    def _whole(self, body: dict[str, Any]) -> None:
        if self._open or self._model is None or len(body.keys() - set(OUTSIDE)):
            raise Rejected("VAL611", "a body has either `document` or the elements of a record, not both")
        try:
            self._put(self._write.content(body["document"], self._model.root.type))
        except WrongValue as problem:
            problem.path.append("document")
            raise
        self._closed = True

    def _record(self, given: dict[str, Any]) -> None:
        path = self._path(given)
        depth = 0
        for opened, element in zip(self._open, path, strict=False):
            if opened.element is not element or opened.head != given[element.name]:
                break
            depth += 1
        # The last of the path is written whole, unless it groups records: then it may be open already.
        depth = min(depth, len(path) - 1)
        self._close(depth)
        for element, inner in zip(path[depth:], path[depth + 1 :], strict=False):
            self._start(element, given[element.name], inner)
        last = path[-1]
        value = given[last.name]
        try:
            self._put(self._write.write(last.name, value, last.type) + "\n")
        except WrongValue as problem:
            problem.path.append(last.name)
            raise

    def _path(self, given: dict[str, Any]) -> tuple[Element, ...]:
        """The elements of a record body from the outside in; the order of its keys says nothing."""
        assert self._model is not None  # noqa: S101 - _begin() ran
        path: list[Element] = []
        left, of = dict(given), self._model.root.type
        while left:
            inside = [of.elements[key] for key in left if key in of.elements]
            if len(inside) != 1:
                if not inside and not path:
                    raise WrongValue("VAL605", "`document` is missing", "or the elements around a record")
                text = "the keys are no way from the message to a record"
                raise WrongValue("VAL604", text, "one element inside the other, such as `PmtInf` and `CdtTrfTxInf`")
            path.append(inside[0])
            of = inside[0].type
            del left[inside[0].name]
        if not path:
            raise WrongValue("VAL605", "`document` is missing", "or the elements around a record")
        return tuple(path)

    def _start(self, element: Element, head: Any, inner: Element) -> None:
        of = element.type
        try:
            given = present(head, of)
            names = list(of.elements)
            split = names.index(inner.name)
            inside = "".join(self._write.one(of.elements[n], given[n]) for n in names[: split + 1] if n in given)
            behind = "".join(self._write.one(of.elements[n], given[n]) for n in names[split + 1 :] if n in given)
            self._write.complete({**given, inner.name: True}, of)
        except WrongValue as problem:
            problem.path.append(element.name)
            raise
        self._put(f"<{element.name}>{inside}\n")
        self._open.append(_Open(element, head, behind))

    def _close(self, depth: int) -> None:
        while len(self._open) > depth:
            opened = self._open.pop()
            self._put(f"{opened.behind}</{opened.element.name}>\n")
