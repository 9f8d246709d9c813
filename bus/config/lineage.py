"""Where fields come from and go to, read from the configuration: no message is needed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bus.config.fields import expressions, specs
from bus.config.sources import RECORDS, model_shape
from bus.errors import ConfigError
from bus.expressions.paths import Path, paths
from bus.expressions.simple import simple
from bus.expressions.syntax import parse
from bus.registry import mapping_support, models, template_support
from bus.spec import StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bus.config.fields import Loc
    from bus.config.model import Landscape, Loaded

_RAW = ("csv", "json", "fixed-width")
"""Formats whose records have the fields that their options name, and no canonical ones."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """How a mapping makes one target field.

    Attributes:
        target: the field, with ``*`` for the items of a list.
        how: the expression or lookup, as it is written.
        reads: the source fields that decide about it, sorted.
        when: the condition, if there is one.
        loc: place in the file of the mapping that the field stands in.
        mapping: name of that mapping, which is another one for inherited and included fields.
    """

    target: str
    how: str
    reads: tuple[str, ...]
    when: str
    loc: Loc
    mapping: str


def assignments(name: str, mappings: Mapping[str, Any]) -> list[Assignment]:
    """All that a mapping assigns, with what it inherits and includes, in the order in which it does.

    Raises:
        ConfigError: it is made of mappings that there are not, or of itself.
    """
    return list(_Walk(mappings).mapping(name, (), lambda path: {path}))


Where = Callable[[Path], set[Path]]
"""Fields of the whole source that a field of what a fragment or a list item sees stands for."""


@dataclass(frozen=True, slots=True)
class _Walk:
    mappings: Mapping[str, Any]

    def mapping(self, name: str, prefix: Path, where: Where) -> Iterator[Assignment]:
        whole = mapping_support().resolved(self.mappings[name], self.mappings)
        for target, field in whole.fields.items():
            owner = self._owner(name, target)
            yield from self._field(field, (*prefix, *target.split(".")), where, (("fields", target), owner))

    def _owner(self, name: str, target: str) -> str:
        """The mapping of a chain of inheritance that a field is written in."""
        spec = self.mappings[name]
        while target not in spec.fields and spec.extends:
            spec = self.mappings[spec.extends]
        return str(spec.mapping)

    def _field(self, field: Any, target: Path, where: Where, at: tuple[Loc, str]) -> Iterator[Assignment]:
        loc, owner = at
        when = f"when {field.when}" if field.when else ""
        conditions = _reads([field.when], where)

        def made(how: str, texts: list[str]) -> Assignment:
            reads = sorted(".".join(path) for path in _reads(texts, where) | conditions)
            return Assignment(".".join(target), how, tuple(reads), when, loc, owner)

        if field.value or field.list or field.lookup:
            yield made(*_source(field))
        for number, choice in enumerate(field.choose):
            yield from self._field(choice, target, where, ((*loc, "choose", number), owner))
        if field.each:
            yield from self._items(field, target, where, at)
        elif field.include:
            for one in self.mapping(field.include, target, _seen(field, where)):
                yield replace(one, reads=tuple(sorted({*one.reads, *(".".join(path) for path in conditions)})))
        if field.otherwise:
            yield made(field.otherwise, [field.otherwise])
        if field.default is not None:
            yield made(f"default {field.default!r}", [])

    def _items(self, field: Any, target: Path, where: Where, at: tuple[Loc, str]) -> Iterator[Assignment]:
        """Fields of the items of a list; ``parent`` is what is around the list."""
        loc, owner = at
        base = _reads([field.each], where)

        def item(path: Path) -> set[Path]:
            if path[:1] == ("parent",):
                return where(path[1:]) if len(path) > 1 else set()
            return {(*one, "*", *path) for one in base}

        if field.include:
            yield from self.mapping(field.include, (*target, "*"), _seen(field, item))
        for name, inner in field.fields.items():
            yield from self._field(inner, (*target, "*", *name.split(".")), item, ((*loc, "fields", name), owner))


def _source(field: Any) -> tuple[str, list[str]]:
    """How a field is made, as it is written, and the expressions that decide about it."""
    if field.lookup:
        turned = " reversed" if field.reverse else ""
        return f"lookup {field.lookup}{turned}[{', '.join(field.key)}]", [*field.key, field.on, field.region]
    return (f"[{', '.join(field.list)}]", [*field.list]) if field.list else (field.value, [field.value])


def _seen(field: Any, where: Where) -> Where:
    """What an included mapping sees, in terms of the whole source."""
    if isinstance(field.with_, dict):
        given = {tuple(name.split(".")): text for name, text in field.with_.items()}

        def argument(path: Path) -> set[Path]:
            for name, text in given.items():
                if path[: len(name)] == name:
                    return _below(text, path[len(name) :], where)
            return set()

        return argument
    return (lambda path: _below(field.with_, path, where)) if field.with_ else where


def _below(text: str, rest: Path, where: Where) -> set[Path]:
    found = simple(text)
    return where((*found.path, *rest)) if found is not None and found.kind == "path" else _reads([text], where)


def _reads(texts: list[str], where: Where) -> set[Path]:
    found: set[Path] = set()
    for text in texts:
        for path in expression_paths(text):
            found |= where(path)
    return found


def expression_paths(text: str) -> tuple[Path, ...]:
    """The fields that an expression reads; none for one that does not parse."""
    try:
        return paths(parse(text)) if text else ()
    except ConfigError:
        return ()


# ---------------------------------------------------------------- one field, in a whole landscape


@dataclass(frozen=True, slots=True)
class Use:
    """One place that writes or reads a field.

    Attributes:
        kind: ``mapping``, ``route``, ``format`` or ``template``.
        name: of the mapping, route or template.
        what: the step, or the other field of an assignment.
        how: the expression, lookup or format.
        routes: routes that use the mapping or template.
        path: file and line.
    """

    kind: str
    name: str
    what: str
    how: str
    routes: tuple[str, ...]
    path: str
    line: int


def lineage(landscape: Landscape, field: str) -> tuple[list[Use], list[Use]]:
    """Who writes a field and who reads it: (writers, readers); ``*`` and list positions in it do not matter.

    A name that begins with that of a canonical model (``payment.creditor.name``) is looked for where that model is.
    """
    model, wanted = _split(field)
    found = _Lineage(landscape, model, wanted)
    return [*found.writers()], [*found.readers()]


def known_fields(landscape: Landscape) -> set[str]:
    """Every field that a mapping writes or reads, for suggestions."""
    mappings = {name: loaded.spec for name, loaded in landscape.mappings.items()}
    every = [one for name in mappings for one in _safe(name, mappings)]
    return {one.target for one in every} | {read for one in every for read in one.reads}


def _safe(name: str, mappings: Mapping[str, Any]) -> list[Assignment]:
    try:
        return assignments(name, mappings)
    except (ConfigError, KeyError):
        return []  # bus check tells what is wrong with it


def _split(field: str) -> tuple[str, Path]:
    parts = tuple(part for part in field.replace("[*]", ".*").split(".") if part and part != "*")
    return (parts[0], parts[1:]) if parts[:1] and parts[0] in models() and len(parts) > 1 else ("", parts)


def _plain(path: str | Path) -> Path:
    return tuple(part for part in (path.split(".") if isinstance(path, str) else path) if part != "*")


def _meets(path: str | Path, wanted: Path) -> bool:
    """Whether a path is the wanted field, holds it, or is part of it."""
    found = _plain(path)
    shorter = min(len(found), len(wanted))
    return shorter > 0 and found[:shorter] == wanted[:shorter]


@dataclass(frozen=True, slots=True)
class _Lineage:
    landscape: Landscape
    model: str
    wanted: Path

    def writers(self) -> Iterator[Use]:
        for name, loaded in self._mappings("to"):
            for one in self._assigned(name):
                if _meets(one.target, self.wanted):
                    yield self._use(one, ", ".join(one.reads) or "nothing of the source", loaded, name)
        for route, loc, step in self._steps():
            if _meets(getattr(step, "into", None) or (), self.wanted):
                yield self._step(route, loc, step, "puts it there")
            form: Any = getattr(step, "format", None) if hasattr(step, "build_head") else None
            if self._is_canonical(form, self._read_by(route)) or self._is_column(form):
                yield self._step(route, loc, step, f"reads it from {step.format.key}", kind="format")

    def readers(self) -> Iterator[Use]:
        for name, loaded in self._mappings("from_"):
            for one in self._assigned(name):
                if any(_meets(read, self.wanted) for read in one.reads):
                    yield self._use(one, f"→ {one.target}", loaded, name)
        for route, loc, step in self._steps():
            for where, text, owner in expressions(specs(step)):
                if owner is step and any(_meets(path, self.wanted) for path in expression_paths(text)):
                    place = ".".join(str(part) for part in where)
                    yield self._step(route, loc, step, f"{place}: {text}" if place else text)
            form: Any = getattr(step, "to", None)
            if self._is_canonical(form, _written(form)) or self._is_written_column(form):
                yield self._step(
                    route, loc, step, f"writes it into {getattr(form, 'message', '') or form.key}", kind="format"
                )
        yield from self._templates()

    def _templates(self) -> Iterator[Use]:
        for name, template in self.landscape.templates.items():
            lines = template_support().lines_reading(template.text, self.wanted)
            used = [r for r, _, step in self._steps() if getattr(step, "template", "") == name]
            for line in lines[:1]:
                yield Use("template", name, "", ".".join(self.wanted), tuple(dict.fromkeys(used)), template.path, line)

    def _mappings(self, side: str) -> list[tuple[str, Loaded[Any]]]:
        every = self.landscape.mappings.items()
        return [(n, loaded) for n, loaded in every if not self.model or getattr(loaded.spec, side) in (self.model, "")]

    def _assigned(self, name: str) -> list[Assignment]:
        return _safe(name, {known: loaded.spec for known, loaded in self.landscape.mappings.items()})

    def _use(self, one: Assignment, what: str, loaded: Loaded[Any], name: str) -> Use:
        home = self.landscape.mappings.get(one.mapping, loaded)
        node, key = home.root.find(one.loc)
        how = f"{one.how} {one.when}".strip()
        routes = [r for r, _, step in self._steps() if getattr(step, "mapping", "") == name]
        return Use("mapping", name, what, how, tuple(dict.fromkeys(routes)), home.path, (key or node).line)

    def _step(self, route: str, loc: Loc, step: Any, how: str, kind: str = "route") -> Use:
        loaded = self.landscape.routes[route]
        node, key = loaded.root.find(loc)
        return Use(kind, route, step.name or step.key, how, (route,), loaded.path, (key or node).line)

    def _steps(self) -> Iterator[tuple[str, Loc, Any]]:
        for route, loaded in self.landscape.routes.items():
            for loc, spec in specs(loaded.spec):
                if isinstance(spec, StepSpec):
                    yield route, loc, spec

    def _is_column(self, form: Any) -> bool:
        return hasattr(form, "record_fields") and len(self.wanted) == 1 and self.wanted[0] in form.record_fields()

    def _is_written_column(self, form: Any) -> bool:
        columns = getattr(form, "columns", None)
        return isinstance(columns, dict) and any(_meets(path, self.wanted) for path in columns.values())

    def _read_by(self, route: str) -> list[str]:
        """The canonical models that a route splits documents into; empty when it does not say."""
        split = [str(getattr(step, "each", "")) for name, _, step in self._steps() if name == route]
        return [RECORDS[each] for each in split if each in RECORDS]

    def _is_canonical(self, form: Any, names: list[str]) -> bool:
        """Whether a format reads or writes canonical records, of one of these models, that have the field."""
        if not hasattr(form, "record_fields") or form.key in _RAW:
            return False
        usual = RECORDS.get(str(form.each_default))
        possible = names or ([usual] if usual else [])
        return any(_has(model_shape(name), self.wanted) for name in possible if self.model in ("", name))


def _written(form: Any) -> list[str]:
    """The canonical model that a format is made of, by the message that it writes; empty when that does not say."""
    message = str(getattr(form, "message", ""))
    return [model for begin, model in _MESSAGES.items() if message.startswith(begin)]


_MESSAGES = {"pain.001": "payment", "pain.002": "payment-status", "pain.008": "direct-debit"}


def _has(shape: Any, wanted: Path) -> bool:
    for part in wanted:
        while shape is not None and shape.fields is None and shape.item is not None:
            shape = shape.item
        if shape is None or shape.fields is None or part not in shape.fields:
            return False
        shape = shape.fields[part]
    return True
