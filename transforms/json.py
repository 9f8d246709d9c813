"""JSON and JSON Lines both ways: numbers exact, duplicate keys and NaN refused, only plain data goes out."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, NoReturn

import msgspec
from pydantic import Field

from bus import (
    Document,
    Finding,
    Format,
    FormatSpec,
    InspectedDocument,
    InspectedTotal,
    Inspection,
    Part,
    Rejected,
    Size,
    StepResources,
    WriteContext,
)
from transforms import _json_places
from transforms._lines import Opened, blocks
from transforms._totals import ControlTotals, number_text, plain_decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DEPTH = 64
_DIGITS = 4_300
# Beyond this no IEEE 754 reader gets the number (RFC 8259 §6), and a written exponent could ask for gigabytes of zeros.
_EXPONENT = 308
_MOST_INSPECTED = 64_000_000
_MOST_FINDINGS = 100
_TEXT = {str}
_LEAVES = {str, bool, type(None)}
_CONTAINERS = {dict, list, tuple}
_KEY = re.compile(r"[\w.\- ]{1,64}")
_SURROGATES = re.compile("[\ud800-\udfff]")


class JsonSpec(FormatSpec):
    """JSON documents (RFC 8259) and JSON Lines.

    ```yaml
    json: {lines: true}
    ```

    Read, integers become ``int``, all other numbers ``Decimal`` with every digit. ``each`` names a list in the document
    (``items``, ``data.items``; ``rows`` for a document that is a list, and for lines). Duplicate keys, NaN, Infinity,
    numbers nobody else could read, lone surrogates and nesting over 64 levels are refused.
    """

    key: ClassVar[str] = "json"

    lines: bool = False
    """JSON Lines: every line is a document of its own, a bad one does not stop the others."""
    document: Literal["single", "list"] = "single"
    """Written as one document: the only part itself, or a list of all parts."""
    decimals: Literal["string", "number"] = "string"
    """How decimal numbers are written: as text, which every reader keeps exact, or as JSON numbers, which many readers
    turn into binary floats."""
    indent: int = Field(default=0, ge=0, le=8)
    """Spaces for each level of a ``single`` document; 0 = all on one line."""
    max_size: Size = Field(default=16_000_000, ge=1, le=1_000_000_000)
    """Largest document in bytes; it is read into memory at once (JSON Lines are not)."""
    max_line: Size = Field(default=1_000_000, ge=1_000, le=64_000_000)
    """Longest line of JSON Lines in bytes."""

    @classmethod
    def from_name(cls, name: str) -> dict[str, Any] | None:
        """``json`` and ``jsonl``."""
        return {"json": {}, "jsonl": {"lines": "true"}}.get(name)

    @classmethod
    def detect(cls, head: bytes, name: str) -> float:
        """By the first characters: an object with a quoted key, or a list; SWIFT's ``{1:`` is none."""
        text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()
        named = name.lower().endswith((".json", ".jsonl", ".ndjson"))
        if re.match(r'\{\s*["}]|\[\s*[\[{"\]\d]', text):
            return 0.97 if named else 0.9
        return 0.6 if named and text else 0.0

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """Read as one document, or as lines where the first line is a document of its own."""
        return _inspect(source)

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """Whether the file is JSON Lines."""
        return {"lines": True} if _inspect(source).kind == "lines" else {}

    def build(self, resources: StepResources | None = None) -> Format:
        """The reader and writer."""
        del resources
        return _Json(self)


