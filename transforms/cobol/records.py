"""Records of a copybook as plain data and back: groups are mappings, tables are lists, names as in the copybook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bus import Rejected
from transforms.cobol import numbers
from transforms.cobol.copybook import Item

Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Name of a record or of an item that shares bytes -> item -> values that choose it."""


class Coding(NamedTuple):
    """How values lie in bytes: ``encoding`` of texts, ``little`` order of native binary numbers, conditions."""

    encoding: str
    ebcdic: bool
    little: bool
    conditions: Conditions
    blanks: bool


class _Fault(Exception):  # noqa: N818 - an error only inside this module
    """A record cannot be read beyond this point."""


class Reading:
    """One record being taken apart; ``known`` has its values by name, ``error`` is the first thing that is wrong."""

    def __init__(self, data: bytes, coding: Coding, place: str) -> None:
        self._data = data
        self._coding = coding
        self._place = place
        self.known: dict[str, Any] = {}
        self.error: Rejected | None = None
        self.at = 0

    def record(self, root: Item) -> dict[str, Any]:
        """The values of a record, as far as they can be read."""
        body: dict[str, Any] = {}
        try:
            if root.kind == "group":
                self._group(root, body, "")
            else:
                body[root.key] = self._item(root, root.key)
        except _Fault:
            pass
        return body

    def _group(self, group: Item, body: dict[str, Any], path: str) -> None:
        for alternatives in alternatives_of(group):
            item = self._chosen(alternatives)
            begin, where = self.at, f"{path}.{item.key}" if path else item.key
            value = self._table(item, where) if item.occurs else self._item(item, where)
            if item.key:
                body[item.key] = value
            if len(alternatives) > 1:
                self.at = begin + max(other.size() * other.most for other in alternatives)

    def _chosen(self, alternatives: list[Item]) -> Item:
        """The first alternative whose condition holds, else the first without one."""
        if len(alternatives) == 1:
            return alternatives[0]
        for item in alternatives:
            condition = self._coding.conditions.get(item.name)
            if condition and holds(condition, self.known):
                return item
        return next((i for i in alternatives if i.name not in self._coding.conditions), alternatives[0])

    def _table(self, item: Item, where: str) -> list[Any]:
        times = item.most
        if item.depending:
            told = self.known.get(item.depending)
            if not isinstance(told, int) or not item.least <= told <= item.most:
                text = f"occurs {item.least} to {item.most} times, {item.depending} says otherwise"
                self._blame("VAL834", where, text)
                raise _Fault
            times = told
        return [self._item(item, f"{where}[{n}]") for n in range(times)]

    def _item(self, item: Item, where: str) -> Any:
        if item.kind == "group":
            body: dict[str, Any] = {}
            self._group(item, body, where)
            return body
        data = self._data[self.at : self.at + item.length]
        if len(data) < item.length:
            self._blame("VAL830", where, "the record ends before")
            raise _Fault
        value = self._value(item, data, where)
        self.at += item.length
        if item.key:
            self.known[item.name] = value
        return value

    def _value(self, item: Item, data: bytes, where: str) -> Any:
        coding = self._coding
        if item.kind == "text":
            try:
                return data.decode(coding.encoding).rstrip(" ")
            except UnicodeDecodeError:
                self._blame("VAL306", where, f"bytes that are no {coding.encoding}")
                return data.decode(coding.encoding, "replace")
        if not item.key:
            return None
        if (
            coding.blanks
            and item.usage in ("", "display")
            and not data.strip(b"\x40\x00" if coding.ebcdic else b" \x00")
        ):
            return None
        try:
            return numbers.decode(data, item, ebcdic=coding.ebcdic, little=coding.little)
        except numbers.BadNumberError as error:
            self._blame("VAL833" if item.usage == "packed" else "VAL832", where, str(error))
            return None

    def _blame(self, code: str, where: str, message: str) -> None:
        if self.error is None:
            place = f"{self._place}, offset {self.at + 1}"
            self.error = Rejected(code, f"{place}: `{where}` {message}", reason="FF01", place=f"{place}, {where}")


def alternatives_of(group: Item) -> list[list[Item]]:
    """Children of a group, those that share bytes together."""
    found: list[list[Item]] = []
    for child in group.children:
        if child.redefines:
            found[-1].append(child)
        else:
            found.append([child])
    return found


def holds(condition: Mapping[str, tuple[str, ...]], known: Mapping[str, Any]) -> bool:
    """Whether items that were read have one of the values that a condition names; numbers are compared as such."""
    return all(
        name in known and any(str(known[name]) == value or _same(known[name], value) for value in values)
        for name, values in condition.items()
    )


