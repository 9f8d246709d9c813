"""Tables that say where the fields of a canonical shape stand in ISO 20022; reading and writing use the same ones.

A form is a tuple of :class:`Field`. Its path is what all versions of all messages call the element, ``A/B|C/D`` where
they differ: reading takes the first that a record has, writing the first that the schema of the version has, and puts
elements into the order of the schema. So a table holds no version and no order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol

from bus import Rejected
from transforms.iso20022.model import Type, type_at
from transforms.iso20022.shapes import Node, Values

Read = Callable[[Values], Any]
"""The value of a field out of a record; None when it is not there."""
Write = Callable[[Any], str]
"""An element, or all elements of a list, as text; empty for a value that there is no element for."""


class Pen(Protocol):
    """How values become character data of one file."""

    def text(self, value: str) -> str:
        """A text in the characters that the bank takes, escaped."""
        ...

    def lost(self, field: str) -> None:
        """A field has a value and the version no place for it; may raise Rejected."""
        ...


class Codec(Protocol):
    """One kind of field."""

    def reader(self, nodes: Sequence[Node]) -> Read | None:
        """A reader for the elements that the path leads to; None when they hold nothing of that kind."""
        ...

    def writer(self, tag: str, kind: Type, pen: Pen) -> Write | None:
        """A writer of elements named ``tag``; None when the type has no room for such a value."""
        ...


class Field(NamedTuple):
    """One field of a form.

    Attributes:
        key: name in the canonical object; ``a.b`` goes down, ``a.0`` is a place in a list.
        path: where it stands below the element of the form; empty for the element itself.
        codec: how it is read and written.
    """

    key: str
    path: str
    codec: Codec


Form = tuple[Field, ...]


def below(form: Form, *places: str, key: str = "") -> Form:
    """The form for an element that stands at the first of ``places`` that there is; ``key`` is put before the keys."""
    before = f"{key}." if key else ""
    return tuple(Field(before + f.key, "|".join(_joined(p, f.path) for p in places), f.codec) for f in form)


def _joined(place: str, path: str) -> str:
    return "|".join("/".join(filter(None, (place, one))) for one in path.split("|"))


def reader(form: Form, node: Node) -> Callable[[Values], dict[str, Any]] | None:
    """A reader of all that a shape has of a form; None when it has nothing of it. Only what is there becomes a key."""
    steps: list[_Step] = []
    for key, path, codec in form:
        for one in path.split("|"):
            nodes = node.all(one) if one else [node]
            read = codec.reader(nodes) if nodes else None
            if read is not None:
                steps.append((key, getattr(read, "index", -1), read))
                break
    return _reading(steps) if steps else None


_Step = tuple[str, int, Read]
"""Key of a field, where its text stands if it is nothing but a text (else -1), its reader."""


class PlainText:
    """A reader of one text; ``index`` tells where it stands, so that it need not even be called."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, values: Values) -> str | None:
        """The text; None for an empty one."""
        return values[self.index].strip() or None


def _reading(steps: list[_Step]) -> Callable[[Values], dict[str, Any]]:
    """A reader from those of the fields."""
    if any(index < 0 or "." in key for key, index, _ in steps):
        return _reading_all(steps)
    texts = [(key, index) for key, index, _ in steps]
    return lambda values: {key: text for key, index in texts if (text := values[index].strip())}


def _reading_all(steps: list[_Step]) -> Callable[[Values], dict[str, Any]]:
    """A reader of fields of all kinds; ``a.b`` and ``a.c`` become one step that makes all of ``a``."""
    flat = [step for step in steps if "." not in step[0]]
    deep: dict[str, list[_Step]] = {}
    for key, index, read in steps:
        head, dot, rest = key.partition(".")
        if dot:
            deep.setdefault(head, []).append((rest, index, read))
    taken = {key for key, _, _ in flat}
    lists = [h for h, inner in deep.items() if h in taken or any(k.split(".")[0].isdigit() for k, _, _ in inner)]
    places = [([head, *key.split(".")], read) for head in lists for key, _, read in deep.pop(head)]
    # Most fields are texts; those in front, which keeps the order, are taken in one go.
    texts = [(key, index) for key, index, _ in takewhile(lambda step: step[1] >= 0, flat)]
    others = [(key, read) for key, _, read in flat[len(texts) :]]
    objects = [(head, _reading(inner)) for head, inner in deep.items()]

    def read_all(values: Values) -> dict[str, Any]:
        found: dict[str, Any] = {key: text for key, index in texts if (text := values[index].strip())}
        for key, read in others:
            value = read(values)
            if value is not None:
                found[key] = value
        for key, read in objects:
            value = read(values)
            if value:
                found[key] = value
        for keys, read in places:
            value = read(values)
            if value is not None:
                _put(found, keys, value)
        return found

    return read_all


