"""What the generated pages say: every plug-in and file from the specs, commands from the command line, codes."""
# ruff: noqa: INP001

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from textwrap import dedent
from typing import TYPE_CHECKING, Annotated, Any, get_args

import click
from pydantic import BaseModel, BeforeValidator

from bus.cli import VERBS
from bus.codes import codes
from bus.config.fields import annotation, fields, slot
from bus.config.reference import as_written, in_words
from bus.described import described
from bus.landscape import ConnectionsSpec, LandscapeSpec, RouteSpec
from bus.registry import Registry, mapping_support, profile_support
from bus.settings import Settings
from bus.spec import Kind, Size
from bus.testing.routes import RouteTests

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MADE = "<!-- Made by docs/build.py from the source; change the docstrings there, then run: python docs/build.py -->\n"
CLASSES = {
    "CFG": "configuration",
    "VAL": "content that breaks a rule",
    "MAP": "mappings and value tables",
    "TPL": "templates",
    "DUP": "duplicates",
    "NET": "partner or transport",
    "REJ": "refused by the partner",
    "SEQ": "out of order",
    "SLA": "late",
    "POL": "policy of the house",
    "SEC": "hostile or forbidden input, keys and certificates",
    "SYS": "this machine or process",
    "INT": "a bug of girobus, or a damaged store",
}
_HOMES: dict[str, str] = {
    "step": "patterns.md",
    "format": "formats.md",
    "endpoint": "endpoints.md",
    "connection": "endpoints.md#connections",
}
_SIZES = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000))
CATALOGUE = Registry()

# ---------------------------------------------------------------- text


def plain(text: str) -> str:
    """A docstring as Markdown."""
    text = inspect.cleandoc(text)
    text = re.sub(
        r"^(?:Example::|\.\. code-block:: yaml)\n\n((?:    .*\n|\n)+)",
        lambda found: "```yaml\n" + dedent(found[1]).strip() + "\n```\n\n",
        text + "\n",
        flags=re.MULTILINE,
    ).rstrip()
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`").replace("`` ` ``", "`")
    text = re.sub(r"`{2}yaml", "```yaml", re.sub(r"^``?$", "```", text, flags=re.MULTILINE))
    return re.sub(r"^Delivery: ", "**Delivery:** ", text, flags=re.MULTILINE)


def _cell(text: str) -> str:
    return " ".join(plain(text).split()).replace("|", "\\|")


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


# ---------------------------------------------------------------- fields


def _kind(info: FieldInfo) -> Any:
    """The type of a field without its limits, so that durations and sizes are known as such."""
    marks = [mark for mark in info.metadata if isinstance(mark, BeforeValidator)]
    return Annotated[(info.annotation, *marks)] if marks else annotation(info)


def _takes(info: FieldInfo) -> str:
    """The type of a field in words, plug-ins as links, with its limits."""
    words = in_words(_kind(info), CATALOGUE).replace("``", "nothing")
    words = re.sub(
        r"one (step|format|endpoint|connection): [a-z0-9_, -]+",
        lambda found: f"one [{found[1]}]({_HOMES[found[1]]})",
        words,
    )
    if _kind(info) != annotation(info):
        return words
    low = next((str(mark.ge) for mark in info.metadata if getattr(mark, "ge", None) is not None), "")
    high = next((str(mark.le) for mark in info.metadata if getattr(mark, "le", None) is not None), "")
    return words + (f", {low} to {high}" if low and high else f", at least {low}" if low else "")


def _written(kind: Any, value: Any) -> str:
    """A default as it would be written in a file, in code marks."""
    if kind == Size and isinstance(value, int):
        unit, size = next(((u, n) for u, n in _SIZES if value % n == 0), ("", 1))
        return f"`{value // size}{unit}`"
    text = as_written(kind, value)
    return f"`{text}`".replace("|", "\\|") if text else ""


