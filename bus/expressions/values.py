"""What values mean in an expression: their type names, truth, equality and order, and the budget of an evaluation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from operator import ge, gt, le, lt
from typing import Any

from bus.errors import Rejected

NUMBERS = frozenset({int, Decimal})
Run = Callable[[Any], Any]
"""A compiled part: what it gives for a value."""


class T:
    """Types that a value can have; plain bits, because comparisons combine them on the way of every message."""

    TEXT = 1
    NUMBER = 2
    BOOLEAN = 4
    LIST = 8
    OBJECT = 16
    NULL = 32
    REFERENCE = 64
    ANY = 63
    SCALAR = 39
    """Everything but a list, an object and a reference."""


NAMES = {
    T.TEXT: "text",
    T.NUMBER: "number",
    T.BOOLEAN: "boolean",
    T.LIST: "list",
    T.OBJECT: "object",
    T.NULL: "null",
    T.REFERENCE: "reference (&…)",
}
_PYTHON: dict[type, int] = {
    str: T.TEXT,
    int: T.NUMBER,
    Decimal: T.NUMBER,
    bool: T.BOOLEAN,
    list: T.LIST,
    dict: T.OBJECT,
    type(None): T.NULL,
}


def python_types(wanted: int) -> frozenset[type]:
    """The Python types of values that ``wanted`` allows."""
    return frozenset(kind for kind, flag in _PYTHON.items() if flag & wanted)


def names(types: int) -> str:
    """``text or number``, for messages."""
    if types & T.ANY == T.ANY:
        return "any value"
    return " or ".join(name for flag, name in NAMES.items() if flag & types)


def type_of(value: Any) -> int | None:
    """The type of a value, None for what is no plain data (binary floats among it)."""
    found = _PYTHON.get(type(value))
    if found is None:
        # Subclasses of dict or str, as some parsers make them, count as what they derive from.
        return next((flag for kind, flag in _PYTHON.items() if isinstance(value, kind)), None)
    return found


def name_of(value: Any) -> str:
    """``a text``, ``an object``, ``null``: the type in words for messages; the value itself never stands in one."""
    found = type_of(value)
    if found == T.NULL:
        return "null"
    word = NAMES[found] if found else "binary float" if isinstance(value, float) else type(value).__name__
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def is_true(value: Any) -> bool:
    """JMESPath truth: all but null, false, '', [] and {}; the number 0 is true."""
    return bool(value) or type(value) in NUMBERS


# ---------------------------------------------------------------- comparing


def mixed(left: Any, right: Any) -> Rejected:
    """The refusal of a comparison of ``left`` with ``right``."""
    kinds = {type_of(left), type_of(right)}
    if kinds == {T.TEXT, T.NUMBER}:
        return Rejected(
            "VAL220", "an expression compares a text with a number", hint="use to_number(), or quote the literal"
        )
    return Rejected(
        "VAL224", f"an expression compares {name_of(left)} with {name_of(right)}", hint="parse numbers as decimals"
    )


def equal(left: Any, right: Any) -> bool:
    """JMESPath equality; 1 equals 1.0, true does not equal 1.

    Raises:
        Rejected: ``VAL220`` text with number, ``VAL224`` with a binary float or something that is no plain data.
    """
    kind, other = type_of(left), type_of(right)
    if kind is None or other is None or kind | other == T.TEXT | T.NUMBER:
        raise mixed(left, right)
    return same(left, right)


def same(left: Any, right: Any) -> bool:
    """JSON equality of any two values, without the refusals of :func:`equal`."""
    kind = type_of(left)
    if kind is None or kind != type_of(right):
        return False
    if kind in (T.LIST, T.OBJECT):
        try:
            return _same_container(left, right)
        except RecursionError:
            raise too_much("nests too deep to be compared") from None
    return bool(left == right)


def _same_container(left: Any, right: Any) -> bool:
    if left is right:
        return True
    if len(left) != len(right):
        return False
    spend(3 * len(left) + 3)
    if isinstance(left, dict):
        return all(key in right and same(value, right[key]) for key, value in left.items())
    return all(map(same, left, right))


ORDER: dict[str, Callable[[Any, Any], Any]] = {"lt": lt, "lte": le, "gt": gt, "gte": ge}


def ordered(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool | None:
    """Two numbers or two texts in order; null for anything else, as JMESPath says.

    Raises:
        Rejected: ``VAL220`` text with number, ``VAL224`` with a binary float or NaN.
    """
    kind, other = type_of(left), type_of(right)
    if kind == other and kind in (T.NUMBER, T.TEXT):
        try:
            return bool(compare(left, right))
        except InvalidOperation:
            raise Rejected("VAL224", "an expression compares with something that is not a number (NaN)") from None
    if kind is None or other is None or kind | other == T.TEXT | T.NUMBER:
        raise mixed(left, right)
    return None


# ---------------------------------------------------------------- budget

MOST_STEPS = 500_000
"""Parts of the expression evaluated and list items produced, together, in one evaluation."""
MOST_TEXT = 1_000_000
"""Characters of text put together in one evaluation."""
MOST_OUTPUT = 1_000_000
"""Size of a result, in about the bytes it has as JSON; a result may also have four times the size of its source."""
MOST_DEPTH = 200
"""Levels of lists and objects in a result."""


class _Budget(threading.local):
    """What the evaluation that runs in this thread may still spend; off for expressions that cannot multiply work."""

    on = False
    steps = 0
    text = 0


_budget = _Budget()


def too_much(what: str) -> Rejected:
    """The refusal of an evaluation that costs too much."""
    return Rejected("VAL222", f"an expression {what}", hint="take a smaller part first, or split the message")


def spend(steps: int) -> None:
    """Count work of ``steps`` against the budget; raises Rejected ``VAL222`` when it is used up."""
    budget = _budget
    if budget.on:
        budget.steps -= steps
        if budget.steps < 0:
            raise too_much(f"takes more than {MOST_STEPS} steps")


def spend_text(characters: int) -> None:
    """Count text put together; one text beyond the bound is refused even where no budget runs."""
    budget = _budget
    if budget.on:
        budget.text -= characters
        if budget.text < 0:
            raise too_much(f"puts more than {MOST_TEXT} characters together")
    elif characters > MOST_TEXT:
        raise too_much(f"puts more than {MOST_TEXT} characters together")


def bounded(run: Run) -> Run:
    """``run`` under a fresh budget."""

    def guarded(value: Any) -> Any:
        budget = _budget
        before = budget.on, budget.steps, budget.text
        budget.on, budget.steps, budget.text = True, MOST_STEPS, MOST_TEXT
        try:
            return run(value)
        finally:
            budget.on, budget.steps, budget.text = before

    return guarded


def measured(run: Run) -> Run:
    """``run``, whose result may hold one value many times: as a tree it must not be too big to be written down."""

    def checked(value: Any) -> Any:
        result = run(value)
        kind = type(result)
        if kind is not dict and kind is not list:
            return result
        total = 0
        for item in result.values() if kind is dict else result:
            inner = type(item)
            if inner is str:
                total += len(item)
            elif inner is dict or inner is list:
                _refuse_huge(result, value)
                return result
        if total > MOST_OUTPUT:
            _refuse_huge(result, value)
        return result

    return checked


def _refuse_huge(result: Any, source: Any) -> None:
    if size(result, MOST_OUTPUT) > MOST_OUTPUT:
        most = max(MOST_OUTPUT, 4 * size(source, None))
        if size(result, most) > most:
            raise too_much(f"makes a result of more than {MOST_OUTPUT} bytes")


def size(value: Any, most: int | None) -> int:
    """About the bytes of ``value`` as JSON; stops counting beyond ``most``.

    Raises:
        Rejected: ``VAL222`` when it nests deeper than ``MOST_DEPTH``.
    """
    total = 0
    level: Collection[Any] = (value,)
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                total += len(item) + 2
            elif kind is dict:
                total += 2 + sum(map(len, item)) + 4 * len(item)
                below.extend(item.values())
            elif kind is list:
                total += 2 + len(item)
                below.extend(item)
            else:
                total += 4
            if most is not None and total > most:
                return total
        if not below:
            return total
        level = below
    raise too_much(f"makes a result that nests deeper than {MOST_DEPTH} levels")
