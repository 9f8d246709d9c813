"""A stored document that has changed is put aside whole with a case; everything beside it goes through."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from houses import House, landscape

LAND = {
    "bus.yaml": """\
name: damaged
outlets:
  out: {endpoint: {file: {path: out, name: "{id}"}}}
  back: {endpoint: {file: {path: back, name: "{id}"}}}
""",
    "lines.route.yaml": """\
route: lines
owner: desk
from: {file: {path: in, match: "*.jsonl", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - aggregate: {name: file, by: [], complete: {batch: true}}
  - translate: {name: lines, to: jsonl}
to: out
on_reject: {collect: batch, to: back, as: {json: {document: list}}}
""",
    "through.route.yaml": """\
route: through
owner: desk
from: {file: {path: in, match: "*.bin", ready: {suffix: .tmp}, poll: {every: 1s}}}
to: out
""",
}
BROKEN, SOUND = (b"".join(b'{"id":"%s%d"}\n' % (name, n) for n in range(2_000)) for name in (b"b", b"s"))


class Crash(BaseException):
    """The process ends here."""


class Bomb:
    """Ends the process the n-th time that an effect is reached."""

    def __init__(self, label: str, count: int = 1) -> None:
        self._left = [label] * count

    def __call__(self, label: str) -> None:
        if label in self._left:
            self._left.pop()
            if not self._left:
                raise Crash


def house(root: Path, effect: Bomb | None = None) -> House:
    """A house whose ledger is a file, so that another process can go on with it."""
    around = {"effect": effect} if effect else {}
    return House(root, landscape(root / "landscape", LAND), store=None, **around)


def flip(path: Path, position: int) -> None:
    """Change one bit of a file; again: it is as it was."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def stored(root: Path, content: bytes) -> Path:
    """Where a document is."""
    digest = hashlib.sha256(content).hexdigest()
    return root / "home" / "blobs" / digest[:2] / digest


def out(of: House) -> list[bytes]:
    return sorted(of.files("local/out").values())


def put_aside_and_retried(of: House, root: Path, position: int) -> None:
    """The broken one has left nothing and told nobody; when it is restored, it goes through too."""
    assert of.cases() == ["INT103"]
    assert out(of) == [SOUND]
    assert of.files("local/back") == {}
    assert of.count("queued") == of.count("member") == 0
    flip(stored(root, BROKEN), position)
    of.app.bus.control.retry(of.case("INT103"), "me", "restored")
    of.settle()
    assert out(of) == [BROKEN, SOUND]
    assert of.cases() == []


@pytest.mark.parametrize("position", [0, len(BROKEN) // 2, -1])
@pytest.mark.parametrize(("kind", "turned"), [("jsonl", ()), ("bin", ("through",))], ids=["split", "sent"])
def test_one_that_changed_while_it_waited_is_put_aside(
    tmp_path: Path, kind: str, turned: tuple[str, ...], position: int
) -> None:
    with house(tmp_path) as of:
        of.drop(f"local/in/broken.{kind}", BROKEN)
        of.drop(f"local/in/sound.{kind}", SOUND)
        of.app.bus.poll_once("lines" if kind == "jsonl" else "through")
        for segment in turned:
            of.app.bus.run_batch(segment)
        flip(stored(tmp_path, BROKEN), position)
        of.settle()
        put_aside_and_retried(of, tmp_path, position)


def test_one_that_changed_in_the_middle_of_its_split_leaves_none_of_the_parts_that_were_stored(tmp_path: Path) -> None:
    with house(tmp_path, Bomb("commit.stage-batch:after", 2)) as of:
        of.drop("local/in/broken.jsonl", BROKEN)
        with pytest.raises(Crash):
            of.settle()
    flip(stored(tmp_path, BROKEN), -1)
    with house(tmp_path) as of:
        assert of.count("queued") > 1
        of.drop("local/in/sound.jsonl", SOUND)
        of.settle()
        put_aside_and_retried(of, tmp_path, -1)


def test_a_stage_file_that_changed_after_its_owner_died_is_staged_again(tmp_path: Path) -> None:
    with house(tmp_path, Bomb("sink.rename:before")) as of:
        of.drop("local/in/broken.bin", BROKEN)
        with pytest.raises(Crash):
            of.settle()
    (staged,) = (of.partners / "local" / "out" / ".stage").iterdir()
    flip(staged, 7)
    with house(tmp_path) as of:
        of.settle()
        assert out(of) == [BROKEN]
        assert of.cases() == []
        assert list(staged.parent.iterdir()) == []