def _put(target: Any, keys: Sequence[str], value: Any) -> None:
    """Put a value where its key leads to; a number is a place of a list, whose empty places are left out."""
    for key, following in zip(keys, [*keys[1:], ""], strict=True):
        fresh: Any = value if not following else [] if following.isdigit() else {}
        if isinstance(target, list):
            if not following or int(key) >= len(target):
                target.append(fresh)
            target = target[-1]
        elif not following:
            target[key] = fresh
        else:
            target = target.setdefault(key, fresh)


def known(kind: Type, path: str) -> Type:
    """As :func:`type_at`, for an element that the message cannot do without.

    Raises:
        Rejected: ``VAL450``: this version has no such element.
    """
    found = type_at(kind, path)
    if found is None:
        raise Rejected("VAL450", f"this version has no {path}", hint="use a version that has it")
    return found


class _Place:
    """An element in the making: the writers of its parts, by the names of the elements below."""

    def __init__(self, kind: Type) -> None:
        self.kind = kind
        self.inner: dict[str, _Place] = {}
        self.leaves: list[Write] = []

    def at(self, path: str) -> _Place:
        place = self
        for name in path.split("/") if path else ():
            if name not in place.inner:
                place.inner[name] = _Place(place.kind.elements[name].type)
            place = place.inner[name]
        return place

    def parts(self, before: str = "", after: str = "") -> list[Write]:
        """Writers of the content in the order of the schema, of all elements before or after one if so wanted."""
        order = list(self.kind.elements)
        if before:
            order = order[: order.index(before)]
        if after:
            order = order[order.index(after) + 1 :]
        found: list[Write] = []
        for name in order:
            place = self.inner.get(name)
            if place is None:
                continue
            found += place.leaves
            below = place.parts()
            if below:
                found.append(_wrapped(name, below))
        return found


def _wrapped(tag: str, parts: list[Write]) -> Write:
    if len(parts) == 1:
        part = parts[0]
        return lambda of: f"<{tag}>{inner}</{tag}>" if (inner := part(of)) else ""
    return lambda of: f"<{tag}>{inner}</{tag}>" if (inner := "".join([part(of) for part in parts])) else ""


def writer(form: Form, kind: Type, pen: Pen, *, before: str = "", after: str = "") -> Write:
    """A writer of the content of an element of this type: what stands before or after the element named so, or all.

    A value for which the version has no element goes to :meth:`Pen.lost`.
    """
    root = _Place(kind)
    placed: set[str] = set()
    for field in form:  # of several places for one thing, the first that the version has
        if field.key not in placed and _place(root, field, pen):
            placed.add(field.key)
    lost = dict.fromkeys(field.key for field in form if field.key not in placed)
    parts = root.parts(before, after)
    if not after:  # told once
        parts += [_lost(key, pen) for key in lost]
    if len(parts) == 1:
        return parts[0]
    return lambda of: "".join([part(of) for part in parts])


def _place(root: _Place, field: Field, pen: Pen) -> bool:
    for path in field.path.split("|"):
        kind = type_at(root.kind, path)
        write = field.codec.writer(path.rpartition("/")[2], kind, pen) if kind is not None else None
        if write is not None:
            root.at(path).leaves.append(_of(field.key, write))
            return True
    return False


def _of(key: str, write: Write) -> Write:
    """A writer of the whole object from the writer of one field."""
    if "." not in key:

        def one(of: Any) -> str:
            value = of.get(key)
            return write(value) if value is not None else ""

        return one
    keys = key.split(".")

    def deep(of: Any) -> str:
        value = dig(of, keys)
        return write(value) if value is not None else ""

    return deep


def dig(of: Any, keys: Sequence[str]) -> Any:
    """The value where the keys lead to; None when it is not there."""
    for key in keys:
        if isinstance(of, dict):
            of = of.get(key)
        elif isinstance(of, list | tuple) and int(key) < len(of):
            of = of[int(key)]
        else:
            return None
    return of


def _lost(key: str, pen: Pen) -> Write:
    keys = key.split(".")

    def tell(of: Any) -> str:
        value = dig(of, keys)
        if value is not None and value not in ("", [], {}, ()):
            pen.lost(key)
        return ""

    return tell
