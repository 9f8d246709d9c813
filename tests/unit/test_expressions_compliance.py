"""The language is JMESPath: its own compliance suite, and agreement with jmespath.py on random data and expressions."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import ConfigError, Rejected
from bus.expressions import compile_expression

SUITE = Path(__file__).parents[1] / "corpus" / "jmespath"
REFUSED = {
    # Both cases only ask a parser to take them; they nest 52 and 104 levels, and 50 is our bound.
    "sum([z, sum([y, ": "CFG126",
    "a[*].b[*].c[*].d": "CFG126",
}
WORDS = {
    "syntax": {"CFG121", "CFG122", "CFG129"},
    "invalid-arity": {"CFG123"},
    "invalid-type": {"CFG124", "VAL221"},
    "invalid-value": {"CFG121"},
    "unknown-function": {"CFG122"},
}


def cases() -> list[Any]:
    found = []
    for path in sorted(SUITE.glob("*.json")):
        for group in json.loads(path.read_text("utf-8"), parse_float=Decimal):
            for number, case in enumerate(group["cases"]):
                found.append(pytest.param(group["given"], case, id=f"{path.stem}-{number}-{case['expression'][:40]}"))
    return found


def alike(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0, and true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    return bool(left == right)


def test_the_suite_is_complete() -> None:
    assert len(cases()) == 908


@pytest.mark.parametrize(("data", "case"), cases())
def test_compliance(data: Any, case: dict[str, Any]) -> None:
    text = case["expression"]
    expected = REFUSED.get(text[:16])
    if expected:
        with pytest.raises(ConfigError) as refusal:
            compile_expression(text)
        assert refusal.value.code == expected
    elif "error" in case:
        with pytest.raises((ConfigError, Rejected)) as refused:
            compile_expression(text)(data)
        assert refused.value.code in WORDS[case["error"]] | {"CFG121"}
    elif "result" in case:
        assert alike(compile_expression(text)(data), case["result"])
    else:
        compile_expression(text)(data)


def test_every_listed_difference_is_still_one() -> None:
    texts = [case.values[1]["expression"] for case in cases()]
    for start in REFUSED:
        assert sum(text.startswith(start) for text in texts) == 1


# ---------------------------------------------------------------- random data, random expressions

NAMES = ["a", "b", "c"]
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "zz"])
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner), max_leaves=12
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(NAMES)).map(lambda p: f"({p[0]}).{p[1]}"),
        inner.map(lambda e: f"({e})[*]"),
        inner.map(lambda e: f"({e})[]"),
        inner.map(lambda e: f"({e}).*"),
        inner.map(lambda e: f"({e})[::-1]"),
        inner.map(lambda e: f"!({e})"),
        inner.map(lambda e: f"type({e})"),
        inner.map(lambda e: f"to_array({e}) | length(@)"),
        st.tuples(inner, st.integers(-2, 2)).map(lambda p: f"({p[0]})[{p[1]}]"),
        pairs.map(lambda p: f"({p[0]})[?{p[1]}]"),
        pairs.map(lambda p: f"({p[0]}) && ({p[1]})"),
        pairs.map(lambda p: f"({p[0]}) || ({p[1]})"),
        pairs.map(lambda p: f"({p[0]}) | ({p[1]})"),
        pairs.map(lambda p: f"({p[0]})[*].[{p[1]}]"),
        pairs.map(lambda p: f"{{x: {p[0]}, y: {p[1]}}}"),
        pairs.map(lambda p: f"not_null({p[0]}, {p[1]})"),
        st.tuples(inner, st.sampled_from(["==", "!=", "<", ">="]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
    )


EXPRESSIONS = st.recursive(st.sampled_from([*NAMES, "@", "`1`", "'a'", "`null`", "`true`"]), _grow, max_leaves=6)


def has_numbers_as_truth(value: Any) -> bool:
    """Whether 0 or 1 stands beside true or false: there jmespath.py compares lists as Python does, not as JSON."""
    text = json.dumps(value)
    return ("0" in text or "1" in text) and ("true" in text or "false" in text)


@settings(max_examples=400, deadline=None)
@given(DATA, EXPRESSIONS)
def test_agrees_with_jmespath_py(data: Any, text: str) -> None:
    refused = ""
    ours = None
    try:
        ours = compile_expression(text)(data)
    except (ConfigError, Rejected) as refusal:
        refused = refusal.code
    if refused:
        # Ours alone: a text compared with a number.
        assert refused in {"VAL220", "CFG124", "CFG128"}
    else:
        assert alike(ours, jmespath.search(text, data)) or has_numbers_as_truth([data, text])