class _Json:
    """JSON as a format."""

    def __init__(self, spec: JsonSpec) -> None:
        self.content_type = "application/jsonl" if spec.lines else "application/json"
        self._spec = spec
        self._exact: Callable[[str], Any] = str if spec.decimals == "string" else _raw_number
        self._encode = msgspec.json.Encoder(decimal_format=spec.decimals).encode

    def read(self, source: BinaryIO) -> Document:
        """Begin to read; a single document is read at once.

        Raises:
            Rejected: ``VAL302`` (empty), ``VAL305`` (byte order mark), ``VAL340`` to ``VAL346``.
        """
        opened = Opened(source, bom_allowed=False)
        if self._spec.lines:
            return _Lines(opened, self._spec.max_line)
        return _Single(parse(_bounded(iter(lambda: opened.read(1 << 18), b""), self._spec.max_size)))

    def write(self, parts: Iterable[Any], target: BinaryIO, context: WriteContext) -> None:
        """Write lines, a list or the single part.

        Raises:
            Rejected: ``VAL348`` (not plain data), ``VAL349`` (a single document needs exactly one part).
        """
        del context
        if self._spec.lines:
            target.writelines(self._one(body, number) + b"\n" for number, body in enumerate(parts, 1))
        elif self._spec.document == "list":
            before = b"["
            for number, body in enumerate(parts, 1):
                target.write(before + self._one(body, number))
                before = b","
            target.write(b"[]" if before == b"[" else b"]")
        else:
            bodies = list(islice(parts, 2))
            if len(bodies) != 1:
                found = "none" if not bodies else "more than one"
                message = f"a single JSON document holds one part, {found} came"
                raise Rejected("VAL349", message, hint="write `document: list` or `lines: true`")
            data = self._one(bodies[0], 1)
            target.write(msgspec.json.format(data, indent=self._spec.indent) if self._spec.indent else data)

    def _one(self, body: Any, number: int) -> bytes:
        try:
            return self._encode(_rewritten(body, self._exact) if _needs_rewrite(body) else body)
        except _Impure as problem:
            place = ".".join(reversed(problem.path))[:200]
            message = f"record {number}: `{place or 'the body'}` is {problem.what}"
            hint = "write texts, ints, decimals, lists and mappings"
            raise Rejected("VAL348", message, hint=hint, place=place) from None
        except UnicodeEncodeError:
            message = f"record {number} holds a lone surrogate, which is no character"
            raise Rejected("VAL348", message, hint="replace it in the mapping") from None


class _Single:
    """One document, read whole."""

    def __init__(self, root: Any) -> None:
        self._root = root
        scalars = {k: v for k, v in root.items() if not isinstance(v, dict | list)} if isinstance(root, dict) else {}
        self.head: dict[str, Any] = scalars

    def parts(self, each: str) -> Iterator[Part]:
        """The members of the list at the path ``each``; place is a JSON Pointer (RFC 6901).

        Raises:
            Rejected: ``VAL347`` when no list stands there.
        """
        keys = [] if each == "rows" and isinstance(self._root, list) else each.split(".")
        found = self._root
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, list):
            hint = "name the path to a list, `rows` for a document that is a list"
            raise Rejected("VAL347", f"the document has no list at `{each}`", hint=hint, place="/" + "/".join(keys))
        pointer = "".join(f"/{key}" for key in keys)
        for index, body in enumerate(found):
            yield Part(body, f"{pointer}/{index}")

    def whole(self) -> Any:
        """The document."""
        return self._root


class _Lines:
    """JSON Lines, read line by line in flat memory."""

    def __init__(self, opened: Opened, max_line: int) -> None:
        self.head: dict[str, Any] = {}
        self._opened = opened
        self._max_line = max_line

    def parts(self, each: str) -> Iterator[Part]:
        """Every line that is not blank, ``raw`` with its line end; a bad one has an error and no body.

        Raises:
            Rejected: ``VAL301`` when ``each`` is not ``rows``; ``VAL303``, ``VAL304`` as the other line formats.
        """
        if each != "rows":
            raise Rejected("VAL301", "JSON Lines have no such records", hint="write `each: rows`")
        number = 0
        for block in blocks(self._opened, self._max_line):
            for raw in block:
                number += 1
                if raw.isspace():
                    continue
                place = f"line {number}"
                try:
                    yield Part(parse(raw), place, raw)
                except Rejected as error:
                    column = error.place.rpartition(", ")[2]
                    where = f"{place}, {column}" if column.startswith("column") else place
                    message = f"{where}: {error.message}"
                    fault = Rejected(error.code, message, hint=error.hint, reason="FF01", place=where)
                    yield Part(None, place, raw, fault)

    def whole(self) -> list[Any]:
        """The bodies of all lines; raises the first error."""
        found = []
        for part in self.parts("rows"):
            if part.error is not None:
                raise part.error
            found.append(part.body)
        return found


# ---------------------------------------------------------------- reading