def field_rows(model: type[BaseModel], given: BaseModel | None = None) -> list[tuple[str, ...]]:
    """One row a field: name, type, default, meaning; ``given`` has the defaults of a spec inside another."""
    rows: list[tuple[str, ...]] = []
    for name, info in fields(described(model)).items():
        inner = {i.alias or n: n for n, i in model.model_fields.items()}[name]
        if given is not None:
            default = _written(_kind(info), getattr(given, inner))
        elif info.is_required():
            default = "**required**"
        else:
            default = _written(_kind(info), info.get_default(call_default_factory=True))
        rows.append((f"`{name}`", _cell(_takes(info)), default, _cell(info.description or "")))
    return rows


def _inside(kind: Any) -> Iterator[type[BaseModel]]:
    """Specs that a field holds, but for plug-ins, which have an entry of their own."""
    if slot(kind) is not None:
        return
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from _inside(part)


def field_tables(
    model: type[BaseModel], place: str = "", seen: frozenset[type] = frozenset(), given: BaseModel | None = None
) -> str:
    """The table of a spec and of every spec inside it."""
    text = ""
    if fields(model):
        about = " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())
        text = (f"\n**Inside `{place}`.** {plain(about)}\n" if place else "") + "\n"
        text += table(("key", "takes", "default", "meaning"), field_rows(model, given))
    for name, info in fields(model).items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        for inner in dict.fromkeys(_inside(annotation(info))):
            if inner not in seen and inner is not model:
                inside = default if isinstance(default, inner) else None
                text += field_tables(inner, f"{place}.{name}" if place else name, seen | {model, inner}, inside)
    return text


def _entry(name: str, model: type[BaseModel], level: str = "##") -> str:
    return f"\n{level} {name}\n\n{plain(model.__doc__ or '')}\n{field_tables(model)}"


# ---------------------------------------------------------------- pages


def _plug_ins(title: str, intro: str, kind: Kind) -> str:
    keys = CATALOGUE.keys(kind)
    rows = [(f"[`{key}`](#{key})", _cell((CATALOGUE.spec(kind, key).__doc__ or "").split("\n")[0])) for key in keys]
    text = f"{MADE}# {title}\n\n{intro}\n\n" + table(("key", "what it does"), rows)
    return text + "".join(_entry(key, CATALOGUE.spec(kind, key)) for key in keys)


def patterns() -> str:
    """Every step."""
    intro = (
        "A step is one key under `steps:`. Most take a plain value for their main key: `filter: amount.value > 0` is\n"
        "short for `filter: {when: amount.value > 0}`. Every step may have a `name:`; give one to each step that\n"
        "ends a unit of work, because ids of messages are made from it and stay the same when steps move.\n"
        "Conditions are [expressions](../expressions.md)."
    )
    return _plug_ins("Steps", intro, "step")


def endpoints() -> str:
    """Every endpoint and connection."""
    intro = (
        "An endpoint is a source under `from:` or a way out in `bus.yaml`. Keys that only one side uses mean nothing\n"
        "to the other. A folder is relative to the folder of `bus.yaml` (`file`) or to the login folder (`sftp`)."
    )
    text = _plug_ins("Endpoints", intro, "endpoint")
    text += "\n## Connections\n\nHow to reach a partner, in `connections.yaml`.\n"
    return text + "".join(
        _entry(f"{key} connection", CATALOGUE.spec("connection", key), "###") for key in CATALOGUE.keys("connection")
    )


def formats() -> str:
    """Every data format."""
    intro = (
        "A format stands under `parse:` (bytes to records), `translate: {to: …}` (records to bytes), `format:` of an\n"
        "outlet and `as:` of a reject file. [Formats](../formats.md) shows what each makes of a file."
    )
    return _plug_ins("Formats", intro, "format")


def files() -> str:
    """Every configuration file."""
    support = mapping_support()
    entries = (
        ("bus.yaml", LandscapeSpec),
        ("connections.yaml", ConnectionsSpec),
        ("NAME.route.yaml", RouteSpec),
        ("NAME.mapping.yaml", support.MappingSpec),
        ("NAME.table.yaml", support.TableSpec),
        ("NAME.profile.yaml", profile_support().ProfileSpec),
        ("NAME.test.yaml", RouteTests),
    )
    intro = (
        "All files below the folder of `bus.yaml` with these names are read, in any depth but not in hidden folders.\n"
        "Values are text until a field gives them a type: `NO` stays `NO`, `0012345` stays `0012345`. Unknown keys\n"
        "are errors. `bus schema --out .bus/schema` writes JSON Schemas for editors."
    )
    return f"{MADE}# Files\n\n{intro}\n" + "".join(_entry(name, model) for name, model in entries)


