"""Tables on a terminal: tighter where it is narrow, and row below row where a table would have to break words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import Console

GAPS = (3, 2, 1)
"""Blanks between two columns; the first that fits."""


def draw(heads: Sequence[str], rows: Sequence[Sequence[str]], *, title: str, numeric: Collection[int]) -> None:
    """Print rows under headings; cells are broken at blanks only.

    Where the longest words of all columns have no room beside each other, each row becomes a paragraph: its first cell,
    and below it the other ones behind their headings, without those that are empty.

    Args:
        heads: the headings.
        rows: the texts of the cells.
        title: above the table; empty = none.
        numeric: indexes of the columns that stand right-aligned.
    """
    from rich.console import Console  # noqa: PLC0415 - 60 ms that `--help` and pipes need not pay

    console = Console(no_color=True if os.environ.get("NO_COLOR") else None, highlight=False)
    columns = list(zip(heads, *rows, strict=True))
    for gap in GAPS:
        widths = fit(columns, console.width - gap * (len(columns) - 1) - 2)
        if widths:
            _print_table(console, columns, title=title, widths=widths, numeric=numeric, gap=gap)
            return
    _print_paragraphs(console, heads, rows, title)


def fit(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Widths of columns that break no word and fill at most ``room``; the widest give way. Empty: there are none."""
    from rich.cells import cell_len  # noqa: PLC0415

    widths = [max(map(cell_len, column)) for column in columns]
    least = [max(cell_len(word) for cell in column for word in cell.split(" ")) for column in columns]
    if sum(least) > room:
        return []
    while sum(widths) > room:
        widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def _print_table(
    console: Console,
    columns: Sequence[Sequence[str]],
    *,
    title: str,
    widths: Sequence[int],
    numeric: Collection[int],
    gap: int,
) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # The box's own line between columns is one of the blanks.
    table = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 0, 0, 0))
    table.padding = (0, gap // 2, 0, (gap - 1) // 2)
    for index, (column, width) in enumerate(zip(columns, widths, strict=True)):
        justify = "right" if index in numeric else "left"
        table.add_column(Text(column[0]), justify=justify, overflow="fold", width=width)  # type: ignore[arg-type]
    for row in list(zip(*columns, strict=True))[1:]:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_paragraphs(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if title:
        console.print(Text(title, style="italic"))
    for row in rows:
        if row[0]:
            console.print(Text(row[0], style="bold"), soft_wrap=True)
        told = [(head, cell) for head, cell in zip(heads[1:], row[1:], strict=True) if cell]
        for line in _packed(told, console.width - 2):
            text = Text(" · ").join(Text(f"{head} ", style="dim").append(cell, style="not dim") for head, cell in line)
            console.print(Padding(text, (0, 0, 0, 2)))
    console.print()


def _packed(told: Sequence[tuple[str, str]], width: int) -> list[list[tuple[str, str]]]:
    """Lines of headings and cells, so many in each as have room there; one that is longer has lines of its own."""
    lines: list[list[tuple[str, str]]] = [[]]
    room = width
    for head, cell in told:
        need = len(head) + len(cell) + 4
        if need > room + 3 and lines[-1]:
            lines.append([])
            room = width
        lines[-1].append((head, cell))
        room -= need
    return lines
