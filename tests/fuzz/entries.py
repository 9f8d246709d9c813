"""Everything that reads what comes from outside, each as a function of bytes that may raise nothing but BusErrors.

Formats come from the registry: a new one is fuzzed without a line here, unless it cannot be read without options.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin

from pydantic import ValidationError

from bus.codes import codes
from bus.config.landscape import assemble
from bus.config.yamltext import decode as decode_text
from bus.errors import BusError, ConfigError, Finding
from bus.expressions import compile_expression, explain
from bus.message import decode, encode, salvage
from bus.ports import FileConverter
from bus.registry import Registry
from bus.spec import FormatSpec
from tests.fuzz import seeds
from tests.fuzz.mutation import Corpus, mutated
from transforms.cobol.copybook import CopybookError
from transforms.cobol.copybook import parse as parse_copybook
from transforms.mapping import compile_mapping
from transforms.template.sandbox import problems as template_problems

REQUIRED: dict[str, tuple[dict[str, Any], ...]] = {
    "fixed-width": (
        {"records": {"row": {"fields": [
            {"name": "id", "width": "6"}, {"name": "amount", "width": "10", "type": "amount", "decimals": "2"},
            {"name": "currency", "width": "3"}, {"name": "day", "width": "6", "type": "date", "format": "YYMMDD"},
        ]}}},
        {"records": {
            "head": {"role": "header", "starts": "01", "fields": [
                {"width": "2", "value": "01"}, {"name": "run", "width": "8"},
            ]},
            "row": {"starts": "10", "fields": [
                {"width": "2", "value": "10"}, {"name": "n", "width": "8", "type": "number"},
                {"name": "amount", "width": "9", "type": "amount", "decimals": "2", "optional": "true"},
            ]},
        }, "encoding": "cp037"},
    ),
    "cobol": (
        {"copybook": "01 R.\n 05 ID PIC X(4).\n 05 AMT PIC S9(7)V99 COMP-3.\n 05 FEE PIC S9(3)V99.\n"
                     " 05 N PIC 9(2).\n 05 T OCCURS 0 TO 5 TIMES DEPENDING ON N.\n  10 Q PIC 9(3).\n"},
        {"copybook": "01 R.\n 05 A PIC X(2).\n 05 B PIC S9(9) COMP.\n 05 C REDEFINES B PIC X(4).\n",
         "encoding": "ascii"},
    ),
}  # fmt: skip
"""Options of formats that cannot be read without."""
EXTRA: dict[str, tuple[dict[str, Any], ...]] = {
    "csv": (
        {"delimiter": ";", "columns": ["id", "amount", "currency"], "types": {"amount": "amount"}, "decimal": ","},
        {"delimiter": "\t", "encoding": "latin-1", "header": False, "columns": ["id", "amount"]},
    ),
    "xlsx": ({"header_row": 2}, {"range": "A1:C9"}),
    "json": ({"decimals": "number"},),
    "iso20022": ({"message": "pain.001.001.03", "from": "pain.001", "on_loss": "report"},),
}
"""Options that are worth trying beside those with a closed list of values."""
RECORDS = ("statements", "entries", "payments", "documents", "statuses", "items", "Ntry")
BODY = {
    "id": "P-1", "amount": {"value": Decimal("100.10"), "currency": "EUR"},
    "list": [1, "2", None, True, Decimal("1.5")],
    "creditor": {"name": "Müller", "account": {"iban": "DE89370400440532013000"}}, "date": "2026-11-24", "": "",
}  # fmt: skip


class Broken(AssertionError):  # noqa: N818 - what it says of the reader
    """A reader gave something that the rest of the bus cannot work with."""


class Entry(NamedTuple):
    """One way in."""

    run: Callable[[bytes], None]
    corpus: Corpus
    make: Callable[[Corpus, Random], bytes] = mutated


@cache
def _registry() -> Registry:
    return Registry()


@cache
def entries() -> dict[str, Entry]:
    """All of them by name."""
    registry = _registry()
    found = {key: _of_format(cast("type[FormatSpec]", registry.spec("format", key))) for key in registry.keys("format")}
    texts = seeds.literals()
    found["expression"] = _entry(_expression, _named(texts, "expression"))
    found["template"] = _entry(_template, _named(texts, "template"))
    found["copybook"] = _entry(_copybook, _named(texts, "cobol"))
    found["envelope"] = _entry(_envelope, (encode_samples()))
    for kind in ("route", "mapping", "table", "profile", "connections", "bus"):
        files = tuple(data for name, data in seeds.of_landscape().items() if f"{kind}.yaml" in name) or tuple(
            data for name, data in seeds.of_landscape().items() if name.endswith(".yaml")
        )
        found[f"config-{kind}"] = _entry(partial(_config, kind), files)
    return found


def _entry(run: Callable[[bytes], None], good: tuple[bytes, ...]) -> Entry:
    return Entry(run, Corpus(good, seeds.words_of(good)))


def _named(texts: dict[str, tuple[bytes, ...]], part: str) -> tuple[bytes, ...]:
    return tuple(text for name, found in texts.items() if part in name for text in found)


# ---------------------------------------------------------------- formats


def _of_format(spec: type[FormatSpec]) -> Entry:
    good = seeds.of_format(spec)
    entry = _entry(partial(_read, spec, _variants(spec)), good)
    if spec.key == "xlsx":
        return entry._replace(make=_mutated_archive)
    return entry


def _mutated_archive(corpus: Corpus, chance: Random) -> bytes:
    """Mostly one part of a workbook is changed and packed again: a broken ZIP is refused at the door."""
    data = chance.choice(corpus.seeds)
    if chance.random() < 0.2 or not data.startswith(b"PK"):
        return mutated(corpus, chance)
    parts = seeds.unpacked(data)
    name = chance.choice(sorted(parts))
    parts[name] = mutated(Corpus((parts[name],), seeds.words_of(tuple(parts.values()))), chance)
    return seeds.packed(parts)


def _variants(spec: type[FormatSpec]) -> tuple[FormatSpec, ...]:
    """The format with every option that has a closed list of values set to each of them."""
    found: list[FormatSpec] = []
    for base in REQUIRED.get(spec.key, ({},)):
        choices = [
            {info.alias or name: value}
            for name, info in spec.model_fields.items()
            for value in (
                get_args(info.annotation) if get_origin(info.annotation) is Literal
                else (True, False) if info.annotation is bool else ()
            )
            if value != info.default
        ]  # fmt: skip
        for more in ({}, *choices, *EXTRA.get(spec.key, ())):
            with suppress(ValidationError):  # two options that exclude each other
                found.append(spec.model_validate({**base, **more}))
    return tuple(found)


def _read(spec: type[FormatSpec], variants: tuple[FormatSpec, ...], data: bytes) -> None:
    sure = spec.detect(data[:4096], "x")
    if not 0 <= sure <= 1:
        raise Broken(f"detect says {sure}")
    _check_inspection(spec, data)
    guessed = spec.guessed(io.BytesIO(data))
    with suppress(ValidationError):  # a format that needs options beyond what a file shows
        _parts(spec.model_validate(guessed), spec.each_default, data)
    for variant in variants:
        _parts(variant, spec.each_default, data)
    if variants:
        for each in RECORDS:
            _parts(variants[0], each, data)
        _whole(variants[0], data)


def _check_inspection(spec: type[FormatSpec], data: bytes) -> None:
    found = spec.inspect(io.BytesIO(data))
    for finding in found.findings:
        _check_finding(finding)
    for document in found.documents:
        for total in document.totals:
            for value in (total.amount, total.credit, total.debit):
                if value is not None and not (isinstance(value, Decimal) and value.is_finite()):
                    raise Broken(f"a sum is {value!r}")
        for balance in (document.opening, document.closing):
            _check_plain(balance)


def _parts(spec: FormatSpec, each: str, data: bytes) -> None:
    try:
        form = spec.build()
        if isinstance(form, FileConverter):
            for finding in form.convert(io.BytesIO(data), io.BytesIO()):
                _check_finding(finding)
            return
        for part in form.read(io.BytesIO(data)).parts(each):
            if part.error is None:
                _check_plain(part.body)
            else:
                _check_error(part.error)
    except BusError as error:
        _check_error(error)


def _whole(spec: FormatSpec, data: bytes) -> None:
    try:
        _check_plain(spec.build().read(io.BytesIO(data)).whole())
    except BusError as error:
        _check_error(error)


def _check_error(error: BusError) -> None:
    if error.code not in codes():
        raise Broken(f"{error.code} is no known code")
    str(error).encode("utf-8", "replace")
    for finding in getattr(error, "findings", ()):
        _check_finding(finding)


def _check_finding(finding: Finding) -> None:
    if finding.code not in codes():
        raise Broken(f"{finding.code} is no known code")


def _check_plain(value: Any) -> None:
    """Only what a message body may hold: no float is ever money, no number is infinite."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise Broken("a key is no text")
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, Decimal):
            if not value.is_finite():
                raise Broken(f"a number is {value}")
        elif value is not None and not isinstance(value, str | int | date | bytes):
            raise Broken(f"a value is a {type(value).__name__}")


