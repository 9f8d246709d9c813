"""Checks of mappings: their structure, and each expression against the shape of what it reads and what it makes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bus.config.fields import Loc, expressions, specs
from bus.config.sources import Sources, declared, model_shape, opened
from bus.config.wording import expression_problem, shift_inside
from bus.errors import ConfigError
from bus.expressions import NamedFunction, named_functions
from bus.expressions.shapes import ANYTHING, TEXT, Remark, Shape, inferred
from bus.expressions.syntax import Node as Part
from bus.expressions.syntax import parse
from bus.expressions.values import T
from bus.registry import mapping_support

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config.model import Landscape, Loaded
    from bus.config.problems import Problem
    from bus.config.yamltext import Node


def mapping_problems(landscape: Landscape, table_names: set[str], mapping_names: set[str]) -> list[Problem]:
    """All problems of all mappings.

    Args:
        landscape: routes, mappings and tables.
        table_names: names of all value tables, those with mistakes too.
        mapping_names: the same of mappings.
    """
    found = list(_unused_tables(landscape))
    if not landscape.mappings:
        return found
    support = mapping_support()
    tables = {name: support.ValueTable.of(loaded.spec) for name, loaded in landscape.tables.items()}
    # A table whose file has a mistake is told there; here its name counts as known.
    tables = {name: {} for name in table_names} | tables
    mappings = {name: loaded.spec for name, loaded in landscape.mappings.items()}
    found += _reversed(landscape, mappings)
    sources = Sources.of(landscape)
    broken = mapping_names - set(mappings)
    for loaded in landscape.mappings.values():
        if broken and _made_of(loaded.spec, mappings) & broken:
            continue  # what it is made of has a mistake, which is told there
        wrong = support.problems(loaded.spec, tables=tables, mappings=mappings)
        for one in wrong:
            node, key = loaded.root.find(one.path)
            place = key or node
            found.append(place.problem(one.code, loaded.path, one.message, hint=one.hint, severity=one.severity))
        if any(one.code in ("MAP130", "MAP131") or one.path[:1] == ("functions",) for one in wrong):
            continue  # what it is made of is not known
        whole = support.resolved(loaded.spec, mappings)
        try:
            functions = named_functions(whole.functions)
        except ConfigError:
            continue  # told where they are declared
        checks = _Checks(loaded, functions, {**tables, **whole.tables})
        found += checks.texts()
        shape, problem = declared(landscape, loaded, whole)
        if problem:
            node, _ = loaded.root.find(("source",))
            found.append(node.problem("MAP145", loaded.path, problem, hint="name a file below the mapping's folder"))
        shape = shape or sources.shape(loaded.name)
        if shape is not None and whole.source is None and loaded.name in sources.changed:
            shape = opened(shape)
        checks.fields(loaded.spec.fields, ("fields",), (shape or ANYTHING, model_shape(whole.to) or ANYTHING))
        found += checks.found
    return found


def _made_of(spec: Any, mappings: dict[str, Any]) -> set[str]:
    """The names of all mappings that one is made of, whether there are such or not."""
    support = mapping_support()
    direct = set(support.references(spec).values())
    return direct.union(*(support.references(mappings[name]).values() for name in support.used(direct, mappings)))


def _reversed(landscape: Landscape, mappings: dict[str, Any]) -> Iterator[Problem]:
    """Routes that use a mapping in reverse that is not checked for that."""
    support = mapping_support()
    for loaded in landscape.routes.values():
        for loc, spec in specs(loaded.spec):
            name = getattr(spec, "mapping", "")
            if not (getattr(spec, "reverse", False) is True and isinstance(name, str) and name in mappings):
                continue
            try:
                ready = support.resolved(mappings[name], mappings).reverse
            except ConfigError:
                continue  # told at the mapping
            if not ready:
                node, _ = loaded.root.find((*loc, "reverse"))
                message = f"the mapping `{name}` is not made for use in reverse"
                hint = f"write `reverse: true` in {landscape.mappings[name].path}; bus check then tells what gets lost"
                yield node.problem("MAP144", loaded.path, message, hint=hint)


def _unused_tables(landscape: Landscape) -> Iterator[Problem]:
    """Value tables that no route and no mapping names."""
    texts = [file.text for file in landscape.files.values() if file.path.endswith((".route.yaml", ".mapping.yaml"))]
    for name, loaded in landscape.tables.items():
        word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        if not any(word.search(text) for text in texts):
            node, key = loaded.root.find(("tables", name) if loaded.root.find(("tables",))[1] else ("table",))
            message = f"no route and no mapping names the table `{name}`"
            place = node if isinstance(node.value, str) or key is None else key
            yield place.problem("MAP136", loaded.path, message, hint="delete it, or look up in it", severity="warning")


class _Checks:
    """The expressions of one mapping."""

    def __init__(self, loaded: Loaded[Any], functions: dict[str, NamedFunction], tables: dict[str, Any]) -> None:
        self._loaded = loaded
        self._functions = functions
        self._tables = tables
        self.found: list[Problem] = []

    def texts(self) -> Iterator[Problem]:
        """Unknown functions and value tables."""
        for loc, text, _ in expressions(specs(self._loaded.spec)):
            if "(" not in text or loc[0] == "functions":
                continue
            node = self._node(loc)
            if node.value == text:
                problem = expression_problem(node, self._loaded.path, self._tables, self._functions)
                if problem is not None:
                    yield problem

    # ------------------------------------------------------------ shapes

    def fields(self, fields: dict[str, Any], loc: Loc, shapes: tuple[Shape, Shape]) -> None:
        """All fields of a mapping or of an ``each``: what they read, and whether it fits their targets."""
        source, made = shapes
        for target, field in fields.items():
            self._field(field, (*loc, target), (source, _below(made, target)))

    def _field(self, field: Any, loc: Loc, shapes: tuple[Shape, Shape]) -> None:
        source, target = shapes
        for name in ("when", "on", "region"):
            self._text(getattr(field, name), (*loc, name), source)
        self._constant(field, loc)
        for number, text in enumerate(field.key):
            self._text(text, (*loc, "key", number), source)
        for number, choice in enumerate(field.choose):
            self._field(choice, (*loc, "choose", number), shapes)
        found = self._source(field, loc, source, target)
        if found is not None:
            self._fits(found, target, (*loc, "value") if field.value else loc)
        if field.default is not None:
            self._fits(
                Shape(T.TEXT, values=frozenset({field.default}), meaning=target.meaning), target, (*loc, "default")
            )
        if field.otherwise:
            self._fits(self._text(field.otherwise, (*loc, "otherwise"), source), target, (*loc, "otherwise"))

    def _source(self, field: Any, loc: Loc, source: Shape, target: Shape) -> Shape | None:
        """The shape of what a field makes; None where that is told of its parts."""
        if field.value:
            return self._text(field.value, (*loc, "value"), source)
        if field.lookup:
            return TEXT
        if field.list:
            for number, text in enumerate(field.list):
                self._text(text, (*loc, "list", number), source)
            return Shape(T.LIST)
        if field.each:
            listed = self._text(field.each, (*loc, "each"), source)
            self._fits(listed, Shape(T.LIST), (*loc, "each"))
            item = _with_parent(listed.item or ANYTHING, source)
            self.fields(field.fields, (*loc, "fields"), (item, target.item or ANYTHING))
            self._given(field, loc, item)
            return Shape(T.LIST)
        self._given(field, loc, source)
        return None if field.choose else Shape(T.OBJECT)

    def _given(self, field: Any, loc: Loc, source: Shape) -> None:
        if isinstance(field.with_, dict):
            for name, text in field.with_.items():
                self._text(text, (*loc, "with", name), source)
        else:
            self._text(field.with_, (*loc, "with"), source)

    def _constant(self, field: Any, loc: Loc) -> None:
        """A condition that is the same for every message."""
        part = _parsed(field.when)
        if part is not None and part.kind == "literal":
            met = bool(part.value) or (isinstance(part.value, int) and not isinstance(part.value, bool))
            node, _ = self._loaded.root.find((*loc, "when"))
            word, hint = ("always", "take the condition out") if met else ("never", "delete the field, or correct it")
            message = f"the condition is {word} met: it is a constant"
            self.found.append(node.problem("MAP139", self._loaded.path, message, hint=hint, severity="warning"))

    def _text(self, text: str, loc: Loc, source: Shape) -> Shape:
        part = _parsed(text)
        if part is None:
            return ANYTHING
        node = self._node(loc)

        def note(remark: Remark) -> None:
            shift = shift_inside(node, remark.start) if node.value == text else None
            length = {} if shift is None else {"length": remark.length}
            warned = {"severity": "warning"} if remark.code == "MAP139" else {}
            self.found.append(
                node.problem(
                    remark.code,
                    self._loaded.path,
                    remark.message,
                    hint=remark.hint,
                    shift=shift or 0,
                    **length,
                    **warned,
                )
            )

        return inferred(part, source, self._functions, note)

    def _node(self, loc: Loc) -> Node:
        """Where an expression is written; the value of the last choice stands under ``otherwise``."""
        node, _ = self._loaded.root.find(loc)
        if isinstance(node.value, dict) and loc[-1] == "value" and "otherwise" in node.value:
            return node.value["otherwise"]
        return node

    def _fits(self, found: Shape, target: Shape, loc: Loc) -> None:
        wrong = _clash(found, target)
        if wrong is None:
            return
        code, message, hint = wrong
        node, key = self._node(loc), self._loaded.root.find(loc)[1]
        severity = "warning" if code == "MAP142" else "error"
        place = node if node.value != "" or key is None else key
        self.found.append(place.problem(code, self._loaded.path, message, hint=hint, severity=severity))


def _parsed(text: str) -> Part | None:
    try:
        return parse(text) if text else None
    except ConfigError:
        return None  # told where the file was validated


def _below(shape: Shape, target: str) -> Shape:
    for name in target.split("."):
        shape = (shape.fields or {}).get(name, ANYTHING)
    return shape


def _with_parent(item: Shape, source: Shape) -> Shape:
    """An item of a list as the fields made from it see it."""
    if item.fields is None:
        return item
    return replace(item, fields={"parent": source, **item.fields})


def _clash(found: Shape, target: Shape) -> tuple[str, str, str] | None:
    """(code, message, what to write) where a value cannot be what its target needs."""
    given, wanted = found.types & ~T.NULL, target.types & ~T.NULL
    if found.meaning == "float" and (target.meaning == "amount" or wanted == T.NUMBER):
        return "MAP143", "an amount is made of a binary float, which is not exact", "have the sender write a decimal"
    if given and wanted and not given & wanted:
        return "MAP141", f"{target.called} is needed here, this is {found.called}", _remedy(found, target)
    if target.meaning == "amount" and found.fields is not None and not {"value", "currency"} <= set(found.fields):
        return "MAP141", "an amount needs `value` and `currency`", "write money(VALUE, CURRENCY)"
    if target.values is not None and found.values is not None and not found.values <= target.values:
        strange = ", ".join(f"'{value}'" for value in sorted(found.values - target.values))
        known = ", ".join(f"'{value}'" for value in sorted(target.values))
        return "MAP141", f"the target never has the value {strange}", f"known: {known}"
    if target.meaning == "date" and found.types & T.TEXT and found.meaning != "date" and found.types != T.ANY:
        return "MAP142", "a date is needed here, this may be any text", "write date(FIELD), or date(FIELD, '%d.%m.%Y')"
    return None


def _remedy(found: Shape, target: Shape) -> str:
    """What to write so that a value becomes what its target needs."""
    if target.meaning == "amount":
        return "write money(VALUE, CURRENCY)"
    if target.meaning == "date":
        return "write date(FIELD), or date(FIELD, '%d.%m.%Y')"
    if target.types & T.NUMBER:
        return "write to_number(FIELD)"
    if target.types & T.TEXT:
        return "ask one of its fields, such as `.value`" if found.types & T.OBJECT else "write to_string(FIELD)"
    return "write `{list: [FIELD]}`" if target.types & T.LIST else "correct the expression"
