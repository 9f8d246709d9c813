"""Tables on narrow terminals: no word is broken, and what does not fit stands row below row."""

from __future__ import annotations

import pytest

from bus.cli.tables import draw, fit

HEADS = ("file", "kind", "amount", "finding")
ROWS = [
    ["statement_of_a_long_name.xml", "statement", "1,234.50", "the balance is wrong by one cent"],
    ["", "", "77.00", ""],
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # noqa: ANN201 - a function made here
    def do(width: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        draw(HEADS, ROWS, title="", numeric={2})
        return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]

    return do


def test_a_table_that_fits_has_a_line_a_row_and_numbers_on_the_right(drawn) -> None:  # noqa: ANN001
    head, rule, first, second = drawn(100)
    assert head.split() == list(HEADS)
    assert set(rule.strip()) == {"\u2500"}
    assert first.index("1,234.50") + len("1,234.50") == second.index("77.00") + len("77.00")


@pytest.mark.parametrize("width", range(57, 100, 3))
def test_a_narrower_table_breaks_cells_at_blanks_only(drawn, width: int) -> None:  # noqa: ANN001
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    told = " ".join(lines).split()
    assert {word for row in ROWS for cell in row for word in cell.split()} <= set(told)
    assert set(HEADS) <= set(told)


def test_what_does_not_fit_at_all_becomes_paragraphs_without_the_empty_cells(drawn) -> None:  # noqa: ANN001
    assert drawn(40) == [
        "statement_of_a_long_name.xml",
        "  kind statement · amount 1,234.50",
        "  finding the balance is wrong by one",
        "  cent",
        "  amount 77.00",
    ]


def test_the_widest_column_gives_way_and_none_below_its_longest_word() -> None:
    columns = [("a", "bb"), ("c", "some words here"), ("d", "more words")]
    assert fit(columns, 30) == [2, 15, 10]
    assert fit(columns, 20) == [2, 9, 9]
    assert fit(columns, 12) == [2, 5, 5]
    assert fit(columns, 11) == []
