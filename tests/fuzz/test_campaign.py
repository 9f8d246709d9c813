"""The fuzzer finds what is planted, and in a minute it finds nothing in the bus."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import seeds
from tests.fuzz.campaign import Plan, Result, keep, report, run
from tests.fuzz.entries import Broken, Entry, _check_plain, entries
from tests.fuzz.mutation import Corpus, mutated
from tests.fuzz.worker import made, minimised, outcome

SECONDS = 60.0
GOOD = Corpus((b"one,1\ntwo,2\n",), (b"PLANTED",))


def raises(data: bytes) -> None:
    if b"PLANTED" in data:
        raise KeyError("planted")


def hangs(data: bytes) -> None:
    while b"PLANTED" in data:
        pass


def hoards(data: bytes) -> None:
    if b"PLANTED" in data:
        len(b"x" * (len(data) + (240 << 20)))


def asks_for_too_much(data: bytes) -> None:
    if b"PLANTED" in data:
        bytearray(1 << 40)


def dies(data: bytes) -> None:
    if b"PLANTED" in data:
        os._exit(3)


def holds(_data: bytes) -> None:
    """A reader without a fault."""


@pytest.mark.parametrize(
    ("fault", "signature"),
    [
        (raises, r"KeyError in tests/fuzz/test_campaign.py:raises"),
        (hangs, r"more than 0.1 s in .*:hangs"),
        (hoards, r"more than 256 MB"),
        (asks_for_too_much, r"MemoryError in .*:asks_for_too_much"),
        (dies, r"ends the process \(3\)"),
    ],
)
def test_a_planted_fault_is_found(fault: object, signature: str, tmp_path: Path) -> None:
    known = {"planted": Entry(fault, GOOD), "right": Entry(holds, GOOD)}  # type: ignore[arg-type]
    found = run(list(known), 1, Plan(7, most=0.1 if fault is hangs else 2), known)

    (failure,) = found.failures
    assert re.fullmatch(signature, failure.signature)
    assert b"PLANTED" in failure.data
    assert b"PLANTED" in made("planted", known["planted"], 7, failure.index), "the same input can be made again"
    assert found.inputs["right"] > 10
    assert keep(failure, tmp_path).read_bytes() == failure.data


def test_memory_that_the_parent_left_free_hides_nothing() -> None:
    del [bytearray(31 << 20)][:]  # from now on the C library takes blocks of this size from its heap
    blocks = [bytearray(16 << 20) for _ in range(25)]
    last = bytearray(12 << 20)  # keeps the heap from shrinking
    del blocks
    known = {"planted": Entry(hoards, GOOD)}
    (failure,) = run(["planted"], 1, Plan(7), known).failures
    assert failure.signature == "more than 256 MB"
    assert last


def test_a_failing_input_is_made_small() -> None:
    def fails(data: bytes) -> None:
        if b"a" in data and b"z" in data:
            raise ValueError("both")

    wrong = outcome(fails, b"0" * 999 + b"a" + b"1" * 999 + b"z")
    assert wrong is not None
    assert minimised(fails, b"0" * 999 + b"a" + b"1" * 999 + b"z", wrong[0]) == b"az"


def test_the_same_seed_gives_the_same_inputs() -> None:
    corpus = Corpus((b"one", b"two;2\n"), (b"word",))
    chances = [[Random(f"{seed}/{n}") for n in range(200)] for seed in (1, 1, 2)]  # noqa: S311 - inputs, no secrets
    inputs = [[mutated(corpus, chance) for chance in row] for row in chances]
    assert inputs[0] == inputs[1] != inputs[2]
    assert len(set(inputs[0])) > 100


@pytest.mark.parametrize("value", [1.5, {"a": [float("nan")]}, {1: "x"}, object()])
def test_what_is_no_plain_data_is_a_fault(value: object) -> None:
    with pytest.raises(Broken):
        _check_plain(value)


def test_every_format_has_seeds_that_it_can_read() -> None:
    """A fuzzer whose inputs are all refused at the door shows nothing."""
    for name, entry in entries().items():
        if name == "template":
            continue  # what is found wrong in a template is all that its entry gives
        assert len(entry.corpus.seeds) >= 1, name
        assert all(outcome(entry.run, seed) is None for seed in entry.corpus.seeds[:20]), name
    assert seeds.literals()["test_nacha"]


def day_seed() -> int:
    """``GIROBUS_FUZZ_SEED``, or today: other inputs every day, the same for everybody on that day."""
    return int(os.environ.get("GIROBUS_FUZZ_SEED", f"{datetime.now(UTC):%Y%m%d}"))


@pytest.mark.timeout(300)
def test_a_minute_of_fuzzing_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seed = day_seed()
    found = run(entries(), SECONDS, Plan(seed))
    lines: list[str] = []
    report(found, seed, Path("build/fuzz").resolve(), lines.append)
    with capsys.disabled():
        print("\n" + "\n".join(lines[:-1] if not found.failures else lines))  # noqa: T201
    assert not found.failures, "\n".join(lines)
    assert all(found.inputs.values())
    assert isinstance(found, Result)
