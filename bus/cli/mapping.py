"""`bus mapping`: list mappings, show what one does, run one on a file, turn one round."""

from __future__ import annotations

import json
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bus.cli.output import (
    Exit,
    clean,
    config_option,
    json_option,
    leave,
    note,
    paths_from,
    print_error,
    print_json,
    print_json_line,
    print_table,
    seen_from_here,
)
from bus.errors import ConfigError, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bus.config import Landscape

_MOST_BYTES = 64_000_000
"""Largest file that is run at once; what a route does with larger ones is `bus test`'s affair."""


@click.group()
def command() -> None:
    """List mappings, show what one does, run one on a file, turn one round."""


# ---------------------------------------------------------------- looking


@command.command("list")
@json_option
@config_option
def list_(*, config: Path, as_json: bool) -> None:
    """All mappings, with the routes that use them."""
    landscape = _landscape(config)
    rows = [_row(landscape, name) for name in sorted(landscape.mappings)]
    if as_json:
        print_json(rows)
        return
    heads = ("mapping", "from", "to", "fields", "routes", "file")
    print_table(
        heads, [[r["mapping"], r["from"], r["to"], r["fields"], ", ".join(r["routes"]), r["path"]] for r in rows]
    )


@command.command()
@click.argument("name", metavar="MAPPING")
@json_option
@config_option
def show(*, name: str, config: Path, as_json: bool) -> None:
    """Show every field that a mapping makes, and from what. Inherited and included ones are there too."""
    landscape = _landscape(config)
    row = _row(landscape, _known(landscape, name))
    found = _assignments(landscape, name)
    if as_json:
        fields = [
            {"target": one.target, "how": one.how, "when": one.when, "reads": one.reads, "mapping": one.mapping}
            for one in found
        ]
        print_json(row | {"functions": _whole(landscape, name).functions, "fields": fields})
        return
    click.echo(f"{click.style(name, bold=True)}  {clean(row['summary'])}".rstrip())
    click.echo(f"  {row['from'] or 'any source'} → {row['to'] or 'any target'} · {row['path']}")
    for head, text in _whole(landscape, name).functions.items():
        click.echo(f"  {head} = {text}")
    rows = [
        [one.target, f"{one.how} {one.when}".strip(), ", ".join(one.reads), one.mapping if one.mapping != name else ""]
        for one in found
    ]
    print_table(("field", "from", "reads", "written in"), rows, always=3)


def _row(landscape: Landscape, name: str) -> dict[str, Any]:
    from bus.config.fields import specs  # noqa: PLC0415 - loads pydantic

    loaded = landscape.mappings[name]
    whole = _whole(landscape, name)
    routes = [
        route
        for route, other in landscape.routes.items()
        if any(getattr(spec, "mapping", "") == name for _, spec in specs(other.spec))
    ]
    return {
        "mapping": name,
        "summary": whole.summary,
        "from": whole.from_,
        "to": whole.to,
        "extends": loaded.spec.extends,
        "reverse": whole.reverse,
        "fields": len(_assignments(landscape, name)),
        "routes": routes,
        "path": seen_from_here(landscape.folder / loaded.path),
    }


def _whole(landscape: Landscape, name: str) -> Any:
    from bus.registry import mapping_support  # noqa: PLC0415 - loads pydantic

    mappings = {known: loaded.spec for known, loaded in landscape.mappings.items()}
    return mapping_support().resolved(mappings[name], mappings)


def _assignments(landscape: Landscape, name: str) -> list[Any]:
    from bus.config.lineage import assignments  # noqa: PLC0415 - loads pydantic

    return assignments(name, {known: loaded.spec for known, loaded in landscape.mappings.items()})


def _landscape(folder: Path) -> Landscape:
    """The landscape, with all that its mappings are made of; what is wrong elsewhere does not matter here."""
    from bus.config import load_landscape  # noqa: PLC0415 - loads pydantic

    landscape = load_landscape(folder)
    with paths_from(folder):
        for problem in landscape.problems:
            if problem.severity == "error" and problem.path.endswith((".mapping.yaml", ".table.yaml")):
                raise problem.as_error()
    return landscape


