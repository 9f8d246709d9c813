"""Finds expressions that compare a field known to be text with a number: always false or refused, never meant."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from bus.config.flow import RouteFlow, is_reader
from bus.config.wording import shift_inside
from bus.errors import ConfigError
from bus.expressions.syntax import Node, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config.fields import Loc
    from bus.config.problems import Problem
    from bus.spec import StepSpec

_TEXTS = frozenset(
    (
        "bic",
        "iban",
        "country",
        "currency",
        "execution_date",
        "booking_date",
        "value_date",
        "created",
        "end_to_end_id",
        "instruction_id",
        "transaction_id",
        "original_message_id",
        "original_end_to_end_id",
        "bank_reference",
        "name",
        "service_level",
        "charge_bearer",
    )
)
"""Fields that are text wherever they stand in a canonical model (payment, status, statement, entry)."""
_UNTYPED = ("csv",)
"""Formats whose fields are all text until a mapping makes more of them."""
_NUMBER_COMPARED = re.compile(r"[<>=]\s*[-`]*\d|\d`?\s*[<>=!]")
"""What most expressions do not have; saves parsing them."""
_KEEPING = ("filter", "route", "recipients", "tap", "split")
"""Steps behind which a body is still what the format made of it."""


def mixed_comparisons(flow: RouteFlow) -> Iterator[Problem]:
    """A problem for each comparison of a text field with a number in a route."""
    untyped = set(_untyped(flow.spec.steps, reading=False))
    for loc, text, step in flow.expressions:
        for start, path in _mixed(text):
            if path[-1] in _TEXTS or (step is not None and id(step) in untyped):
                yield _told(flow, loc, start, path)


def _told(flow: RouteFlow, loc: Loc, start: int, path: tuple[str, ...]) -> Problem:
    place, _ = flow.loaded.root.find(loc)
    name = ".".join(path)
    message = f"`{name}` is text, here it is compared with a number"
    hint = f"write to_number({name}), or the text between quotes: '100'"
    shift = shift_inside(place, start)
    length = {} if shift is None else {"length": len(name)}
    return place.problem("CFG177", flow.loaded.path, message, hint=hint, shift=shift or 0, **length)


def _untyped(steps: tuple[StepSpec, ...], *, reading: bool) -> Iterator[int]:
    """Ids of the steps that see records of an untyped format as they were read."""
    for step in steps:
        if is_reader(step):
            reading = getattr(getattr(step, "format", None), "key", "") in _UNTYPED
            continue
        if not reading:
            continue
        yield id(step)
        for inner in step.flows().values():
            yield from _untyped(inner.steps, reading=True)
        if step.key not in _KEEPING:
            return


@lru_cache(maxsize=4096)
def _mixed(text: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """(offset, path) of every field that is compared with a number."""
    if not _NUMBER_COMPARED.search(text):
        return ()
    try:
        todo = [parse(text)]
    except ConfigError:
        return ()  # told already where the file was validated
    found = []
    while todo:
        node = todo.pop()
        todo += node.children
        if node.kind == "compare":
            left, right = node.children
            for one, other in ((left, right), (right, left)):
                path = _path(one)
                if path and other.kind == "literal" and _is_number(other.value):
                    found.append((one.start, path))
    return tuple(sorted(found))


def _path(node: Node) -> tuple[str, ...]:
    if node.kind == "field":
        return (str(node.value),)
    if node.kind == "seq" and all(child.kind == "field" for child in node.children):
        return tuple(str(child.value) for child in node.children)
    return ()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
