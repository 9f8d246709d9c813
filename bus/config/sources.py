"""What a mapping's source looks like: as the mapping itself says, or as the routes that use it read their records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from bus.config.flow import is_reader
from bus.config.shapes import of_columns, of_sample, of_schema, read_json
from bus.expressions.shapes import Shape, union
from bus.landscape import ChannelSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bus.config.model import Landscape, Loaded
    from bus.spec import StepSpec

_KEEPING = frozenset(
    [
        *("filter", "route", "recipients", "tap", "split", "validate", "hold", "delay", "idempotent"),
        *("payment_duplicates", "resequence", "register", "advance", "continuity", "case", "request", "reply"),
    ]
)
"""Steps behind which a body is still what it was before them."""
RECORDS = {"payments": "payment", "statuses": "payment-status", "entries": "entry", "statements": "statement"}
"""What a split of a format of canonical records gives."""


@dataclass(slots=True)
class Sources:
    """What the routes give each mapping, by its name.

    Attributes:
        shapes: makes the shapes of its source; None where a route's is not known.
        changed: names of mappings whose source steps, or other routes, may have changed since it was read.
        readers: (format, each) that its source was read with.
    """

    shapes: dict[str, list[Callable[[], Shape | None]]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    readers: dict[str, list[tuple[Any, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, landscape: Landscape) -> Sources:
        """Walk all routes."""
        found = cls()
        for loaded in landscape.routes.values():
            found._walk(loaded.spec.steps, _nothing, changed=isinstance(loaded.spec.from_, ChannelSource))
        return found

    def _walk(self, steps: Iterable[StepSpec], shape: Callable[[], Shape | None], *, changed: bool) -> None:
        reader: Any = None
        each = ""
        for step in steps:
            if is_reader(step):
                reader, shape, changed = getattr(step, "format", None), _nothing, False
                continue
            if step.key == "split" and reader is not None:
                each = str(getattr(step, "each", "") or reader.each_default)
                shape = partial(_record, reader, each)
            name = getattr(step, "mapping", "")
            if isinstance(name, str) and name:
                if getattr(step, "reverse", False):
                    name = f"{name} reversed"
                self.shapes.setdefault(name, []).append(shape)
                if changed:
                    self.changed.add(name)
                if each:
                    self.readers.setdefault(name, []).append((reader, each))
                shape, changed = _nothing, False
            elif step.key not in _KEEPING:
                shape, changed = _nothing, True
            for flow in step.flows().values():
                self._walk(flow.steps, shape, changed=changed)

    def reader(self, mapping: str, key: str) -> tuple[Any, str]:
        """(format, each) of a route that reads a mapping's source in the format of that key; (None, "") if none."""
        return next((pair for pair in self.readers.get(mapping, []) if pair[0].key == key), (None, ""))

    def shape(self, mapping: str) -> Shape | None:
        """The shape of records that every route hands to a mapping; None when one of them is not known."""
        whole: Shape | None = None
        for make in self.shapes.get(mapping, []):
            one = make()
            if one is None:
                return None
            whole = one if whole is None else union(whole, one)
        return whole


def _nothing() -> None:
    """Where nothing is known of a record."""


def _record(form: Any, each: str) -> Shape | None:
    """The shape of one record of a format, where its options or its kind say it."""
    fields = form.record_fields()
    if fields:
        return of_columns(fields)
    canonical = form.key not in ("csv", "json", "fixed-width") and getattr(form, "as_", "canonical") == "canonical"
    model = RECORDS.get(each) if canonical else None
    return model_shape(model) if model else None


def declared(landscape: Landscape, loaded: Loaded[Any], whole: Any) -> tuple[Shape | None, str]:
    """The shape that a mapping itself says its source has, or None; and what is wrong with the file that it names.

    Args:
        landscape: where files are looked for.
        loaded: the mapping as written.
        whole: the mapping with what it inherits.
    """
    source = whole.source
    if source is None:
        return model_shape(whole.from_), ""
    if source.columns:
        return of_columns(dict.fromkeys(source.columns, "text")), ""
    name = source.sample or source.json_schema
    path = PurePosixPath(loaded.path).parent / name
    if path.is_absolute() or ".." in PurePosixPath(name).parts:
        return None, f"`{name}` is not below the folder of the mapping"
    try:
        data = read_json(landscape.folder / path)
    except ValueError as error:
        return None, f"`{name}` {error}"
    if source.sample:
        return of_sample(data[0] if isinstance(data, list) and data else data), ""
    return (of_schema(data), "") if isinstance(data, dict) else (None, f"`{name}` is no JSON Schema")


@cache
def model_shape(name: str) -> Shape | None:
    """The shape of a canonical model; None when there is none of that name."""
    canonical = import_module("transforms.canonical.models")
    if name not in canonical.MODEL_TYPES:
        return None
    return of_schema(canonical.json_schema(name), exact=True)


def opened(shape: Shape) -> Shape:
    """The same, but perhaps with more fields: steps before the mapping put them there."""
    return replace(shape, more=True)
