"""The inverse of a mapping, as far as it has one, and field by field what cannot be carried back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bus import path_text, simple
from transforms.mapping.reuse import resolved
from transforms.mapping.specs import TARGET, FieldSpec, MappingSpec
from transforms.mapping.tables import doubled, indexed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bus import Simple

Path = tuple[str, ...]
Where = Callable[[Path], Path | None]
"""Where a field of what a fragment sees stands in the whole source; None when it stands nowhere."""


class Lost(NamedTuple):
    """A target field of which something cannot be carried back.

    Attributes:
        target: the field.
        why: in words.
        accepted: nothing is lost by it, or the mapping says ``one_way``.
    """

    target: str
    why: str
    accepted: bool = False


def reversed_mapping(
    spec: MappingSpec, *, tables: Mapping[str, Any], mappings: Mapping[str, MappingSpec]
) -> tuple[MappingSpec | None, list[Lost]]:
    """The mapping from target back to source, and what it does not carry back.

    Carried back are plain paths, ``money()`` and ``date()`` of them, lists of one path, lookups in tables with one key
    for each value, lists of objects and included mappings of these.

    Args:
        spec: the mapping.
        tables: all value tables by name.
        mappings: all mappings by name.

    Returns:
        None as the mapping when nothing at all can be carried back.
    """
    whole = resolved(spec, mappings)
    backward = _Backward({**tables, **whole.tables}, mappings)
    backward.walk(whole.fields, (), lambda path: path)
    fields = backward.fields()
    if not fields:
        return None, backward.lost
    made = {
        "mapping": f"{whole.mapping[:55]}-reverse",
        "summary": f"The reverse of {whole.mapping}",
        "from": whole.to,
        "to": whole.from_,
        "tables": {
            name: table for name, table in whole.tables.items() if any(f.lookup == name for f in fields.values())
        },
        "fields": fields,
    }
    return MappingSpec.model_validate(made), backward.lost


class _Backward:
    """Collects, for each field of the source, the target fields that hold it."""

    def __init__(self, tables: Mapping[str, Any], mappings: Mapping[str, MappingSpec]) -> None:
        self._tables = tables
        self._mappings = mappings
        self._found: dict[str, list[tuple[str, FieldSpec]]] = {}
        self._conditions: dict[str, list[tuple[str, str]]] = {}
        self.lost: list[Lost] = []

    def fields(self) -> dict[str, FieldSpec]:
        """The fields of the reverse mapping; one that several targets hold takes the first that has a value."""
        for source, conditions in self._conditions.items():
            texts = {text for _, text in conditions}
            if not any(f"!{text}" in texts or f"!({text})" in texts for text in texts):
                why = f"`{source}` is carried only where the condition is met"
                self.lost += [Lost(target, why) for target, _ in conditions]
        made: dict[str, FieldSpec] = {}
        for source, several in sorted(self._found.items(), key=lambda pair: pair[0].count(".")):
            if any(source.startswith(f"{other}.") for other in made):
                self.lost.append(Lost(several[0][0], f"`{source}` is part of a field that is carried back as a whole"))
                continue
            values = [field.value for _, field in several if field.value]
            both = len(values) == len(several) > 1
            made[source] = FieldSpec(value=" || ".join(values)) if both else several[0][1]
        return {source: made[source] for source in self._found if source in made}

    def walk(self, fields: Mapping[str, FieldSpec], prefix: Path, where: Where) -> None:
        """All fields of a mapping or fragment, which are read at ``prefix`` of the target."""
        for target, field in fields.items():
            read = (*prefix, *target.split("."))
            if field.one_way:
                self.lost.append(Lost(".".join(read), "one way, as the mapping says", accepted=True))
            elif field.include and not field.each:
                self._fragment(field, read, where)
            else:
                self._field(field, read, where)

    def _fragment(self, field: FieldSpec, read: Path, where: Where) -> None:
        inner = self._seen_by(field, where)
        if inner is None:
            self._lose(read, "what the included mapping sees is no plain path")
        else:
            self.walk(resolved(self._mappings[field.include], self._mappings).fields, read, inner)

    def _seen_by(self, field: FieldSpec, where: Where) -> Where | None:
        """Where the fields that an included mapping sees stand in the whole source."""
        if isinstance(field.with_, dict):
            given = {tuple(name.split(".")): simple(text) for name, text in field.with_.items()}
            return lambda path: _argument(path, given, where)
        if not field.with_:
            return where
        found = simple(field.with_)
        if found is None or found.kind != "path":
            return None
        return lambda path: where((*found.path, *path))

    def _field(self, field: FieldSpec, read: Path, where: Where) -> None:
        text = path_text(read)
        if field.lookup:
            self._looked_up(field, read, where)
        elif field.each:
            self._each(field, read, where)
        elif field.choose or field.otherwise:
            self._lose(read, "which of its sources counted cannot be told")
        elif len(field.list) == 1:
            self._carry(field, read, (simple(field.list[0]), f"{text}[0]"), where)
        elif field.list:
            self._lose(read, "a list of several fields, of which the empty ones are left out")
        else:
            self._value(field, read, where)

    def _value(self, field: FieldSpec, read: Path, where: Where) -> None:
        found, text = simple(field.value), path_text(read)
        if found is not None and found.kind == "constant":
            self.lost.append(Lost(text, "a constant: nothing of the source is in it", accepted=True))
        elif found is not None and found.kind == "call" and found.value == "money" and len(found.arguments) == 2:
            for part, inner in zip(found.arguments, (f"{text}.value", f"{text}.currency"), strict=True):
                if part.kind == "path":
                    self._carry(field, read, (part, inner), where)
        elif found is not None and found.kind == "call" and found.value == "date" and len(found.arguments) == 1:
            self._carry(field, read, (found.arguments[0], text), where)
        else:
            self._carry(field, read, (found, text), where)

    def _looked_up(self, field: FieldSpec, read: Path, where: Where) -> None:
        table = indexed(self._tables.get(field.lookup, {}))
        if len(field.key) > 1:
            self._lose(read, "a lookup with a key of several parts")
        elif doubled(table) and not field.reverse:
            self._lose(read, f"two keys of the table `{field.lookup}` have one value")
        elif field.on or field.region:
            self._lose(read, "a lookup by day or region")
        else:
            back = FieldSpec(
                lookup=field.lookup, key=(path_text(read),), reverse=not field.reverse, keep=field.keep, default=None
            )
            self._keep(field, read, (simple(field.key[0]), back), where)

    def _each(self, field: FieldSpec, read: Path, where: Where) -> None:
        inner = _Backward(self._tables, self._mappings)
        fields = field.fields
        seen: Where | None = _below_item
        if field.include:
            fields = resolved(self._mappings[field.include], self._mappings).fields
            seen = inner._seen_by(field, _below_item)
        if seen is None:
            self._lose(read, "what the included mapping sees is no plain path")
            return
        inner.walk(fields, (), seen)
        made = inner.fields()
        self.lost += [lost._replace(target=f"{'.'.join(read)}.{lost.target}") for lost in inner.lost]
        if made:
            self._keep(field, read, (simple(field.each), FieldSpec(each=path_text(read), fields=made)), where)

    def _carry(self, field: FieldSpec, read: Path, pair: tuple[Simple | None, str], where: Where) -> None:
        self._keep(field, read, (pair[0], FieldSpec(value=pair[1])), where)

    def _keep(self, field: FieldSpec, read: Path, pair: tuple[Simple | None, FieldSpec], where: Where) -> None:
        """Note that a source field is made by ``pair[1]``, if ``pair[0]`` is the plain path of one."""
        found, back = pair
        source = where(found.path) if found is not None and found.kind == "path" else None
        name = ".".join(source or ())
        if source is None or not re.fullmatch(TARGET, name):
            self._lose(read, "its expression cannot be read backwards")
            return
        if field.default is not None:
            self._lose(read, "its default cannot be told from a value")
        if field.when:
            self._conditions.setdefault(name, []).append((".".join(read), field.when))
        self._found.setdefault(name, []).append((".".join(read), back))

    def _lose(self, read: Path, why: str) -> None:
        self.lost.append(Lost(".".join(read), why))


def _below_item(path: Path) -> Path | None:
    """Where a field of an item of a list stands in the item; what is outside of the item stands nowhere."""
    return None if path[:1] == ("parent",) else path


def _argument(path: Path, given: Mapping[Path, Simple | None], where: Where) -> Path | None:
    """Where a field stands that a fragment reads from the arguments that it is given."""
    for name, found in given.items():
        if path[: len(name)] == name and found is not None and found.kind == "path":
            return where((*found.path, *path[len(name) :]))
    return None
