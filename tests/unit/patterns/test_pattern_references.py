"""What is said of the patterns is true: examples load, codes are explained, every step is documented."""

from __future__ import annotations

import re
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import bus.patterns
from bus import StepSpec
from bus.codes import codes
from bus.described import described
from bus.landscape import RouteSpec
from bus.registry import Registry

if TYPE_CHECKING:
    from bus.testing.steps import StepBench

REGISTRY = Registry()
KEYS = REGISTRY.keys("step")
FOLDER = Path(bus.patterns.__file__).parent
MINE = re.compile(r'"((?:CFG5|VAL5|POL1|DUP1|SEQ1)\d\d)"')


def text_of(key: str) -> str:
    return cleandoc(REGISTRY.spec("step", key).__doc__ or "")


def examples() -> list[Any]:
    found: list[Any] = []
    for key in KEYS:
        blocks = re.findall(r"```yaml\n(.*?)```", text_of(key), re.DOTALL)
        found.extend(pytest.param(key, block, id=f"{key}-{n}") for n, block in enumerate(blocks))
    return found


def test_all_patterns_are_found_by_their_keys() -> None:
    assert set(KEYS) >= {
        "advance", "aggregate", "case", "claim_check", "continuity", "correlate", "delay", "enrich", "filter", "hold",
        "idempotent", "keep", "parse", "payment_duplicates", "recipients", "register", "remove", "resequence", "route",
        "split", "tap", "translate", "validate",
    }  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_every_step_has_a_headline_an_example_and_its_delivery(key: str) -> None:
    text = text_of(key)

    assert re.match(r"[A-Z][^\n]*\.\n\n```yaml\n", text), "headline first, then an example"
    assert re.search(rf"^- {key}\b", text, re.MULTILINE), "the example shows the step itself"
    assert "\nDelivery: " in text


@pytest.mark.parametrize("key", KEYS)
def test_every_option_is_described(key: str) -> None:
    spec = REGISTRY.spec("step", key)

    undescribed = [name for name, field in described(spec).model_fields.items() if not field.description]
    assert undescribed == []


@pytest.mark.parametrize(("key", "example"), examples())
def test_examples_load_as_part_of_a_route(key: str, example: str) -> None:
    steps = yaml.load(example, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes nothing but strings
    written = {"route": "example", "from": {"channel": "in"}, "steps": steps, "to": "out"}

    route = RouteSpec.model_validate(written, context={"catalogue": REGISTRY})

    assert key in {step.key for step in route.steps}
    assert all(isinstance(step, StepSpec) for step in route.steps)


def test_every_code_of_the_patterns_is_explained_and_none_is_left_over() -> None:
    root = FOLDER.parent
    places = [*FOLDER.glob("*.py"), root / "spec.py", root / "message.py", root / "cli" / "inspect.py"]
    raised = {code for place in places for code in MINE.findall(place.read_text("utf-8"))}
    table = yaml.safe_load((root / "codes" / "patterns.yaml").read_text("utf-8"))

    assert raised == set(table)
    assert raised <= set(codes())


def test_patterns_know_nothing_but_the_author_api() -> None:
    for place in FOLDER.glob("*.py"):
        modules = re.findall(r"^\s*(?:from|import) (bus\S*)", place.read_text("utf-8"), re.MULTILINE)
        assert set(modules) <= {"bus"}, place.name


@pytest.mark.parametrize(
    ("key", "boundary"),
    [
        ("split", "split"), ("correlate", "split"), ("aggregate", "aggregate"), ("resequence", "aggregate"),
        ("hold", "hold"), ("delay", "hold"), ("payment_duplicates", "hold"), ("filter", ""), ("route", ""),
        ("translate", ""), ("register", ""), ("advance", ""),
    ],
)  # fmt: skip
def test_where_a_unit_of_work_ends(key: str, boundary: str) -> None:
    spec = REGISTRY.spec("step", key)

    assert issubclass(spec, StepSpec)
    assert spec.boundary == boundary


def test_the_bench_is_described_truly(bench: StepBench) -> None:
    bench.tables["banks"] = {"DE": "bank-north"}

    (message,) = bench.run(
        bench.build({"enrich": {"table": "banks", "key": "country", "into": "bank"}}), {"country": "DE"}
    )

    assert message.body["bank"] == "bank-north"  # type: ignore[union-attr]  # one message, as the docstring shows
