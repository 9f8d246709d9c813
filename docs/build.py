"""Makes the generated docs: ``python docs/build.py`` writes them, ``--check`` fails when one is old or a link is dead.

Whole pages and pictures are listed in :func:`pages`. Hand-written pages hold generated blocks between
``<!-- begin NAME -->`` and ``<!-- end NAME -->``, see :func:`blocks`.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

import pages as made  # noqa: E402 - the source tree need not be installed
from click.testing import CliRunner  # noqa: E402

from bus.cli import main as bus  # noqa: E402
from bus.cli.diagram import draw  # noqa: E402
from bus.cli.sketch import sketch  # noqa: E402
from bus.config import load_landscape  # noqa: E402

OWNED = ("reference", "routes")
"""Folders of docs/ that hold generated files only."""
SAMPLES = "routes/bank-gateway/samples"
INSPECTED = {
    "payments": "PAIN001_sample.xml",
    "status": "PAIN002_sample.xml",
    "statement": "CAMT053_sample.xml",
    "mt940": "MT940_sample.sta",
    "csv": "PAYRUN_sample.csv",
}
_BLOCK = re.compile(r"(<!-- begin ([\w-]+) -->\n)(.*?)(<!-- end \2 -->)", re.DOTALL)
_SKIPPED = {".git", ".venv", "build", "node_modules", ".demo", ".bus"}

# ---------------------------------------------------------------- what is made


def pages() -> dict[str, str]:
    """Generated files: path below docs/ -> text."""
    found = {
        "errors.md": made.errors(),
        "reference/canonical.md": made.canonical(),
        "reference/commands.md": made.commands(),
        "reference/endpoints.md": made.endpoints(),
        "reference/files.md": made.files(),
        "reference/formats.md": made.formats(),
        "reference/patterns.md": made.patterns(),
    }
    landscape = load_landscape(ROOT / "routes").require()
    index = f"{made.MADE}# The shipped routes\n\nDrawn by `bus routes show NAME --svg`.\n"
    for name, loaded in sorted(landscape.routes.items()):
        found[f"routes/{name}.svg"] = draw(sketch(loaded))
        index += f"\n## {name}\n\n{loaded.spec.summary}. [{loaded.path}](../../routes/{loaded.path})\n\n"
        index += f"![{name}]({name}.svg)\n"
    found["routes/README.md"] = index
    return found


def blocks() -> dict[str, Callable[[], str | None]]:
    """Generated blocks of hand-written pages: name -> text, or None where it stays as it is."""
    return {
        "metrics": made.metrics,
        "sample-files": sample_files,
        "settings": made.settings,
        "profiles": made.profiles,
        "profile-show": partial(printed, "profile", "show", "sepa-sct", "--date", "2026-11-24"),
        **{f"inspect-{kind}": partial(inspected, name) for kind, name in INSPECTED.items()},
    }


def sample_files() -> str | None:
    """What ``bus inspect`` prints for all files of ``GIROBUS_SAMPLES``; None where they are not at hand."""
    folder = os.environ.get("GIROBUS_SAMPLES")
    if not folder:
        return None
    shown = CliRunner().invoke(bus, ["inspect", folder], standalone_mode=False, catch_exceptions=False).stdout
    heads, *lines, total = shown.splitlines()
    rows = [tuple(cell.replace("|", "\\|") for cell in line.removeprefix(f"{folder}/").split("\t")) for line in lines]
    return f"{made.table(tuple(heads.split()), rows)}\n{total}.\n"


def printed(*words: str) -> str:
    """What ``bus`` prints, its columns put below each other."""
    shown = CliRunner().invoke(bus, list(words), standalone_mode=False, catch_exceptions=False).stdout
    return f"```console\n$ bus {' '.join(words)}\n{_aligned(shown)}```\n"


def inspected(name: str) -> str:
    """What ``bus inspect`` prints for a sample, its columns put below each other."""
    path = f"{SAMPLES}/{name}"
    shown = CliRunner().invoke(bus, ["inspect", str(ROOT / path)], standalone_mode=False, catch_exceptions=False).stdout
    return f"```console\n$ bus inspect {path}\n{_aligned(shown.replace(str(ROOT / path), path))}```\n"


def _aligned(text: str) -> str:
    """Tab-separated lines with the same number of columns, padded."""
    rows = [line.split("\t") for line in text.splitlines()]
    lines = []
    for row in rows:
        like = [other for other in rows if len(other) == len(row)]
        widths = [max(len(other[column]) for other in like) for column in range(len(row))]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    return "".join(lines)


def with_blocks(text: str, known: dict[str, Callable[[], str | None]]) -> str:
    """A page with its generated blocks made anew.

    Raises:
        SystemExit: the page asks for a block that nobody makes.
    """

    def make(found: re.Match[str]) -> str:
        if found[2] not in known:
            sys.exit(f"nobody makes the block `{found[2]}`; known: {', '.join(known)}")
        text = known[found[2]]()
        return found[0] if text is None else f"{found[1]}{text}{found[4]}"

    return _BLOCK.sub(make, text)


def targets() -> dict[Path, str]:
    """Every file with generated content and what has to stand in it."""
    found = {DOCS / name: text for name, text in pages().items()}
    known = blocks()
    for path in sorted(DOCS.glob("*.md")):
        if path not in found:
            found[path] = with_blocks(path.read_text("utf-8"), known)
    return found


def leftovers(kept: dict[Path, str]) -> list[Path]:
    """Files in generated folders that nobody makes any more."""
    return [
        path for folder in OWNED for path in sorted((DOCS / folder).rglob("*")) if path.is_file() and path not in kept
    ]


# ---------------------------------------------------------------- links


def markdown(root: Path = ROOT) -> Iterator[Path]:
    """All Markdown files of the project."""
    for path in sorted(root.rglob("*.md")):
        if not _SKIPPED & set(path.relative_to(root).parts):
            yield path


def dead_links(path: Path) -> list[str]:
    """Relative links of a page that lead nowhere, as ``LINE: LINK``."""
    return [
        f"{number}: {link}"
        for number, line in enumerate(_without_code(path.read_text("utf-8")).splitlines(), 1)
        for link in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)[)\"]", line)
        if not re.match(r"[a-z]+:", link) and not _leads_somewhere(path, link)
    ]


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = unquote(link).partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors(target.read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """Names that links may lead to: headings as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", _without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def _without_code(text: str) -> str:
    """The text with code blanked out, line numbers kept."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    return re.sub(r"`[^`\n]+`(?!\])", "code", re.sub(r"^```.*?^```$", blank, text, flags=re.MULTILINE | re.DOTALL))


# ---------------------------------------------------------------- commands


def check() -> list[str]:
    """What is wrong, one sentence each."""
    wanted = targets()
    wrong = [
        f"{path.relative_to(ROOT)} is not current; run: python docs/build.py"
        for path, text in wanted.items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    wrong += [f"{path.relative_to(ROOT)} is made by nobody; remove it" for path in leftovers(wanted)]
    dead = ((page, link) for page in markdown() for link in dead_links(page))
    return wrong + [f"{page.relative_to(ROOT)}:{link} leads nowhere" for page, link in dead]


def write() -> int:
    """Write what is not current, remove leftovers; the number of changed files."""
    wanted = targets()
    changed = 0
    for path, text in wanted.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            changed += 1
    for path in leftovers(wanted):
        path.unlink()
        changed += 1
    return changed


def main() -> None:
    """See the module."""
    if sys.argv[1:] == ["--check"]:
        wrong = check()
        print("\n".join(wrong) or "docs are current, links work")
        sys.exit(1 if wrong else 0)
    if sys.argv[1:]:
        sys.exit("usage: python docs/build.py [--check]")
    print(f"{write()} files changed")


if __name__ == "__main__":
    main()