def profiles() -> str:
    """The shipped profiles."""
    every = profile_support().Profiles()
    rows = []
    for name in profile_support().shipped_texts():
        days = [str(dated.valid_from) if dated.valid_from else "since ever" for dated in every.editions(name)]
        spec = every.spec(name)
        extends = f"`{spec.extends}`" if spec.extends else ""
        rows.append((f"`{name}`", _cell(spec.summary), extends, ", ".join(days)))
    return table(("profile", "what", "extends", "editions from"), rows)


def canonical() -> str:
    """The canonical shapes."""
    entries = import_module("transforms.canonical.models").MODEL_TYPES.items()
    intro = (
        "What every format reads into and writes from, so that routes do not depend on a bank's dialect. Days are ISO\n"
        "dates, amounts `{value, currency}` with an exact decimal. A field that is not known is left out or empty."
    )
    return f"{MADE}# Canonical shapes\n\n{intro}\n" + "".join(_entry(name, model) for name, model in entries)


def _help(command: click.Command) -> str:
    """The help text, its literal blocks as code."""
    text = inspect.cleandoc(command.help or "")
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b") or all(line.startswith("    ") for line in paragraph.splitlines()):
            parts.append("```console\n" + inspect.cleandoc(paragraph.removeprefix("\b\n")) + "\n```")
        else:
            parts.append(plain(paragraph))
    return "\n\n".join(parts)


def _command(name: str, command: click.Command, level: str) -> str:
    context = click.Context(command, info_name=name)
    text = f"\n{level} {name}\n\n{_help(command)}\n"
    if isinstance(command, click.Group):
        return text + "".join(_command(f"{name} {sub}", found, "###") for sub, found in command.commands.items())
    text += f"\n```text\n{name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    rows = []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None:
            rows.append((f"`{record[0]}`".replace("|", "\\|"), _cell(record[1])))
    return text + ("\n" + table(("option", "meaning"), rows) if rows else "")


def commands() -> str:
    """Every verb."""
    rows = [(f"[`bus {verb}`](#bus-{verb})", what) for verb, what in VERBS.items()]
    text = (
        f"{MADE}# Commands\n\nResults go to stdout, everything else to stderr. On a terminal lists are tables, in\n"
        "a pipe tab-separated lines; `--json` prints one document. Exit codes: see\n"
        "[operating](../operating.md#exit-codes).\n\n"
    )
    text += table(("command", "what it does"), rows)
    for verb in VERBS:
        text += _command(f"bus {verb}", import_module(f"bus.cli.{verb}").command, "##")
    return text


def errors() -> str:
    """Every code."""
    text = (
        f"{MADE}# Error codes\n\nEvery message of girobus has a code; `bus explain CODE` prints what stands here.\n"
        "The first three letters say what kind of thing went wrong:\n\n"
    )
    found = codes()
    kinds = [kind for kind in CLASSES if any(code.startswith(kind) for code in found)]
    text += table(("class", "about"), [(f"[{kind}](#{kind.lower()})", CLASSES[kind]) for kind in kinds])
    for kind in kinds:
        text += f"\n## {kind}\n"
        for code, row in found.items():
            if code.startswith(kind):
                text += f"\n### {code}\n\n**{row.title.rstrip('.')}.** {row.means}\n\n*What to do:* {row.do}\n"
    return text


# ---------------------------------------------------------------- tables inside hand-written pages


def metrics() -> str:
    """The table of metrics."""
    from bus.operating.metrics import METRICS  # noqa: PLC0415 - loads the ledger

    rows = [(f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.means) for m in METRICS.values()]
    return table(("metric", "kind", "labels", "meaning"), rows)


def settings() -> str:
    """Settings of the process."""
    rows = [(f"`GIROBUS_{name.strip('`').upper()}`", *rest) for name, *rest in field_rows(Settings)]
    return table(("variable", "takes", "default", "meaning"), rows)