def parse(data: bytes) -> Any:
    """One strict JSON document as plain data.

    Raises:
        Rejected: ``VAL340`` no JSON or no UTF-8, ``VAL341`` duplicate key, ``VAL342`` NaN or Infinity, ``VAL343``
            number out of reach, ``VAL344`` nested too deep, ``VAL345`` lone surrogate.
    """
    try:
        text = data.decode("utf-8")
        value = _decoder.decode(text)
    except UnicodeDecodeError as error:
        message, place = "the text is not UTF-8", f"byte {error.start + 1}"
        raise Rejected("VAL340", message, hint="JSON is UTF-8 (RFC 8259 §8.1)", place=place) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Rejected("VAL340", f"no JSON: {error.msg.split(':')[0].lower()}", place=place) from None
    except RecursionError:
        raise _placed(_too_deep(), text) from None
    except Rejected as error:
        raise _placed(error, text) from None
    # Brackets inside texts count here, so this only saves the walk; most documents have few of either.
    if "\\u" in text or text.count("{") + text.count("[") > _DEPTH:
        try:
            _check(value)
        except Rejected as error:
            raise _placed(error, text) from None
    return value


def _placed(error: Rejected, text: str) -> Rejected:
    """The same refusal with line and column of what is wrong."""
    match error.code:
        case "VAL341":
            error.place, name = _json_places.twice(text)
            return Rejected(error.code, _stands_twice(name), hint=error.hint, place=error.place) if name else error
        case "VAL342":
            error.place = _json_places.place(text, lambda word: word.lstrip("-") in ("NaN", "Infinity"))
        case "VAL343":
            error.place = _json_places.place(text, _is_out_of_reach)
        case "VAL344":
            error.place = _json_places.deeper(text, _DEPTH)
        case "VAL345":
            error.place = _json_places.half(text, _SURROGATES)
    return error


def _is_out_of_reach(word: str) -> bool:
    try:
        if word[-1].isdigit():
            (_decimal if set(word) & set(".eE") else _integer)(word)
    except Rejected:
        return True
    return False


def _bounded(pieces: Iterable[bytes], most: int) -> bytes:
    found = bytearray()
    for data in pieces:
        found += data
        if len(found) > most:
            message = f"the document is larger than {most} bytes"
            raise Rejected("VAL346", message, hint="raise `max_size`, or have JSON Lines sent")
    return bytes(found)


def _check(root: Any) -> None:
    """Depth and texts of a document, without recursion."""
    level, depth = [root], 0
    while level:
        depth += 1
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and _SURROGATES.search(value):
                message = "a text holds half of a surrogate pair, which is no character"
                raise Rejected("VAL345", message, hint="write the whole pair, or the character itself")
        if depth > _DEPTH and any(isinstance(value, dict | list) for value in level):
            raise _too_deep()
        level = below


def _too_deep() -> Rejected:
    return Rejected("VAL344", f"nested deeper than {_DEPTH} levels", hint="no payment or statement is")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # adds
        raise Rejected("VAL341", _stands_twice(name), hint="readers differ in which one counts")
    return found


def _stands_twice(name: str) -> str:
    return f"{f'`{name}`' if _KEY.fullmatch(name) else 'a key'} stands twice in one object"


def _constant(_name: str) -> NoReturn:
    raise Rejected("VAL342", "NaN or Infinity is no JSON number", hint="leave the field out, or write null")


def _unreachable() -> Rejected:
    message = f"a number has over {_DIGITS} digits or an exponent over {_EXPONENT}"
    return Rejected("VAL343", message, hint="no amount needs it; send it as text")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise _unreachable()
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) <= _EXPONENT and "e" not in text and "E" not in text:
        return Decimal(text)
    try:
        number = Decimal(text) if len(text) <= _DIGITS else Decimal("NaN")
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > _EXPONENT:
        raise _unreachable()
    return number


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_constant, strict=True
)


# ---------------------------------------------------------------- writing


