"""Makes closures of mappings: compiled once, then pure functions over plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from bus import ConfigError, Rejected
from transforms.mapping.checks import problems
from transforms.mapping.tables import ValueTable, indexed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transforms.mapping.specs import FieldSpec, MappingSpec

Compiled = Callable[[Any], Any]
_EMPTY: tuple[Any, ...] = ("", [], {})


def compile_mapping(
    spec: MappingSpec,
    *,
    expression: Callable[[str], Compiled],
    tables: Mapping[str, Any] | None = None,
    required: Iterable[str] | None = None,
) -> Compiled:
    """Make the function from source body to target body; pure, fast, safe to use from many threads.

    Args:
        spec: the mapping.
        expression: compiles the text of an expression.
        tables: value tables by name: :class:`TableSpec`, :class:`ValueTable` or mappings.
        required: as for :func:`problems`.

    Raises:
        ConfigError: the first error that :func:`problems` finds.
    """
    wrong = problems(spec, required=required, tables=tables or {})
    if wrong:
        hint = f"{len(wrong) - 1} more problems in this mapping" if len(wrong) > 1 else ""
        raise ConfigError(wrong[0].code, f"mapping `{spec.mapping}`: {str(wrong[0])[7:]}", hint=hint)
    known = {name: indexed(table) for name, table in {**(tables or {}), **spec.tables}.items()}
    return _Compiler(expression, known).record(spec.fields)


class _Compiler:
    """Turns field specs into closures."""

    def __init__(self, expression: Callable[[str], Compiled], tables: Mapping[str, Any]) -> None:
        self._tables = tables
        self._expression = expression

    def record(self, fields: Mapping[str, FieldSpec]) -> Compiled:
        """Source -> nested mapping of all fields that have a value."""
        tree: dict[str, Any] = {}
        for target, field in fields.items():
            *parents, key = target.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[key] = (self._field(field), target, field.reason)
        return _assembled(tree)

    def _field(self, field: FieldSpec) -> Compiled:
        get = self._source(field)
        if field.when:
            get = _only_when(self._compile(field.when), get)
        if field.default is not None:
            get = _with_default(get, field.default)
        if field.required:
            get = _demanded(get)
        return _without_empty(get) if field.omit_empty else get

    def _source(self, field: FieldSpec) -> Compiled:
        if field.lookup:
            return self._lookup(field)
        if field.list:
            return _list([self._compile(text) for text in field.list])
        if field.each:
            return _each(self._compile(field.each), self.record(field.fields))
        return self._compile(field.value)

    def _compile(self, text: str) -> Compiled:
        found = self._expression(text)
        run: Compiled = getattr(found, "run", found)
        return run

    def _lookup(self, field: FieldSpec) -> Compiled:
        table, has_default = self._tables[field.lookup], field.default is not None
        key = self._compile(field.key)
        on = self._compile(field.on) if field.on else None
        region = self._compile(field.region) if field.region else None
        plain = not isinstance(table, ValueTable) or (on is None and region is None)

        def get(source: Any) -> Any:
            wanted = key(source)
            if wanted is None or wanted == "":
                return None
            wanted = wanted if isinstance(wanted, str) else str(wanted)
            if plain:
                found = table.get(wanted)
            else:
                found = table.get(wanted, on(source) if on else None, (region(source) or "") if region else "")
            if found is None and not has_default:
                hint = "add the row, or give the field a `default`"
                raise Rejected("MAP113", f"the value table `{field.lookup}` has no row for this key", hint=hint)
            return found

        return get


def _assembled(tree: dict[str, Any]) -> Compiled:
    """One object of the target with all of its fields that have a value; an object within without any is left out."""
    plan = [(key, *leaf) if isinstance(leaf, tuple) else (key, _within(leaf), "", "") for key, leaf in tree.items()]

    def run(source: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        entry = plan[0]
        try:
            for entry in plan:
                value = entry[1](source)
                if value is None:
                    continue
                if type(value) is float:
                    _refuse_float()
                out[entry[0]] = value
        except Rejected as error:
            if not entry[2]:
                raise  # an object within has said where
            raise _at(entry[2], entry[3], error) from error
        return out

    return run


def _within(tree: dict[str, Any]) -> Compiled:
    inner = _assembled(tree)
    return lambda source: inner(source) or None


def _refuse_float() -> NoReturn:
    raise Rejected("MAP111", "the value is a binary float, which is not exact", hint="make it a decimal")


def _only_when(condition: Compiled, get: Compiled) -> Compiled:
    def conditional(source: Any) -> Any:
        met = condition(source)
        # JMESPath truth: the number 0 is true, all that is empty is not.
        if met is None or met is False or met in _EMPTY:
            return None
        return get(source)

    return conditional


def _with_default(get: Compiled, default: str) -> Compiled:
    def defaulted(source: Any) -> Any:
        value = get(source)
        return default if value is None or value == "" else value

    return defaulted


def _demanded(get: Compiled) -> Compiled:
    def demanded(source: Any) -> Any:
        value = get(source)
        if value is None or value in _EMPTY:
            raise Rejected("MAP110", "the source has no value for it", hint="it is required")
        return value

    return demanded


def _without_empty(get: Compiled) -> Compiled:
    def given(source: Any) -> Any:
        value = get(source)
        return None if value in _EMPTY else value

    return given


def _list(items: list[Compiled]) -> Compiled:
    def collected(source: Any) -> list[Any]:
        found = [get(source) for get in items]
        return [value for value in found if value is not None and value not in _EMPTY]

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
                out.append(record({"parent": source, **item} if isinstance(item, dict) else item))
            except Rejected as error:
                raise _at(f"item {number}", "", error) from error
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
