"""The sheets of a workbook, row by row in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO, NamedTuple

from lxml import etree

from bus import Rejected
from transforms.xlsx.cells import Value, column_letters, is_date_format, moment, number, position, text
from transforms.xlsx.package import Limits, Package, children, damaged, local

_MOST_TEXTS = 64 << 20


class Sheet(NamedTuple):
    """One sheet: its name, its part, and whether the workbook hides it."""

    name: str
    part: str
    hidden: bool


class Row(NamedTuple):
    """One row: number as Excel shows it, values by column (A is 1), and the first error among its cells."""

    number: int
    values: dict[int, Value]
    error: Rejected | None


class Workbook:
    """A workbook being read."""

    def __init__(self, source: BinaryIO, limits: Limits) -> None:
        """Find the sheets.

        Raises:
            Rejected: as :class:`transforms.xlsx.package.Package`; ``VAL846`` without a workbook part.
        """
        self._package = Package(source, limits)
        self._cells = limits.cells
        targets = self._package.targets("")
        self._name = next((part for kind, part in targets.values() if kind == "officeDocument"), "xl/workbook.xml")
        if not self._package.has(self._name):
            raise Rejected("VAL845", "the file is no XLSX workbook", hint="save it as .xlsx", reason="FF01")
        self._targets = self._package.targets(self._name)
        self.sheets: list[Sheet] = []
        self.since_1904 = False
        for element in self._package.root(self._name).iter("{*}workbookPr", "{*}sheet"):
            if local(element) == "workbookPr":
                self.since_1904 = element.get("date1904") in ("1", "true")
            else:
                self._add(element)

    def _add(self, element: etree._Element) -> None:
        identity = next((value for key, value in element.attrib.items() if str(key).endswith("}id")), "")
        kind, part = self._targets.get(str(identity), ("", ""))
        if kind == "worksheet":
            hidden = element.get("state", "visible") != "visible"
            self.sheets.append(Sheet(element.get("name", ""), part, hidden))

    @cached_property
    def _texts(self) -> list[str]:
        """Texts that cells share."""
        name = self._part("sharedStrings")
        found: list[str] = []
        size = 0
        for element in self._package.elements(name, "si") if name else ():
            found.append(_text_of(element))
            size += len(found[-1]) + 50
            if size > _MOST_TEXTS:
                raise Rejected("VAL847", f"the texts of the workbook are larger than {_MOST_TEXTS} bytes")
        return found

    @cached_property
    def _dates(self) -> list[bool]:
        """Whether a cell style shows a date, by number of the style."""
        name = self._part("styles")
        if not name:
            return []
        root = self._package.root(name)
        codes = {found.get("numFmtId", ""): found.get("formatCode", "") for found in root.iter("{*}numFmt")}
        styles = next(children(root, "cellXfs"), None)
        numbers = [] if styles is None else [found.get("numFmtId", "0") for found in children(styles, "xf")]
        return [is_date_format(int(n) if n.isdigit() else 0, codes.get(n, "")) for n in numbers]

    def _part(self, kind: str) -> str:
        return next((part for found, part in self._targets.values() if found == kind and self._package.has(part)), "")

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """Rows that have cells, from top to bottom.

        Raises:
            Rejected: ``VAL853`` when there are more cells than allowed; ``VAL846``, ``VAL847``.
        """
        # Read first: what is wrong with them is wrong with the workbook, not with a row.
        _ = self._texts, self._dates
        row, column, cells = 0, 0, 0
        values: dict[int, Value] = {}
        errors: list[tuple[str, Rejected]] = []
        for element in self._package.elements(sheet.part, "c", "row"):
            if local(element) == "row":
                told = element.get("r", "")
                row = int(told) if told.isascii() and told.isdigit() and len(told) < 9 else row + 1
                yield Row(row, values, _placed(errors[0], row) if errors else None)
                values, errors, column = {}, [], 0
                continue
            cells += 1
            if cells > self._cells:
                raise Rejected("VAL853", f"the sheet has more than {self._cells} cells", hint="raise `max_cells`")
            column = position(element.get("r", ""))[1] or column + 1
            try:
                values[column] = self._value(element)
            except Rejected as problem:
                values[column] = None
                errors.append((column_letters(column), problem))

    def _value(self, cell: etree._Element) -> Value:
        kind, raw = cell.get("t", "n"), next((v.text or "" for v in children(cell, "v")), None)
        if kind == "inlineStr":
            return "".join(_text_of(found) for found in children(cell, "is"))
        if raw is None or (raw == "" and kind != "str"):
            if next(children(cell, "f"), None) is not None:
                hint = "open the workbook in Excel and save it, so that it is computed"
                raise Rejected("VAL851", "a formula that was never computed", hint=hint)
            return None
        if kind == "s":
            return self._shared(raw)
        if kind == "b":
            return raw.strip() in ("1", "true")
        if kind == "e":
            raise Rejected("VAL850", "the cell shows an error", hint="correct the formula", reason="FF01")
        if kind in ("str", "d"):
            return text(raw)
        value = number(raw)
        return moment(value, since_1904=self.since_1904) if self._is_date(cell.get("s", "")) else value

    def _is_date(self, style: str) -> bool:
        known = style.isascii() and style.isdigit() and len(style) < 9 and int(style) < len(self._dates)
        return known and self._dates[int(style)]

    def _shared(self, raw: str) -> str:
        index = int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 10 else -1
        if not 0 <= index < len(self._texts):
            raise damaged("a cell names a text that there is not")
        return self._texts[index]


def _placed(error: tuple[str, Rejected], row: int) -> Rejected:
    """An error of a cell with its place, such as ``B12``."""
    letters, problem = error
    place = f"{letters}{row}"
    message = f"{place}: {problem.message}"
    return Rejected(problem.code, message, hint=problem.hint, reason=problem.reason, place=place)


def _text_of(element: etree._Element) -> str:
    """Text of a shared or inline string: its own and that of its runs, without the reading aids of Japanese."""
    texts = []
    for child in element:
        if local(child) == "t":
            texts.append(child.text or "")
        elif local(child) == "r":
            texts += [found.text or "" for found in children(child, "t")]
    return text("".join(texts))
