"""A route as a picture: standalone SVG, laid out top down as the series-parallel tree that a route is; no script."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import wrap
from xml.sax.saxutils import escape, quoteattr

from bus.cli.output import clean
from bus.cli.pictograms import HEIGHT, WIDTH, pictogram
from bus.cli.sketch import END, Box, Sketch, Way, shown_id, tree

_BOX, _TALL, _GAP, _LANE, _EDGE = 284, 58, 34, 28, 24
"""Width and height of a box, the way down between two, the space between two branches, the margin."""
_SIDE = 196
"""Room beside a box for what leaves it sideways: wire tap, reject file."""
_TITLE = 52
_CONDITION = 44
_LETTER, _BOLD = 6.3, 8.0
"""Width of a letter in wide fonts, small and bold; what is longer is cut and told in full by the tooltip."""
_STYLE = """
.bg{fill:#fbfaf7}.box{fill:#ffffff;stroke:#3b4a5a;stroke-width:1.4}.end{fill:#eef3f1;stroke:#2f6f5e;stroke-width:1.4}
.side{stroke-dasharray:4 3}.way{fill:none;stroke:#3b4a5a;stroke-width:1.4}.tip{fill:#3b4a5a}
.l{fill:none;stroke:#22577a;stroke-width:1.7;stroke-linejoin:round;stroke-linecap:round}.d{stroke-dasharray:2 3}
.f{fill:#22577a}.p{fill:#ffffff;stroke:#22577a;stroke-width:1.7}.pipe{fill:#dfe9f2;stroke:#22577a;stroke-width:1.3}
text{font-family:system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1d2733}
.h{font-size:17px;font-weight:600}.s{font-size:12px;fill:#4a5866}.k{font-size:13px;font-weight:600}
.t{font-size:11px;fill:#4a5866}.c{font-size:11px;font-style:italic;fill:#1d2733}.g{font-size:12px;font-weight:600;text-anchor:middle;fill:#22577a}
@media (prefers-color-scheme:dark){.bg{fill:#14191f}.box{fill:#1f2730;stroke:#9fb2c4}.end{fill:#1b2c28;stroke:#7cc4ae}
.way{stroke:#9fb2c4}.tip{fill:#9fb2c4}.l{stroke:#8ecae6}.f{fill:#8ecae6}.p{fill:#1f2730;stroke:#8ecae6}
.pipe{fill:#25323f;stroke:#8ecae6}text{fill:#edf2f7}.s,.t{fill:#b6c2ce}.c{fill:#edf2f7}.g{fill:#8ecae6}}
""".replace("\n", "")  # fmt: skip


@dataclass(slots=True)
class _Sheet:
    """What is drawn so far; lines lie below boxes."""

    lines: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    loose: list[float] = field(default_factory=list)

    def line(self, path: str) -> None:
        self.lines.append(f'<path class="way" d="{path}"/>')

    def tip(self, x: float, y: float) -> None:
        """An arrow head downwards that ends at (x, y)."""
        self.lines.append(f'<path class="tip" d="M{x:g} {y:g}l-4 -8h8z"/>')

    def pipe(self, x: float, y: float) -> None:
        """The mark of a durable channel on a way downwards."""
        self.boxes.append(
            f'<g transform="translate({x:g} {y:g})"><title>stored durably here</title>'
            '<path class="pipe" d="M-7 -7v14a7 3 0 0 0 14 0v-14z"/><ellipse class="pipe" cy="-7" rx="7" ry="3"/></g>'
        )


def draw(drawn: Sketch) -> str:
    """The whole picture as SVG text, accessible by title and description, readable on light and dark ground."""
    sheet = _Sheet()
    rejecting = _rejecting(drawn)
    left, right = _extent(drawn.boxes, rejecting)
    wide = max(left + right, _BOX) + 2 * _EDGE
    middle = _EDGE + max(left, _BOX / 2)
    top = _EDGE + _TITLE
    key = "channel" if drawn.source == "channel" else "source"
    _box(sheet, middle, top, (key, drawn.source, "", drawn.settings), kind="end")
    ends = _chain(sheet, drawn.boxes, middle, top + _TALL, rejecting)
    if ends is not None:
        ends = _end(sheet, drawn.to or END, middle, ends)
    tall = max(_lowest(sheet), top + _TALL) + _EDGE
    return _document(drawn, sheet, wide, tall)


def _document(drawn: Sketch, sheet: _Sheet, wide: float, tall: float) -> str:
    name = drawn.route
    summary = _cut(clean(drawn.summary), wide - 2 * _EDGE, 6.3)
    told = escape(clean(f"{drawn.summary}. " if drawn.summary else "") + clean("; ".join(tree(drawn))))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{tall:g}" viewBox="0 0 {wide:g} {tall:g}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">Route {name}</title><desc id="{name}-desc">{told}</desc><style>{_STYLE}</style>'
        f'<rect class="bg" width="{wide:g}" height="{tall:g}" rx="10"/>'
        f'<text class="h" x="{_EDGE}" y="{_EDGE + 14}">{escape(name)}</text>'
        f'<text class="s" x="{_EDGE}" y="{_EDGE + 33}">{escape(summary)}</text>'
        f"{''.join(sheet.lines)}{''.join(sheet.boxes)}</svg>\n"
    )


def _lowest(sheet: _Sheet) -> float:
    return max(sheet.loose, default=0)


# ---------------------------------------------------------------- measuring

Rejecting = tuple[str, str]
"""(step that the reject file is drawn beside, outlet), both empty where there is none."""


def _rejecting(drawn: Sketch) -> Rejecting:
    """The reject file belongs to the batch of the first split."""
    first = next((box.step for box in drawn.boxes if box.boundary == "split"), "")
    return (first, drawn.rejects_to) if drawn.rejects_to and first else ("", "")


def _extent(boxes: tuple[Box, ...], rejecting: Rejecting) -> tuple[float, float]:
    """How far a chain reaches to the left and to the right of its middle."""
    left = right = _BOX / 2
    for box in boxes:
        if box.ways:
            widths = [_extent(way.boxes, rejecting) for way in box.ways]
            half = (sum(a + b for a, b in widths) + _LANE * (len(widths) - 1)) / 2
            left, right = max(left, half), max(right, half)
        elif box.copies_to or box.step == rejecting[0]:
            right = max(right, _BOX / 2 + _SIDE)
    return left, right


# ---------------------------------------------------------------- drawing


def _chain(sheet: _Sheet, boxes: tuple[Box, ...], x: float, y: float, rejecting: Rejecting) -> float | None:
    """Draw boxes one below the other from (x, y), the lower end of what stands before; None when nothing goes on."""
    before = ""
    for box in boxes:
        sheet.line(f"M{x:g} {y:g}v{_GAP}")
        if before:
            sheet.pipe(x, y + _GAP / 2 - 2)
        y += _GAP
        sheet.tip(x, y)
        _box(sheet, x, y, (box.key, box.key, box.step, box.settings))
        if box.copies_to:
            _sideways(sheet, x, y, (box.copies_to, "copies"))
        if box.step == rejecting[0] and rejecting[1]:
            _sideways(sheet, x, y, (rejecting[1], "refused records"))
        y += _TALL
        before = box.boundary
        if box.ways:
            below = _ways(sheet, box.ways, x, y, rejecting)
            if below is None:
                return None
            y = below
    return y + _pipe_after(sheet, x, y) if before else y


def _pipe_after(sheet: _Sheet, x: float, y: float) -> float:
    """A chain that ends with a stored message: its pipe stands on a stub of its own."""
    stub = _GAP / 2
    sheet.line(f"M{x:g} {y:g}v{stub:g}")
    sheet.pipe(x, y + stub - 2)
    return stub


def _ways(sheet: _Sheet, ways: tuple[Way, ...], x: float, y: float, rejecting: Rejecting) -> float | None:
    """Branches side by side; returns where those that go on meet again, None when none does."""
    extents = [_extent(way.boxes, rejecting) for way in ways]
    start = x - (sum(a + b for a, b in extents) + _LANE * (len(ways) - 1)) / 2
    y += 12
    sheet.line(f"M{x:g} {y - 12:g}v12")
    open_ends: list[tuple[float, float]] = []
    deepest = y
    for way, (left, right) in zip(ways, extents, strict=True):
        column = start + left
        start += left + right + _LANE
        sheet.line(f"M{x:g} {y:g}H{column:g}v{_CONDITION}")
        _condition(sheet, way, column, y)
        bottom = _chain(sheet, way.boxes, column, y + _CONDITION, rejecting)
        if bottom is not None and way.to:
            bottom = _end(sheet, way.to, column, bottom)
        elif bottom is not None:
            open_ends.append((column, bottom))
        deepest = max(deepest, bottom or 0, _lowest(sheet))
    if not open_ends:
        return None
    meeting = deepest + 14
    for column, bottom in open_ends:
        sheet.line(f"M{column:g} {bottom:g}V{meeting:g}H{x:g}")
    return meeting


def _condition(sheet: _Sheet, way: Way, x: float, y: float) -> None:
    """The words above a branch, on a patch of ground so that no line runs through them."""
    said = clean(way.condition or "always")
    text = f"{shown_id(way.label)}: {said}" if shown_id(way.label) else said
    lines = wrap(text, int(_BOX / _LETTER), max_lines=2, placeholder="…")
    width = max(len(line) for line in lines) * _LETTER + 8
    top = y + (6 if len(lines) > 1 else 13)
    patch = f'<rect class="bg" x="{x - width / 2:g}" y="{top:g}" width="{width:g}" height="{15 * len(lines) + 3}"/>'
    rows = "".join(
        f'<text class="c" x="{x:g}" y="{top + 13 + 15 * n:g}" text-anchor="middle">{escape(line)}</text>'
        for n, line in enumerate(lines)
    )
    sheet.boxes.append(f"<g><title>{escape(text)}</title>{patch}{rows}</g>")


def _end(sheet: _Sheet, to: str, x: float, y: float) -> float:
    """What a chain ends in: a way out, or its end on purpose."""
    sheet.line(f"M{x:g} {y:g}v{_GAP}")
    y += _GAP
    sheet.tip(x, y)
    if to != END:
        sheet.pipe(x, y - _GAP / 2 - 2)
        _box(sheet, x, y, ("outlet", to, "", ()), kind="end")
        return y + _TALL
    sheet.boxes.append(
        f'<g transform="translate({x - WIDTH / 2:g} {y:g})"><title>ends here on purpose</title>{pictogram("none")}</g>'
    )
    sheet.loose.append(y + HEIGHT)
    return y + HEIGHT


def _sideways(sheet: _Sheet, x: float, y: float, what: tuple[str, str]) -> None:
    """Something that leaves a box to the right; what = (where to, words)."""
    to, words = what
    right, middle = x + _BOX / 2, y + _TALL / 2
    sheet.lines.append(f'<path class="way side" d="M{right:g} {middle:g}h34"/>')
    sheet.lines.append(f'<path class="tip" d="M{right + 42:g} {middle:g}l-8 -4v8z"/>')
    text = escape(_cut(clean(to), _SIDE - 56, _BOLD))
    sheet.boxes.append(
        f'<g transform="translate({right + 42:g} {y + 8:g})"><title>{escape(clean(f"{words} → {to}"))}</title>'
        f'<rect class="end" width="{_SIDE - 42:g}" height="{_TALL - 16:g}" rx="8"/>'
        f'<text class="k" x="10" y="18">{text}</text><text class="t" x="10" y="33">{escape(words)}</text></g>'
    )


def _box(sheet: _Sheet, x: float, y: float, what: tuple[str, str, str, tuple[str, ...]], kind: str = "box") -> None:
    """A step or an end: pictogram, name, first settings, all of them as tooltip; what = (glyph, key, id, settings)."""
    glyph, key, step, settings = what
    room = _BOX - WIDTH - 30
    named = clean(" · ".join(filter(None, (key, shown_id(step)))))
    fits = len(named) <= room / _BOLD
    heading = _cut(named if fits else clean(key), room, _BOLD)
    below = settings if fits or not shown_id(step) else (shown_id(step), *settings)
    lines = [escape(_cut(clean(line), room, _LETTER)) for line in below[:2]]
    top = {0: 34, 1: 26, 2: 19}[len(lines)]
    texts = [f'<text class="k" x="{WIDTH + 20}" y="{top}">{escape(heading)}</text>']
    texts += [f'<text class="t" x="{WIDTH + 20}" y="{top + 15 * n}">{line}</text>' for n, line in enumerate(lines, 1)]
    full = clean(" · ".join(filter(None, (key, step, *settings))))
    radius = 14 if kind == "end" else 4
    sheet.boxes.append(
        f'<g transform="translate({x - _BOX / 2:g} {y:g})" data-step={quoteattr(clean(step))}>'
        f"<title>{escape(full)}</title>"
        f'<rect class="{kind}" width="{_BOX}" height="{_TALL}" rx="{radius}"/>'
        f'<g transform="translate(10 {(_TALL - HEIGHT) / 2:g})">{pictogram(glyph)}</g>{"".join(texts)}</g>'
    )
    sheet.loose.append(y + _TALL)


def _cut(text: str, room: float, letter: float) -> str:
    most = int(room / letter)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