class _Impure(Exception):  # noqa: N818 - caught in this module, it is no error that anybody sees
    """A value that is no plain data, and its path from the inside out."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.path: list[str] = []


def _needs_rewrite(value: Any, depth: int = 0) -> bool:
    """Check that a value is plain data; true when a number inside must be written in another way than it stands."""
    kind = type(value)
    if kind in _LEAVES:
        return False
    if kind is Decimal:
        return _has_exponent(value)
    if kind is int:
        if value.bit_length() > _DIGITS * 3:
            raise _Impure("a number out of reach")
        return False
    _check_container(value, kind, depth)
    rewrite = kind is dict and _is_whole_amount(value)
    for key, inner in value.items() if kind is dict else enumerate(value):
        try:
            if type(inner) is not str and _needs_rewrite(inner, depth + 1):
                rewrite = True
        except _Impure as problem:
            problem.path.append(str(key))
            raise
    return rewrite


def _check_container(value: Any, kind: type, depth: int) -> None:
    if kind not in _CONTAINERS:
        raise _Impure("a binary float, which is not exact" if kind is float else f"a {kind.__name__}")
    if depth >= _DEPTH:
        raise _Impure(f"nested deeper than {_DEPTH} levels")
    if kind is dict and not set(map(type, value)) <= _TEXT:
        raise _Impure("a mapping with a key that is no text")


def _has_exponent(value: Decimal) -> bool:
    if not value.is_finite() or abs(value.adjusted()) > _EXPONENT:
        raise _Impure("a number that is not finite or out of reach")
    return "E" in str(value)


def _is_whole_amount(value: dict[str, Any]) -> bool:
    """An amount without decimals: a message that was stored brings it back as an integer, yet it is an amount."""
    return type(value.get("value")) is int and "currency" in value


def _rewritten(value: Any, exact: Callable[[str], Any]) -> Any:
    """The value with those decimals in plain digits, and amounts all alike."""
    if isinstance(value, Decimal):
        return exact(f"{value:f}") if _has_exponent(value) else value
    if isinstance(value, dict):
        if _is_whole_amount(value):
            value = {**value, "value": exact(str(value["value"]))}
        return {key: _rewritten(inner, exact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rewritten(inner, exact) for inner in value]
    return value


def _raw_number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


# ---------------------------------------------------------------- inspecting


def _inspect(source: BinaryIO) -> Inspection:
    findings: list[Finding] = []
    kind: str | None = None
    totals = ControlTotals()
    try:
        stream = blocks(Opened(source, bom_allowed=True), _MOST_INSPECTED)
        first = next(stream, [])
        told = list(islice((raw for raw in first if not raw.isspace()), 2))
        lines = len(told) == 2 and all(map(_is_json, told))
        kind = "lines" if lines else "document"
        rest = chain(first, chain.from_iterable(stream))
        if lines:
            for number, raw in enumerate(rest, 1):
                _inspect_line(raw, f"line {number}", totals, findings)
        else:
            for body in _records(parse(_bounded(rest, _MOST_INSPECTED))):
                _total(body, totals)
    except Rejected as error:
        kind = None if error.code == "VAL302" else kind
        findings.append(Finding(error.code, "error", error.place, error.message))
    found = tuple(InspectedTotal(c, n, v) for c, n, v in totals.rows() if n)
    documents = (InspectedDocument("", None, None, None, found),) if kind else ()
    return Inspection("jsonl" if kind == "lines" else "json", kind, documents, tuple(findings[:100]))


def _inspect_line(raw: bytes, place: str, totals: ControlTotals, findings: list[Finding]) -> None:
    if raw.isspace():
        return
    try:
        _total(parse(raw), totals)
    except Rejected as error:
        if len(findings) < _MOST_FINDINGS:
            findings.append(Finding(error.code, "error", place, error.message))


def _is_json(raw: bytes) -> bool:
    try:
        return isinstance(parse(raw), dict | list)
    except Rejected:
        return False


def _records(root: Any) -> list[Any]:
    """The records of a document: itself as a list, else its first list of mappings, else itself alone."""
    if isinstance(root, list):
        return root
    if not isinstance(root, dict):
        return [root]
    lists = [v for v in root.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return lists[0] if lists else [root]


def _total(body: Any, totals: ControlTotals) -> None:
    """Count a record with ``amount: {value, currency}`` or ``amount`` and ``currency``."""
    amount = body.get("amount") if isinstance(body, dict) else None
    value, currency = (amount.get("value"), amount.get("currency")) if isinstance(amount, dict) else (amount, None)
    currency = currency or (body.get("currency") if isinstance(body, dict) else None)
    number = plain_decimal(number_text(value) or (value if isinstance(value, str) else ""))
    if number is not None and isinstance(currency, str):
        totals.add(currency, number, "")
