"""Text functions; what can make a text longer counts against the budget of the evaluation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from bus.errors import Rejected
from bus.expressions.arithmetic import whole
from bus.expressions.values import MOST_TEXT, NUMBERS, name_of, size, spend, spend_text, too_much

_WIDEST = 10_000
_WORK = 32
# Characters that count as one step: it bounds the time of functions that go through a text, and the memory of copies.


_FIXED = re.compile(r"\^?(?:(?:[A-Za-z0-9 _/:;,@&#-]|\[[A-Za-z0-9 -]+\])(?:\{\d{1,2}\})?)+\$?")
"""Patterns whose atoms have a fixed width: nothing in them can backtrack, and Python's own engine is ten times faster
through its thinner layer. They mean the same in both."""


_PLAIN = re.compile(r"[A-Za-z0-9 _/:;,@&#-]+")
"""Patterns that mean just themselves."""


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    if _FIXED.fullmatch(pattern):
        # RE2's $ is the very end of the text, Python's may stand before a last line end.
        try:
            return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)
        except re.error:  # for instance [z-a]: RE2 says what is wrong with it
            pass
    import re2  # noqa: PLC0415 - 15 ms that only expressions with patterns need

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        why = str(error.args[0]) if error.args else ""
        detail = why if isinstance(error, re2.error) else "it is no valid Unicode text"
        hint = f"RE2 says: {detail}; look-around and back-references do not exist in RE2"
        raise Rejected("VAL228", "that pattern is no RE2 regular expression", hint=hint) from None


def verify_pattern(literals: list[Any]) -> None:
    """Check of a literal pattern (second argument) and of what replaces it (third)."""
    if isinstance(literals[1], str):
        pattern = _compiled(literals[1])
        if len(literals) > 2 and isinstance(literals[2], str):
            _replacement(literals[2], pattern.groups)


def matches(text: Any, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text; null matches nothing."""
    if text is None:
        return False
    spend(len(text) // _WORK)
    return _searched("matches", text, pattern) is not None


def _searched(function: str, text: str, pattern: str) -> Any:
    _must_be_unicode(function, text)
    return _compiled(pattern).search(text)


def _must_be_unicode(function: str, text: str) -> None:
    """Half a surrogate pair is no text; RE2 would say so itself."""
    try:
        if not text.isascii():
            text.encode()
    except UnicodeError:
        raise Rejected("VAL229", f"{function}() got a text that is not valid Unicode") from None


@lru_cache(maxsize=1024)
def _shrinks(pattern: str, by: str) -> bool:
    return len(by) <= len(pattern) and "\\" not in by and _PLAIN.fullmatch(pattern) is not None


def never_grows(literals: list[Any]) -> bool:
    """Whether replace() puts plain text, no longer than the plain text that it replaces, whatever it is applied to."""
    pattern, by = literals[1], literals[2]
    return isinstance(pattern, str) and isinstance(by, str) and _shrinks(pattern, by)


def replace(text: str, pattern: str, by: str) -> str:
    r"""Every match of the pattern replaced; ``\1`` to ``\9`` are the groups, ``\\`` is a backslash."""
    if never_grows([None, pattern, by]):
        _must_be_unicode("replace", text)
        spend(len(text) // _WORK)
        return text.replace(pattern, by)
    compiled = _compiled(pattern)
    pieces = _replacement(by, compiled.groups)
    spend(len(text) // _WORK)
    if _searched("replace", text, pattern) is None:
        return text
    parts: list[str] = []
    end = 0
    try:
        for found in compiled.finditer(text):
            parts.append(text[end : found.start()])
            made = "".join(found.group(p) or "" if isinstance(p, int) else p for p in pieces)
            spend(3)
            spend_text(len(made))
            parts.append(made)
            end = found.end()
    except UnicodeError:
        raise Rejected("VAL229", "replace() got a text that is not valid Unicode") from None
    return "".join(parts) + text[end:]


@lru_cache(maxsize=256)
def _replacement(by: str, groups: int) -> tuple[str | int, ...]:
    pieces: list[str | int] = []
    for plain, escaped in re.findall(r"([^\\]+)|\\(.?)", by, re.DOTALL):
        if plain or escaped == "\\":
            pieces.append(plain or "\\")
        elif escaped in tuple("123456789"[:groups]):
            pieces.append(int(escaped))
        else:
            hint = f"the pattern has {groups} groups; write \\\\ for a backslash"
            raise Rejected("VAL229", "what replaces a match names a group that is not there", hint=hint)
    return tuple(pieces)


def substring(text: str, start: int | Decimal, length: int | Decimal | None = None) -> str:
    """Part of a text from ``start`` (0 = first, -1 = last character) with at most ``length`` characters."""
    first = whole("substring", "start", start, -MOST_TEXT, MOST_TEXT)
    part = text[first:] if first >= 0 else text[max(len(text) + first, 0) :]
    spend(len(part) // _WORK)
    return part if length is None else part[: whole("substring", "length", length, 0, MOST_TEXT)]


def trim(text: str) -> str:
    """Without white space at both ends."""
    spend(len(text) // _WORK)
    return text.strip()


def upper(text: str) -> str:
    """In capitals."""
    spend(len(text) // _WORK)
    return text.upper()


def lower(text: str) -> str:
    """In small letters."""
    spend(len(text) // _WORK)
    return text.lower()


def pad_left(text: str, width: int | Decimal, fill: str = " ") -> str:
    """At least ``width`` characters, filled up on the left."""
    if len(fill) != 1:
        raise Rejected("VAL229", "pad_left() fills with exactly one character", hint="as in pad_left(x, 10, '0')")
    made = text.rjust(whole("pad_left", "width", width, 0, _WIDEST), fill)
    spend_text(len(made))
    return made


def split_text(text: str, separator: str) -> list[str]:
    """The parts between separators."""
    if not separator:
        raise Rejected("VAL229", "split_text() needs a separator", hint="as in split_text(x, ',')")
    spend(text.count(separator) + len(text) // _WORK)
    return text.split(separator)


def concat(*values: Any) -> str:
    """Texts and numbers one after the other."""
    made = list(_texts(values))
    spend_text(sum(map(len, made)))
    return "".join(made)


def _texts(values: tuple[Any, ...]) -> Iterator[str]:
    for place, value in enumerate(values, 1):
        if isinstance(value, str):
            yield value
        elif type(value) in NUMBERS:
            yield _digits("concat", value)
        else:
            hint = "for what may be missing write coalesce(x, '')"
            raise Rejected(
                "VAL221", f"concat() takes texts and numbers, argument {place} is {name_of(value)}", hint=hint
            )


def _digits(function: str, number: int | Decimal) -> str:
    if isinstance(number, Decimal) and (not number.is_finite() or abs(number.adjusted()) > 100):
        raise Rejected("VAL224", f"{function}() got a number with more than 100 digits")
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def join(glue: str, items: list[Any]) -> str:
    """A list of texts as one text with ``glue`` between them."""
    spend(len(items))
    for place, item in enumerate(items):
        if not isinstance(item, str):
            raise Rejected("VAL221", f"join() takes a list of texts, item {place} is {name_of(item)}")
    spend_text(sum(map(len, items)) + len(glue) * max(len(items) - 1, 0))
    return glue.join(items)


def sha256(text: str) -> str:
    """SHA-256 of the UTF-8 text, 64 hexadecimal characters."""
    spend(len(text) // _WORK)
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeError:
        raise Rejected("VAL229", "sha256() got a text that is not valid Unicode") from None


_json = msgspec.json.Encoder(decimal_format="number")


def to_string(value: Any) -> str:
    """A text as it is, everything else as JSON without spaces."""
    if isinstance(value, str):
        return value
    if size(value, MOST_TEXT) > MOST_TEXT:
        raise too_much(f"puts more than {MOST_TEXT} characters together")
    try:
        made = _json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        raise Rejected("VAL221", f"to_string() cannot write {name_of(value)} as JSON") from None
    spend(len(made) // _WORK)
    spend_text(len(made))
    return made


def starts_with(text: str, prefix: str) -> bool:
    """Whether the text begins with the prefix."""
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    """Whether the text ends with the suffix."""
    return text.endswith(suffix)