def _known(landscape: Landscape, name: str) -> str:
    from bus.config.problems import listed, nearest  # noqa: PLC0415 - loads pydantic

    if name in landscape.mappings:
        return name
    near = nearest(name, list(landscape.mappings))
    hint = f"did you mean `{near}`?" if near else f"known: {listed(sorted(landscape.mappings)) or 'none'}"
    raise ConfigError("CFG194", f"there is no mapping `{clean(name[:63])}`", hint=hint)


# ---------------------------------------------------------------- the way back


@command.command()
@click.argument("name", metavar="MAPPING")
@json_option
@config_option
def reverse(*, name: str, config: Path, as_json: bool) -> None:
    """Print the mapping from target back to source.

    The mapping goes to stdout as YAML, ready to be kept; what it cannot carry back goes to stderr. Exit 1
    when something is lost that the mapping does not declare with `one_way`.
    """
    from bus.registry import mapping_support  # noqa: PLC0415 - loads pydantic

    landscape = _landscape(config)
    mappings = {known: loaded.spec for known, loaded in landscape.mappings.items()}
    spec = mappings[_known(landscape, name)]
    back, lost = mapping_support().reversed_mapping(spec, tables=_tables(landscape), mappings=mappings)
    data = None if back is None else back.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if as_json:
        print_json({"mapping": data, "lost": [one._asdict() for one in lost]})
    else:
        if data is not None:
            click.echo(_yaml(data), nl=False)
        for one in lost:
            sign = "note" if one.accepted else "lost"
            note(f"{sign}: {clean(one.target)}: {clean(one.why)}")
    if back is None or not all(one.accepted for one in lost):
        leave(Exit.FINDINGS)


def _yaml(data: dict[str, Any]) -> str:
    import yaml  # noqa: PLC0415 - only here

    fields = {target: _short(field) for target, field in data["fields"].items()}
    text: str = yaml.safe_dump({**data, "fields": fields}, sort_keys=False, allow_unicode=True, width=120)
    return text


def _short(field: dict[str, Any]) -> Any:
    """A field as people write it."""
    made = {key: item[0] if key == "key" and len(item) == 1 else item for key, item in field.items()}
    if "fields" in made:
        made["fields"] = {target: _short(inner) for target, inner in made["fields"].items()}
    return made["value"] if set(made) == {"value"} else made


def _tables(landscape: Landscape) -> dict[str, Any]:
    from bus.registry import mapping_support  # noqa: PLC0415 - loads pydantic

    build = mapping_support().ValueTable.of
    return {name: build(loaded.spec) for name, loaded in landscape.tables.items()}


# ---------------------------------------------------------------- running


@command.command()
@click.argument("name", metavar="MAPPING")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--diff",
    "expected",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="EXPECTED",
    help="A JSON or JSON Lines file with the result that should come out; prints the fields that differ.",
)
@click.option("--format", "form", metavar="FORMAT", help="Format of FILE; default: found by looking into it.")
@click.option("--reverse", "backwards", is_flag=True, help="Use the mapping from its target back to its source.")
@json_option
@config_option
def run(*, name: str, file: Path, expected: Path | None, config: Path, as_json: bool, **how: Any) -> None:
    """Run a mapping on the records of a file. Prints what comes out, one JSON object a line.

    FILE is JSON, JSON Lines, CSV or any format that `bus inspect` knows; where a route reads it for this mapping, it is
    read as there. Exit 1 when a record is refused or differs from what --diff expects.
    """
    landscape = _landscape(config)
    convert = _compiled(landscape, _known(landscape, name), backwards=how["backwards"])
    results: list[Any] = []
    refused: list[dict[str, str]] = []
    for place, body in _records(landscape, name, file, how["form"]):
        try:
            if isinstance(body, Rejected):
                raise body
            results.append(convert(body))
        except Rejected as error:
            refused.append({"place": place, "code": error.code, "message": error.message, "hint": error.hint})
            if not as_json:
                print_error(Rejected(error.code, f"{place}: {error.message}", hint=error.hint))
    differences = None if expected is None else _differences(results, _json_records(expected, _text(expected)))
    if as_json:
        print_json({"results": results, "refused": refused, "differences": differences})
    elif differences is None:
        for result in results:
            print_json_line(result)
    elif differences:
        print_table(("record", "field", "expected", "got"), [list(row.values()) for row in differences])
    else:
        click.echo(f"{len(results)} records are as expected.")
    if refused or differences:
        leave(Exit.FINDINGS)