def _same(found: Any, value: str) -> bool:
    return isinstance(found, int) and value.isascii() and value.isdigit() and len(value) < 20 and int(value) == found


class Writing:
    """One record in the making."""

    def __init__(self, coding: Coding, place: str) -> None:
        self._coding = coding
        self._place = place
        self._known: dict[str, Any] = {}
        self.data = bytearray()

    def record(self, root: Item, body: Mapping[str, Any]) -> bytes:
        """The bytes of a record.

        Raises:
            Rejected: ``VAL837`` (a value does not fit), ``VAL838`` (missing or unknown).
        """
        if root.kind == "group":
            self._group(root, body, "")
        else:
            self._item(root, body.get(root.key), root.key)
        return bytes(self.data)

    def _group(self, group: Item, body: Any, path: str) -> None:
        if not isinstance(body, Mapping):
            raise self._refused("VAL837", path or "record", "is no mapping")
        known = {item.key for item in group.children if item.key}
        unknown = next((str(key)[:40] for key in body if key not in known and (path or key != "record")), "")
        if unknown:
            raise self._refused("VAL838", f"{path}.{unknown}" if path else unknown, "is not in the copybook")
        for alternatives in alternatives_of(group):
            item = self._chosen(alternatives, body)
            begin, where = len(self.data), f"{path}.{item.key}" if path else item.key
            value = body.get(item.key) if item.key else None
            if item.occurs:
                self._table(item, value, where)
            else:
                self._item(item, self._counted(item, value, group, body), where)
            whole = max(other.size() * other.most for other in alternatives) if len(alternatives) > 1 else 0
            self.data += self._blank(whole - (len(self.data) - begin))

    def _counted(self, item: Item, value: Any, group: Item, body: Mapping[str, Any]) -> Any:
        """The length of a table for the item that tells it, where the body leaves it out."""
        if value is not None or not item.key:
            return value
        tables = [body.get(other.key) for other in group.children if other.depending == item.name]
        return len(tables[0]) if tables and isinstance(tables[0], list | tuple) else value

    def _chosen(self, alternatives: list[Item], body: Mapping[str, Any]) -> Item:
        given = [item for item in alternatives if item.key and item.key in body] or alternatives
        for item in given:
            condition = self._coding.conditions.get(item.name)
            if condition and holds(condition, self._known):
                return item
        return given[0]

    def _table(self, item: Item, value: Any, where: str) -> None:
        rows = [None] * item.most if not item.key else value
        if not isinstance(rows, list | tuple):
            raise self._refused("VAL838", where, "is missing or no list")
        told = self._known.get(item.depending, len(rows)) if item.depending else item.most
        if len(rows) != told or not item.least <= len(rows) <= item.most:
            text = f"has {len(rows)} elements instead of {told}"
            raise self._refused(
                "VAL837", where, text if len(rows) != told else f"occurs {item.least} to {item.most} times"
            )
        for n, row in enumerate(rows):
            self._item(item, row, f"{where}[{n}]")

    def _item(self, item: Item, value: Any, where: str) -> None:
        if item.kind == "group":
            if item.key:
                self._group(item, value, where)
            else:
                self.data += self._blank(item.size())
            return
        if not item.key:
            number = item.kind == "number"
            self.data += self._bytes(item, 0, where) if number else self._blank(item.length)
            return
        if value is None and not (self._coding.blanks and item.usage in ("", "display")):
            raise self._refused("VAL838", where, "is missing")
        self._known[item.name] = value
        self.data += self._bytes(item, value, where)

    def _bytes(self, item: Item, value: Any, where: str) -> bytes:
        if value is None:
            return self._blank(item.length)
        if item.kind == "number":
            try:
                return numbers.encode(value, item, ebcdic=self._coding.ebcdic, little=self._coding.little)
            except numbers.BadNumberError as error:
                raise self._refused("VAL837", where, str(error)) from None
        if not isinstance(value, str):
            raise self._refused("VAL837", where, "is no text")
        try:
            data = value.encode(self._coding.encoding)
        except UnicodeEncodeError:
            raise self._refused(
                "VAL333", where, f"holds a character that {self._coding.encoding} does not have"
            ) from None
        if len(data) > item.length:
            raise self._refused("VAL837", where, f"has {len(data)} bytes, the item {item.length}")
        return data + self._blank(item.length - len(data))

    def _blank(self, length: int) -> bytes:
        return (b"\x40" if self._coding.ebcdic else b" ") * max(length, 0)

    def _refused(self, code: str, where: str, message: str) -> Rejected:
        place = f"{self._place}, offset {len(self.data) + 1}"
        return Rejected(code, f"{place}: `{where}` {message}", place=f"{place}, {where}")
