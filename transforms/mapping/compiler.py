"""Makes closures of mappings: compiled once, then pure functions over plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from bus import ConfigError, Rejected, named_functions
from transforms.mapping.checks import problems
from transforms.mapping.reuse import references, resolved, used
from transforms.mapping.reversal import reversed_mapping
from transforms.mapping.tables import ValueTable, indexed, joined, turned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transforms.mapping.specs import FieldSpec, MappingSpec

Compiled = Callable[[Any], Any]
_EMPTY: tuple[Any, ...] = ("", [], {})


def compile_mapping(
    spec: MappingSpec,
    *,
    expression: Callable[..., Compiled],
    tables: Mapping[str, Any] | None = None,
    required: Iterable[str] | None = None,
    mappings: Mapping[str, MappingSpec] | None = None,
) -> Compiled:
    """Make the function from source body to target body; pure, fast, safe to use from many threads.

    Args:
        spec: the mapping.
        expression: compiles the text of an expression; ``functions=`` are those that the mapping names.
        tables: value tables by name: :class:`TableSpec`, :class:`ValueTable` or mappings.
        required: as for :func:`problems`.
        mappings: the mappings that this one may extend or include, by name.

    Raises:
        ConfigError: the first error that :func:`problems` finds, or what is wrong with an expression.
    """
    known = mappings or {}
    wrong = problems(spec, required=required, tables=tables or {}, mappings=known)
    for name in sorted(used(references(spec).values(), known)):
        wrong += problems(known[name], required=(), tables=tables or {}, mappings=known)
    wrong = [problem for problem in wrong if problem.severity == "error"]
    if wrong:
        hint = f"{len(wrong) - 1} more problems in this mapping" if len(wrong) > 1 else ""
        raise ConfigError(wrong[0].code, f"mapping `{spec.mapping}`: {str(wrong[0])[7:]}", hint=hint)
    return _Compiler(spec, expression, tables or {}, known).made()


def compile_named(
    name: str,
    *,
    mappings: Mapping[str, MappingSpec],
    expression: Callable[..., Compiled],
    tables: Mapping[str, Any],
    reverse: bool = False,
) -> Compiled:
    """As :func:`compile_mapping` for one of ``mappings``; ``reverse`` = from its target back to its source.

    Raises:
        ConfigError: ``CFG163`` when there is no mapping of that name, ``MAP140`` when it cannot be used in reverse.
    """
    spec = mappings.get(name)
    if spec is None:
        raise ConfigError("CFG163", f"there is no mapping `{name}`", hint="add NAME.mapping.yaml")
    if not reverse:
        return compile_mapping(spec, expression=expression, tables=tables, mappings=mappings)
    back, lost = reversed_mapping(spec, tables=tables, mappings=mappings)
    why = next((f"`{one.target}`: {one.why}" for one in lost if not one.accepted), "nothing can be carried back")
    if back is None or not all(one.accepted for one in lost):
        raise ConfigError(
            "MAP140", f"mapping `{name}` cannot be used in reverse: {why}", hint=f"bus mapping reverse {name}"
        )
    return compile_mapping(back, expression=expression, tables=tables, mappings=mappings, required=())


class _Compiler:
    """Turns the field specs of one mapping into closures."""

    def __init__(
        self,
        spec: MappingSpec,
        expression: Callable[..., Compiled],
        tables: Mapping[str, Any],
        mappings: Mapping[str, MappingSpec],
    ) -> None:
        self._spec = resolved(spec, mappings)
        self._shared = tables
        self._mappings = mappings
        self._tables = {name: indexed(table) for name, table in {**tables, **self._spec.tables}.items()}
        self._expression = expression
        self._functions = named_functions(self._spec.functions)

    def made(self) -> Compiled:
        """The whole mapping."""
        return self.record(self._spec.fields)

    def record(self, fields: Mapping[str, FieldSpec]) -> Compiled:
        """Source -> nested mapping of all fields that have a value."""
        tree: dict[str, Any] = {}
        for target, field in fields.items():
            *parents, key = target.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[key] = (self._optional(field), field.omit_empty, field.required, target, field.reason)
        return _assembled(tree)

    def _field(self, field: FieldSpec) -> Compiled:
        get = self._optional(field)
        return _demanded(get) if field.required else get

    def _optional(self, field: FieldSpec) -> Compiled:
        """As :meth:`_field`, but nobody has looked yet whether a field that is required is there."""
        get = self._source(field)
        if field.when:
            get = _only_when(
                self._compile(field.when), get, self._compile(field.otherwise) if field.otherwise else None
            )
        if field.default is not None:
            get = _with_default(get, field.default)
        return get

    def _source(self, field: FieldSpec) -> Compiled:
        if field.lookup:
            return self._lookup(field)
        if field.list:
            return _list([self._compile(text) for text in field.list])
        if field.choose:
            return _choice([self._chosen(choice) for choice in field.choose])
        if field.include or field.each:
            return self._object(field)
        return self._compile(field.value)

    def _chosen(self, field: FieldSpec) -> tuple[Compiled | None, Compiled]:
        """(condition, value) of one of the sources to choose from."""
        inner = field.model_copy(update={"when": ""}) if field.when and not field.otherwise else field
        return self._compile(field.when) if inner is not field else None, self._field(inner)

    def _object(self, field: FieldSpec) -> Compiled:
        """An object that another mapping makes, or a list of objects."""
        if not field.include:
            return _each(self._compile(field.each), self.record(field.fields))
        made = _Compiler(self._mappings[field.include], self._expression, self._shared, self._mappings).made()
        if isinstance(field.with_, dict):
            made = _given([(name.split("."), self._compile(text)) for name, text in field.with_.items()], made)
        elif field.with_:
            made = _of(self._compile(field.with_), made)
        return _each(self._compile(field.each), made) if field.each else _filled(made)

    def _compile(self, text: str) -> Compiled:
        found = self._expression(text, functions=self._functions) if self._functions else self._expression(text)
        run: Compiled = getattr(found, "run", found)
        return run

    def _lookup(self, field: FieldSpec) -> Compiled:
        table, lenient = self._tables[field.lookup], field.default is not None
        table = turned(table) if field.reverse else table
        key = self._key(field.key)
        on = self._compile(field.on) if field.on else None
        region = self._compile(field.region) if field.region else None
        plain = not isinstance(table, ValueTable) or (on is None and region is None)
        keep = field.keep
        find = table.undated.get if isinstance(table, ValueTable) else table.get

        def get(source: Any) -> Any:
            wanted = key(source)
            if wanted is None or wanted == "":
                return None
            wanted = wanted if type(wanted) is str else str(wanted)
            if plain:
                found = find(wanted)
            else:
                found = table.get(wanted, on(source) if on else None, (region(source) or "") if region else "")
            if found is None and keep:
                return wanted
            if found is None and not lenient:
                hint = "add the row, or give the field a `default`"
                raise Rejected("MAP113", f"the value table `{field.lookup}` has no row for this key", hint=hint)
            return found

        return get

    def _key(self, texts: tuple[str, ...]) -> Compiled:
        """The key as one value; one of several parts is none as soon as a part is missing."""
        parts = [self._compile(text) for text in texts]
        if len(parts) == 1:
            return parts[0]

        def get(source: Any) -> str | None:
            found = [part(source) for part in parts]
            return None if any(one is None or one == "" for one in found) else joined(str(one) for one in found)

        return get


def _assembled(tree: dict[str, Any]) -> Compiled:
    """One object of the target with all of its fields that have a value; an object within without any is left out."""
    plan = [(key, *(leaf if isinstance(leaf, tuple) else _within(leaf))) for key, leaf in tree.items()]
    where = {key: (target, reason) for key, _, _, _, target, reason in plan}
    plain = [(key, get, omit or required, required) for key, get, omit, required, _, _ in plan]

    def run(source: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        key = ""
        try:
            for key, get, omit, required in plain:
                value = get(source)
                if not value and (value is None or (omit and value in _EMPTY)):
                    if required:
                        _refuse_missing()
                    continue
                if type(value) is float:
                    _refuse_float()
                out[key] = value
        except Rejected as error:
            target, reason = where[key]
            if not target:
                raise  # an object within has said where
            raise _at(target, reason, error) from error
        return out

    return run


def _within(tree: dict[str, Any]) -> tuple[Compiled, bool, bool, str, str]:
    return _assembled(tree), True, False, "", ""


def _refuse_missing() -> NoReturn:
    raise Rejected("MAP110", "the source has no value for it", hint="it is required")


def _refuse_float() -> NoReturn:
    raise Rejected("MAP111", "the value is a binary float, which is not exact", hint="make it a decimal")


def _only_when(condition: Compiled, get: Compiled, otherwise: Compiled | None = None) -> Compiled:
    def conditional(source: Any) -> Any:
        met = condition(source)
        # JMESPath truth: the number 0 is true, all that is empty is not.
        if not met and (met is None or met is False or met in _EMPTY):
            return otherwise(source) if otherwise is not None else None
        return get(source)

    return conditional


def _choice(choices: list[tuple[Compiled | None, Compiled]]) -> Compiled:
    """The first source whose condition is met; none of the others is worked out."""

    def chosen(source: Any) -> Any:
        for condition, get in choices:
            met = True if condition is None else condition(source)
            if not (met is None or met is False or met in _EMPTY):
                return get(source)
        return None

    return chosen


def _given(arguments: list[tuple[list[str], Compiled]], made: Compiled) -> Compiled:
    """What a fragment makes of an object put together for it."""

    def included(source: Any) -> Any:
        seen: dict[str, Any] = {}
        for (*parents, name), get in arguments:
            here = seen
            for parent in parents:
                here = here.setdefault(parent, {})
            here[name] = get(source)
        return made(seen)

    return included


def _of(part: Compiled, made: Compiled) -> Compiled:
    """What a fragment makes of a part of the source; nothing of nothing."""

    def included(source: Any) -> Any:
        found = part(source)
        return None if found is None else made(found)

    return included


def _filled(made: Compiled) -> Compiled:
    """An object without any field is none."""
    return lambda source: made(source) or None


def _with_default(get: Compiled, default: str) -> Compiled:
    def defaulted(source: Any) -> Any:
        value = get(source)
        return default if value is None or value == "" else value

    return defaulted


def _demanded(get: Compiled) -> Compiled:
    def demanded(source: Any) -> Any:
        value = get(source)
        if value is None or (not value and value in _EMPTY):
            _refuse_missing()
        return value

    return demanded


def _list(items: list[Compiled]) -> Compiled:
    def collected(source: Any) -> list[Any]:
        found = [get(source) for get in items]
        return [value for value in found if value or (value is not None and value not in _EMPTY)]

    return collected


def _each(items: Compiled, record: Compiled) -> Compiled:
    def made(source: Any) -> list[Any] | None:
        found = items(source)
        if found is None:
            return None
        if not isinstance(found, list):
            hint = "`each` takes an expression that gives a list"
            raise Rejected("MAP114", f"a {type(found).__name__} stands where a list should", hint=hint)
        out = []
        for number, item in enumerate(found, 1):
            try:
                one = record({"parent": source, **item} if isinstance(item, dict) else item)
            except Rejected as error:
                raise _at(f"item {number}", "", error) from error
            if one is not None:
                out.append(one)
        return out

    return made


def _at(target: str, reason: str, error: Rejected) -> Rejected:
    """The same refusal, with the target field in front and as its place."""
    place = f"{target}.{error.place}" if error.code.startswith("MAP") and error.place else target
    return Rejected(
        error.code,
        f"`{target}`: {error.message}",
        hint=error.hint,
        reason=reason or error.reason,
        place=place,
        findings=error.findings,
    )
