"""Writes trees of segments as IDocs, in XML or as flat records: acknowledgements and whatever a mapping makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO, NamedTuple
from xml.sax.saxutils import escape

from bus import Rejected, WriteContext
from transforms._totals import number_text
from transforms.idoc import segments as layouts
from transforms.idoc.tree import Layouts

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,29}")
# Characters that XML 1.0 has no place for.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_MOST_DEPTH = 32
_MOST_SEGMENTS = 999_999


class Output(NamedTuple):
    """What the route says; see the spec. ``names`` are external names of segments in flat records."""

    flat: bool
    encoding: str
    layouts: Layouts
    names: Mapping[str, str]
    line_end: str


class _Line(NamedTuple):
    """A segment with its place in the tree."""

    name: str
    fields: dict[str, str]
    depth: int
    children: tuple[_Line, ...]


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, output: Output) -> None:
    """Write all parts, each ``{"control": …, segment: [ … ]}``, as IDocs of one file.

    Raises:
        Rejected: ``VAL808``: a tree cannot be written as it is; ``VAL334`` when there is none, ``VAL335``.
    """
    last = ""
    for number, body in enumerate(parts, 1):
        if not isinstance(body, Mapping) or not isinstance(body.get("control"), Mapping):
            hint = "map it to `{control: {IDOCTYP: …}, SEGMENT: [ … ]}`"
            raise Rejected("VAL335", f"record {number} is no tree of an IDoc", hint=hint)
        control = _control(body["control"], number, context)
        tree = _children({key: value for key, value in body.items() if key != "control"}, f"record {number}", 1)
        if output.flat:
            target.writelines(_flat(control, tree, output, f"record {number}"))
        else:
            begins = "" if last else f'<?xml version="1.0" encoding="UTF-8"?>\n<{control["IDOCTYP"]}>\n'
            if last and last != control["IDOCTYP"]:
                raise _refused(f"record {number}", "IDOCTYP", "is another than before, a file of XML has one type")
            target.write((begins + _xml(control, tree)).encode())
        last = control["IDOCTYP"]
    if not last:
        raise Rejected("VAL334", "there are no IDocs to write", hint="filter empty files out before")
    if not output.flat:
        target.write(f"</{last}>\n".encode())


def _control(given: Mapping[str, Any], number: int, context: WriteContext) -> dict[str, str]:
    """The control record; what it lacks of table name and time of creation is filled in."""
    place = f"record {number}"
    created = datetime.fromtimestamp(context.created_at / 1000, UTC)
    known = {"TABNAM": "EDI_DC40", "CREDAT": f"{created:%Y%m%d}", "CRETIM": f"{created:%H%M%S}"}
    told = {str(name): _text(value, str(name), place) for name, value in given.items()}
    widths = {name: last - first for name, first, last in layouts.CONTROL}
    for name, text in told.items():
        if name not in widths or len(text) > widths[name]:
            raise _refused(place, name[:30], "is no field of the control record, or too long for it")
    fields = {**known, **{name: text for name, text in told.items() if text}}
    for name in ("IDOCTYP", "MESTYP"):
        if not _NAME.fullmatch(fields.get(name, "")):
            raise _refused(place, name, "is missing or no name in the control record")
    return {name: fields[name] for name in widths if name in fields}


def _children(body: Mapping[str, Any], place: str, depth: int) -> tuple[_Line, ...]:
    if depth > _MOST_DEPTH:
        raise _refused(place, "segments", f"are nested deeper than {_MOST_DEPTH} levels")
    found = []
    for name, rows in body.items():
        if not isinstance(rows, list | tuple):
            continue
        if not _NAME.fullmatch(str(name)):
            raise _refused(place, str(name)[:30], "is no name of a segment")
        for row in rows:
            if not isinstance(row, Mapping):
                raise _refused(place, str(name), "has a segment that is no mapping")
            fields = {str(k): _text(v, str(k), place) for k, v in row.items() if not isinstance(v, list | tuple)}
            bad = next((key[:30] for key in fields if not _NAME.fullmatch(key)), "")
            if bad:
                raise _refused(place, bad, "is no name of a field")
            found.append(_Line(str(name), fields, depth, _children(row, place, depth + 1)))
    return tuple(found)


def _text(value: Any, name: str, place: str) -> str:
    text = "" if value is None else value if isinstance(value, str) else number_text(value)
    if text is None:
        raise _refused(place, name[:30], "is no text, number or empty")
    if _NOT_IN_XML.search(text):
        raise _refused(place, name[:30], "holds a character that no IDoc has")
    return text


def _refused(place: str, what: str, message: str) -> Rejected:
    return Rejected("VAL808", f"{place}: `{what}` {message}", hint="correct the mapping", place=what)


# ---------------------------------------------------------------- XML


def _xml(control: dict[str, str], tree: tuple[_Line, ...]) -> str:
    inside = "".join(_element(line) for line in (_Line("EDI_DC40", control, 1, ()), *tree))
    return f'<IDOC BEGIN="1">\n{inside}</IDOC>\n'


def _element(line: _Line) -> str:
    fields = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in line.fields.items() if text)
    inside = "".join(_element(child) for child in line.children)
    return f'<{line.name} SEGMENT="1">{fields}{inside}</{line.name}>\n'


# ---------------------------------------------------------------- flat records


def _flat(control: dict[str, str], tree: tuple[_Line, ...], output: Output, place: str) -> Iterator[bytes]:
    yield _encoded(_cells(layouts.CONTROL_LENGTH, layouts.CONTROL, control, place), output, place)
    head = {"MANDT": control.get("MANDT", ""), "DOCNUM": control.get("DOCNUM", "")}
    count = 0
    waiting = [(line, 0) for line in reversed(tree)]
    while waiting:
        line, above = waiting.pop()
        count += 1
        if count > _MOST_SEGMENTS:
            raise _refused(place, "segments", f"are more than {_MOST_SEGMENTS}")
        waiting += [(child, count) for child in reversed(line.children)]
        numbers = {"SEGNUM": f"{count:06}", "PSGNUM": f"{above:06}", "HLEVEL": f"{line.depth + 1:02}"}
        name = output.names.get(
            line.name, line.name.replace("1", "2", 1) if line.name[:2] in ("E1", "Z1") else line.name
        )
        begin = _cells(layouts.HEAD_LENGTH, layouts.HEAD, {**head, **numbers, "SEGNAM": name}, place)
        yield _encoded(begin + _data(line, output.layouts, place), output, place)


def _data(line: _Line, known: Layouts, place: str) -> str:
    """The thousand characters of a segment."""
    length = layouts.DATA_LENGTH - layouts.HEAD_LENGTH
    fields = known.get(line.name, (("SDATA", 0, length),))
    unknown = next((name for name in line.fields if name not in {n for n, _, _ in fields}), "")
    if unknown:
        raise _refused(place, f"{line.name}.{unknown}", "has no position; declare the fields in `segments`")
    return _cells(length, fields, line.fields, place)


def _cells(length: int, fields: tuple[tuple[str, int, int], ...], values: Mapping[str, str], place: str) -> str:
    text = [" "] * length
    for name, first, last in fields:
        value = values.get(name, "")
        if len(value) > last - first or _CONTROL.search(value):
            raise _refused(place, name, f"has more than {last - first} characters, or a control character")
        text[first : first + len(value)] = value
    return "".join(text)


def _encoded(text: str, output: Output, place: str) -> bytes:
    try:
        return (text + output.line_end).encode(output.encoding)
    except UnicodeEncodeError:
        message = f"{place} holds a character that {output.encoding} does not have"
        raise Rejected("VAL333", message, hint="replace it in the mapping", place=place) from None