def _compiled(landscape: Landscape, name: str, *, backwards: bool) -> Callable[[Any], Any]:
    from bus.expressions import compile_expression  # noqa: PLC0415 - loads the parser
    from bus.registry import mapping_support  # noqa: PLC0415 - loads pydantic

    tables = _tables(landscape)
    made: Callable[[Any], Any] = mapping_support().compile_named(
        name,
        mappings={known: loaded.spec for known, loaded in landscape.mappings.items()},
        expression=partial(compile_expression, tables=tables),
        tables=tables,
        reverse=backwards,
    )
    return made


def _records(landscape: Landscape, name: str, file: Path, form: str | None) -> Iterator[tuple[str, Any]]:
    """(place, body or refusal) of every record of a file."""
    from bus.cli.inspect import detected, with_options  # noqa: PLC0415 - loads every format
    from bus.config.sources import Sources  # noqa: PLC0415

    with ExitStack() as stack:
        source = stack.enter_context(file.open("rb"))
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError("CFG195", f"{file} is larger than 64 MB", hint="run the mapping on a part of it")
        spec = _named(form) if form else detected(source, file.name)
        if spec is None:
            raise Rejected("VAL590", "no format knows this file", hint="name it with --format", place=file.name)
        if spec.key == "json":
            bodies = _json_records(file, _text(file))
            yield from ((f"record {number}", body) for number, body in enumerate(bodies, 1))
            return
        reader, each = Sources.of(landscape).reader(name, spec.key)
        if reader is None:
            reader, each = with_options(spec, spec.guessed(source)), spec.each_default
            source.seek(0)
        for number, part in enumerate(reader.build().read(source).parts(each), 1):
            yield part.place or f"record {number}", part.body if part.error is None else part.error


def _named(form: str) -> Any:
    from bus.registry import Registry  # noqa: PLC0415 - loads every format

    registry = Registry()
    for key in registry.keys("format"):
        spec: Any = registry.spec("format", key)
        if spec.from_name(form) is not None:
            return spec
    known = ", ".join(registry.keys("format"))
    raise ConfigError("CFG195", f"there is no format `{clean(form[:40])}`", hint=f"known: {known}")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeError):
        raise ConfigError("CFG195", f"{file} cannot be read as UTF-8", hint="give JSON or JSON Lines") from None


def _json_records(file: Path, text: str) -> list[Any]:
    """The items of a JSON list, one JSON document, or the lines of JSON Lines."""

    def loaded(part: str) -> Any:
        return json.loads(part, parse_float=Decimal)

    try:
        found = loaded(text)
    except (ValueError, RecursionError):
        try:
            return [loaded(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise ConfigError("CFG195", f"{file} is neither JSON nor JSON Lines", hint="see: bus inspect") from None
    return found if isinstance(found, list) else [found]


# ---------------------------------------------------------------- comparing


def _differences(results: list[Any], wanted: list[Any]) -> list[dict[str, Any]]:
    """Every field in which results differ from what was expected."""
    found: list[dict[str, Any]] = []
    for number in range(max(len(results), len(wanted))):
        one = results[number] if number < len(results) else _NOTHING
        other = wanted[number] if number < len(wanted) else _NOTHING
        for field, expected, got in compared(one, other):
            found.append({"record": number + 1, "field": field, "expected": expected, "got": got})
    return found


_NOTHING = object()


def compared(got: Any, expected: Any, field: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, expected, got) wherever two results differ; an amount equals the text that it is printed as."""
    if isinstance(got, dict) and isinstance(expected, dict):
        for name in dict.fromkeys([*expected, *got]):
            below = f"{field}.{name}" if field else str(name)
            yield from compared(got.get(name, _NOTHING), expected.get(name, _NOTHING), below)
    elif isinstance(got, list) and isinstance(expected, list):
        for number in range(max(len(got), len(expected))):
            one = got[number] if number < len(got) else _NOTHING
            other = expected[number] if number < len(expected) else _NOTHING
            yield from compared(one, other, f"{field}[{number}]")
    elif not _alike(got, expected):
        yield field or "all of it", _shown(expected), _shown(got)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if (
        isinstance(one, str) != isinstance(other, str)
        and isinstance(one, str | Decimal)
        and isinstance(other, str | Decimal)
    ):
        return _shown(one) == _shown(other)
    return bool(one == other)


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