# ---------------------------------------------------------------- what operators write


def _config(kind: str, data: bytes) -> None:
    path = f"{kind}.yaml" if kind in ("connections", "bus") else f"x.{kind}.yaml"
    text, problem = decode_text(data, path)
    texts = {path: text} if problem is None else {}
    found = assemble(Path("/nowhere"), texts, [problem] if problem else [], _registry())
    for said in found.problems:
        if said.code not in codes():
            raise Broken(f"{said.code} is no known code")
    tables = {name: loaded.spec for name, loaded in found.tables.items()}
    for loaded in found.mappings.values():
        try:
            made = compile_mapping(loaded.spec, expression=compile_expression, tables=tables)
            _check_plain(made(BODY))
        except BusError as error:
            _check_error(error)


def _expression(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        made = compile_expression(text)
        repr(made.paths)
        made(BODY)
        explain(text, BODY)
    except BusError as error:
        _check_error(error)


def _template(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for wrong in template_problems("x.txt", {"x.txt": text, "y.txt": "{{ a }}"}):
        if wrong.code not in codes():
            raise Broken(f"{wrong.code} is no known code")


def _copybook(data: bytes) -> None:
    with suppress(CopybookError):  # the spec tells it as a problem of the configuration
        parse_copybook(data.decode("utf-8", "replace"))
    with suppress(ValidationError, ConfigError):
        spec = cast("type[FormatSpec]", _registry().spec("format", "cobol"))
        _parts(spec.model_validate({"copybook": data.decode("utf-8", "replace")}), "rows", b"\xf1\x0f" * 400)


# ---------------------------------------------------------------- stored messages


def encode_samples() -> tuple[bytes, ...]:
    """Stored forms of messages of every kind of body."""
    from bus.message import Blob, Headers, Message  # noqa: PLC0415

    heads = Headers("0" * 32, "1" * 32, name="x")
    bodies: tuple[Any, ...] = (BODY, b"bytes", Blob("0" * 64, 10), [1, "2"], None, "text")
    return tuple(encode(Message(heads, body, {"p": "1"})) for body in bodies)


def _envelope(data: bytes) -> None:
    salvage(data)
    try:
        encode(decode(data))
    except BusError as error:
        _check_error(error)
