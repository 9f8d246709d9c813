"""What may be written where, in words, taken from the specs themselves; for ``bus explain field`` and the docs."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from bus.config.fields import annotation, bare, below, fields, is_expression, plain, slot
from bus.config.problems import listed, nearest
from bus.described import described
from bus.errors import ConfigError
from bus.landscape import ConnectionsSpec, LandscapeSpec, RouteSpec
from bus.spec import Catalogue, Duration, FieldPath, Glob, Kind, PlugInSpec, Secret, Size, Zone

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_FILES: dict[str, type[BaseModel]] = {"route": RouteSpec, "bus": LandscapeSpec, "connections": ConnectionsSpec}
_KINDS: tuple[Kind, ...] = get_args(Kind)
_AROUND = ("from", "to", "as", "endpoint", "format")
"""Keys of files in which a plug-in stands."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A field, or a plug-in or file as a whole.

    Attributes:
        path: full name, such as ``step.split.each``.
        takes: its type in words.
        required: whether it must be written.
        default: what counts when it is not written, as it would be written; ``""`` when there is nothing to say.
        text: its documentation.
        keys: what may be written inside: key -> first paragraph of its documentation.
    """

    path: str
    takes: str
    required: bool
    default: str
    text: str
    keys: dict[str, str]


def look_up(path: str, catalogue: Catalogue) -> list[Entry]:
    """Everything that a path may mean: ``step.split.each``, short ``split.each``, ``route.on_error``, ``sftp``.

    A plug-in may be named with what stands around it in a route: ``parse.csv.encoding``, ``from.sftp.ready``. A key of
    a file needs no word before it: ``on_reject``, ``outlets.batch``.

    Raises:
        ConfigError: ``CFG194`` when it means nothing.
    """
    parts = [part for part in path.split(".") if part]
    starts = list(_starts(parts, catalogue))
    found = [entry for name, kind, rest in starts if (entry := _descend(name, kind, rest, catalogue))]
    if found:
        return found
    if len(parts) > 1 and (parts[0] in _AROUND or parts[0] in catalogue.keys("step")):
        try:
            return look_up(".".join(parts[1:]), catalogue)
        except ConfigError:
            pass  # said of the whole path below
    found = [
        entry
        for name, model in _FILES.items()
        if parts and (entry := _descend(name, model, parts, catalogue)) is not None
    ]
    if found:
        return found
    raise ConfigError(
        "CFG194", f"no configuration field is called `{path[:80]}`", hint=_proposed(parts, starts, catalogue)
    )


def _proposed(parts: list[str], starts: list[tuple[str, Any, list[str]]], catalogue: Catalogue) -> str:
    """What may have been meant: a likely name, else a plug-in that has such a field."""
    words = [(parts[0], [*_FILES, *(key for kind in _KINDS for key in catalogue.keys(kind))])] if parts else []
    words += [
        (rest[0], list(fields(model))) for _, kind, rest in starts if rest and (model := _model(kind)) is not None
    ]
    likely = next((near for word, known in reversed(words) if (near := nearest(word, known)) and near != word), "")
    having = [
        f"{key}.{parts[0]}"
        for kind in _KINDS
        for key in (catalogue.keys(kind) if len(parts) == 1 else ())
        if parts[0] in fields(catalogue.spec(kind, key))
    ]
    if having:
        return f"say of what: {listed(having, most=4)}"
    return f"did you mean `{likely}`?" if likely else "write for instance `split.each`, `sftp.path` or `route.on_error`"


def _starts(parts: list[str], catalogue: Catalogue) -> Iterator[tuple[str, Any, list[str]]]:
    """(full name, type, rest of the path) of each file or plug-in that the path can begin with."""
    if not parts:
        return
    first, *rest = parts
    if first in _FILES:
        yield first, _FILES[first], rest
    for kind in _KINDS:
        key, left = (rest[0], rest[1:]) if first == kind and rest else (first, rest)
        if key in catalogue.keys(kind):
            yield f"{kind}.{key}", catalogue.spec(kind, key), left


def _descend(name: str, kind: Any, rest: list[str], catalogue: Catalogue) -> Entry | None:
    info: FieldInfo | None = None
    for part in rest:
        kind = _inner(kind)
        model = _model(kind)
        info = fields(described(model)).get(part) if model is not None else None
        found = below(kind, part, catalogue)
        if found is None:
            return None
        name, kind = f"{name}.{part}", found
    return _entry(name, kind, info, catalogue)


def _inner(kind: Any) -> Any:
    """The type of the items, where the path leaves out their position or name."""
    while slot(kind) is None:
        args, origin = get_args(bare(kind)), get_origin(bare(kind))
        if not isinstance(origin, type) or not args or origin is types.UnionType:
            return kind
        kind = args[1] if issubclass(origin, Mapping) else args[0]
    return kind


def _model(kind: Any) -> type[BaseModel] | None:
    options = (bare(kind), *get_args(bare(kind)))
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _entry(name: str, kind: Any, info: FieldInfo | None, catalogue: Catalogue) -> Entry:
    model = _model(_inner(kind))
    text = plain(info.description if info is not None and info.description else "")
    if model is not None and not text:
        text = plain(inspect.cleandoc(model.__doc__ or ""))
    required = info is not None and info.is_required()
    default = (
        "" if info is None or required else as_written(annotation(info), info.get_default(call_default_factory=True))
    )
    return Entry(name, in_words(kind, catalogue), required, default, text, keys_of(model) if model is not None else {})


def keys_of(model: type[BaseModel]) -> dict[str, str]:
    """The keys of a spec with the first paragraph of what each means, in one line."""
    paragraphs = {key: plain(info.description or "").split("\n\n")[0] for key, info in fields(described(model)).items()}
    return {key: " ".join(text.split()) for key, text in paragraphs.items()}


_NAMED: tuple[tuple[Any, str], ...] = (
    (Duration, "a duration such as `500ms`, `2s`, `5m`, `4h` or `3d`"),
    (Zone, "a time zone such as `Europe/Berlin`"),
    (Size, "a size such as `64kB`, `16MB` or `2GB`"),
    (Glob, "a file name pattern with `*`, `?` and `[…]`"),
    (FieldPath, "names with points between, such as `creditor.account.iban`"),
)
_SIMPLE: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    bool: "`true` or `false`",
    Path: "a path",
    SecretStr: "a text",
    Secret: "a reference to a secret: `${env:NAME}` or `${file:path}`",
    Any: "anything",
}


def in_words(kind: Any, catalogue: Catalogue) -> str:
    """A type as a person would call it."""
    plug_in = slot(kind)
    if plug_in is not None:
        return f"one {plug_in}: {', '.join(catalogue.keys(plug_in))}"
    named = next((words for known, words in _NAMED if kind == known), "")
    if named:
        return named
    if get_origin(kind) is not None:
        return _composed(kind, catalogue)
    if isinstance(kind, type) and issubclass(kind, PlugInSpec):
        return f"a mapping with the options of `{kind.key}`"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a mapping"
    return _SIMPLE.get(kind, getattr(kind, "__name__", str(kind)))


def _composed(kind: Any, catalogue: Catalogue) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return "an expression" if is_expression(kind) else in_words(args[0], catalogue)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in args)
    if origin is Union or origin is types.UnionType:
        return " or ".join(in_words(option, catalogue) for option in args if option is not type(None))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names, each to {in_words(args[1], catalogue)}"
    return f"a list, each item {in_words(args[0], catalogue)}"


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def as_written(kind: Any, value: Any) -> str:
    """A default as it would be written in a file; ``""`` for nothing."""
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    if kind == Duration and isinstance(value, int):
        unit, length = next(((u, n) for u, n in _UNITS if value and value % n == 0), ("s", 1_000))
        return f"{value // length}{unit}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(str(item) for item in value)}]"
    return str(value)
