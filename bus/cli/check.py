"""`bus check`: what is wrong in the configuration files, where, and what to write instead; connects to nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bus.cli import without_collector
from bus.cli.output import Exit, config_option, leave
from bus.cli.problems import Report, print_as_json, print_github, print_human, print_sarif
from bus.config import Edit, Landscape, Problem, load_landscape
from bus.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ROUNDS = 5
"""A repaired key can uncover the next mistake; when this many rounds do not end it, repairs undo each other."""
_PRINTERS: dict[str, Callable[[Report], None]] = {
    "human": print_human,
    "json": print_as_json,
    "github": print_github,
    "sarif": print_sarif,
}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Repair what has one likely repair; nothing else in the files changes.")
@click.option("--format", "shape", type=click.Choice(list(_PRINTERS)), default="human", help="How to print.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@config_option
def command(*, paths: tuple[Path, ...], config: Path, shape: str, fix: bool, as_json: bool) -> None:
    """Check routes, mappings and connections without connecting to anything.

    PATHS are files or folders: problems are told of those only, but they are checked together with the rest of their
    landscape (the folder with bus.yaml). Exit 0: no error, 1: errors, 2: no file matched.
    """
    with without_collector():
        report = _checked(paths, config, fix=fix)
    _PRINTERS["json" if as_json else shape](report)
    if report.count("error"):
        leave(Exit.FINDINGS)


def _checked(paths: tuple[Path, ...], config: Path, *, fix: bool) -> Report:
    begin = time.perf_counter()
    folder = _landscape_of(paths) if paths else config
    landscape = load_landscape(folder)
    mine = _selection(landscape, paths)
    fixed = 0
    for _round in range(_ROUNDS if fix else 0):
        done = repair(landscape, [problem for problem in landscape.problems if mine(problem.path)])
        if not done:
            break
        fixed += done
        landscape = load_landscape(folder)
    problems = [problem for problem in landscape.problems if mine(problem.path)]
    return Report(landscape, problems, time.perf_counter() - begin, fixed)


# ---------------------------------------------------------------- what to check


def _landscape_of(paths: tuple[Path, ...]) -> Path:
    """The folder with ``bus.yaml`` that the paths belong to: the nearest above the first of them."""
    for path in paths:
        if not path.exists():
            raise ConfigError("CFG190", f"there is no file or folder {path}", hint="name files of a landscape")
    first = paths[0].absolute()
    for folder in (first, *first.parents):
        if (folder / "bus.yaml").is_file():
            return folder
    hint = "name files of a landscape, or its folder with -C DIR"
    raise ConfigError("CFG160", f"there is no bus.yaml beside or above {paths[0]}", hint=hint)


def _selection(landscape: Landscape, paths: tuple[Path, ...]) -> Callable[[str], bool]:
    """Whether a file of the landscape was asked for.

    Raises:
        ConfigError: ``CFG190`` when no file was.
    """
    wanted = [path.absolute().resolve() for path in paths]
    root = landscape.folder.absolute().resolve()

    def mine(path: str) -> bool:
        return not wanted or any((root / path).is_relative_to(place) for place in wanted)

    known = {*landscape.files, *landscape.tests, *(problem.path for problem in landscape.problems)}
    if not any(mine(path) for path in known):
        shown = ", ".join(str(path) for path in paths)
        hint = "configuration files are bus.yaml, connections.yaml and *.route|mapping|table|test.yaml"
        raise ConfigError("CFG190", f"matched 0 files: {shown}", hint=hint)
    return mine


# ---------------------------------------------------------------- repairs


def repair(landscape: Landscape, problems: Iterable[Problem]) -> int:
    """Make the edits that problems carry, in their files; how many were made.

    Only the misspelt words change: comments, quotes, line ends and all else stay byte for byte. A file that has changed
    since it was read is left alone.
    """
    edits: dict[str, set[Edit]] = {}
    for problem in problems:
        if problem.fix is not None:
            edits.setdefault(problem.path, set()).add(problem.fix)
    return sum(_rewrite(landscape, path, wanted) for path, wanted in edits.items())


def _rewrite(landscape: Landscape, path: str, edits: set[Edit]) -> int:
    file = (landscape.folder / path).resolve()
    raw = file.read_bytes()
    mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
    text = landscape.files[path].text
    if raw.removeprefix(mark) != text.encode():
        return 0
    made, border = 0, len(text)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        if edit.end <= border:  # of two edits of one place only the later stands
            text = text[: edit.start] + edit.text + text[edit.end :]
            made, border = made + 1, edit.start
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(mark + text.encode())
        shutil.copymode(file, name)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return made
