"""Small drawings of the patterns, in the manner of the Enterprise Integration Patterns book, drawn anew for girobus.

Each is SVG inside a field of 48 x 36 units. In the style sheet of :mod:`bus.cli.diagram` ``l`` is a line, ``d`` dashed,
``f`` filled, ``p`` filled with paper, ``g`` a text.
"""

from __future__ import annotations

WIDTH, HEIGHT = 48, 36


def _square(x: float, y: float, size: float = 9, kind: str = "f") -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{size}" height="{size}"/>'


def _line(path: str) -> str:
    return f'<path class="l" d="{path}"/>'


def _arrow(x: float, y: float) -> str:
    """The head of an arrow to the right."""
    return f'<path class="f" d="M{x} {y}l-5 -3v6z"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text class="g" x="{x}" y="{y}">{text}</text>'


_THREE = _square(34, 4) + _square(34, 13.5) + _square(34, 23)
_TO_RIGHT = _line("M19 18h7") + _arrow(30, 18)
_PAGE = _line("M14 5h14l6 6v20h-20z M28 5v6h6")
_FUNNEL = '<path class="l" d="M9 7h30l-11 13v10l-8 -4v-6z"/>'
_CLOCK = '<circle class="l" cx="24" cy="18" r="12"/>' + _line("M24 10v8l6 4")
_PERSON = '<circle class="f" cx="24" cy="11" r="5"/><path class="f" d="M13 31c0 -9 5 -12 11 -12s11 3 11 12z"/>'
_DOUBLE = _square(9, 9, 18, "l") + _square(18, 14, 18, "p") + _line("M22 23l4 4l7 -8")

_GLYPHS = {
    "parse": _PAGE + _line("M18 16h12 M18 21h12 M18 26h8"),
    "split": _square(6, 13, 12) + _TO_RIGHT + _THREE,
    "aggregate": _square(5, 4) + _square(5, 13.5) + _square(5, 23) + _line("M18 18h7") + _arrow(29, 18)
    + _square(32, 12, 12),
    "route": '<path class="l" d="M24 5l12 13l-12 13l-12 -13z"/>' + _line("M3 18h9 M36 18h6") + _arrow(46, 18)
    + '<path class="l d" d="M30 11l8 -6 M30 25l8 6"/>',
    "filter": _FUNNEL,
    "translate": '<path class="l" d="M8 7h32v22h-32z"/><path class="f" d="M8 7l16 11l-16 11z"/>'
    + _line("M40 7l-16 11l16 11"),
    "convert": '<circle class="l" cx="15" cy="18" r="9"/><circle class="f" cx="33" cy="18" r="9"/>'
    + _line("M11 18h8"),
    "enrich": _square(6, 13, 12, "l") + _TO_RIGHT + _square(32, 13, 12) + _line("M38 2v7 M34.5 5.5h7"),
    "keep": _line("M7 8h34 M12 15h24") + '<path class="l d" d="M7 22h34 M12 29h24"/>',
    "remove": _line("M7 8h34 M12 29h24") + '<path class="l d" d="M7 15h34 M7 22h34"/>'
    + _line("M19 14l10 9 M29 14l-10 9"),
    "recipients": '<circle class="f" cx="9" cy="18" r="4"/>' + _line("M13 18h21 M13 17l21 -10 M13 19l21 10")
    + _arrow(40, 6) + _arrow(40, 18) + _arrow(40, 30),
    "tap": _line("M4 14h34 M24 14v13") + _arrow(44, 14) + '<path class="f" d="M24 33l-3.5 -6h7z"/>'
    + '<circle class="f" cx="24" cy="14" r="3.5"/>',
    "validate": _PAGE + _line("M18 21l4 5l8 -10"),
    "hold": _PERSON,
    "delay": _CLOCK,
    "partition": _line("M6 9h12 M6 18h12 M6 27h12") + _arrow(24, 9) + _arrow(24, 18) + _arrow(24, 27) + _THREE,
    "resequence": _text(10, 23, "3") + _text(18, 23, "1") + _line("M24 18h3") + _arrow(31, 18) + _text(36, 23, "1")
    + _text(44, 23, "3"),
    "idempotent": _DOUBLE,
    "payment_duplicates": _DOUBLE,
    "claim_check": _line("M6 10h36v5a3 3 0 0 0 0 6v5h-36v-5a3 3 0 0 0 0 -6z")
    + '<path class="l d" d="M30 10v16"/>' + _line("M12 16h12 M12 21h8"),
    "correlate": '<circle class="l" cx="18" cy="18" r="10"/><circle class="l" cx="30" cy="18" r="10"/>'
    '<circle class="f" cx="24" cy="18" r="2.5"/>',
    "register": _line("M11 6h26v25h-26z M16 6v25 M21 13h11 M21 19h11 M21 25h7"),
    "request": _PAGE + _text(24, 25, "?"),
    "reply": _PAGE + _text(24, 25, "!"),
    "advance": _line("M6 30h9v-8h9v-8h9v-8h9"),
    "case": _line("M14 4v29") + '<path class="f" d="M14 5h22l-6 7l6 7h-22z"/>',
    "continuity": '<rect class="l" x="4" y="12" width="17" height="12" rx="6"/>'
    '<rect class="l" x="27" y="12" width="17" height="12" rx="6"/>' + _line("M16 18h16"),
    "source": _line("M4 18h14") + _arrow(22, 18) + '<path class="l" d="M24 6h10a12 12 0 0 1 0 24h-10z"/>',
    "channel": '<path class="l" d="M10 10h28a4 8 0 0 1 0 16h-28a4 8 0 0 1 0 -16a4 8 0 0 1 0 16"/>' + _square(20, 14, 8),
    "outlet": '<path class="l" d="M24 6h-10a12 12 0 0 0 0 24h10z"/>' + _line("M24 18h14") + _arrow(44, 18),
    "none": '<circle class="l" cx="24" cy="18" r="11"/><circle class="f" cx="24" cy="18" r="6"/>',
}  # fmt: skip
_OTHER = '<path class="l" d="M10 6h28v24h-28z"/><circle class="f" cx="24" cy="18" r="4"/>'


def pictogram(key: str) -> str:
    """The drawing of a pattern by its YAML key; a plain box for a pattern that has none."""
    return _GLYPHS.get(key, _OTHER)
