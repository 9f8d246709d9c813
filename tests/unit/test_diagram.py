"""Pictures and trees of routes: everything of the route is in them, nothing overlaps, hostile text stays text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bus.cli.diagram import draw
from bus.cli.pictograms import _GLYPHS, HEIGHT, WIDTH, pictogram
from bus.cli.sketch import Box, Sketch, Way, sketch, tree
from bus.config import load_landscape
from bus.registry import Registry

SVG = "{http://www.w3.org/2000/svg}"
ROUTES = Path(__file__).parents[2] / "routes"


def box(step: str, key: str = "filter", *ways: Way, boundary: str = "", copies_to: str = "") -> Box:
    return Box(step, key, (f"setting of {step}",), boundary, ways, copies_to)


def route(*boxes: Box, to: str = "bank", rejects_to: str = "") -> Sketch:
    return Sketch("pay", "Payments", "ann", "sftp", ("path: /in",), boxes, to, rejects_to)


def frames(picture: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of every box."""
    found = []
    for group in ET.fromstring(picture).iter(f"{SVG}g"):  # noqa: S314 - our own picture
        rect = group.find(f"{SVG}rect")
        place = re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", group.get("transform", ""))
        if rect is not None and place and rect.get("class") in ("box", "end"):
            x, y = float(place[1]), float(place[2])
            found.append((x, y, x + float(rect.get("width", 0)), y + float(rect.get("height", 0))))
    return found


def check(picture: str) -> None:
    """No two boxes overlap, all stand inside the picture."""
    top = ET.fromstring(picture)  # noqa: S314 - our own picture
    width, height = float(top.get("width", 0)), float(top.get("height", 0))
    placed = frames(picture)
    for n, (left, upper, right, lower) in enumerate(placed):
        assert left >= 0
        assert upper >= 0
        assert right <= width
        assert lower <= height
        for other in placed[:n]:
            apart = right <= other[0] or left >= other[2] or lower <= other[1] or upper >= other[3]
            assert apart, f"{placed[n]} lies over {other}"


DEEP = route(
    box("split", "split", boundary="split"),
    box("tap", "tap", copies_to="watch"),
    box(
        "outer",
        "recipients",
        Way("a", "", (box("a1"), box("a2", "tap", copies_to="log")), "first"),
        Way(
            "b",
            "when x > 1",
            (box("inner", "route", Way("0", "when y", (), "left"), Way("otherwise", "otherwise", (box("b1"),), "")),),
            "",
        ),
        Way("c", "otherwise", (), "none"),
    ),
    box("last", "translate"),
    rejects_to="returns",
)


@pytest.mark.parametrize(
    "drawn",
    [
        route(),
        route(to="none"),
        route(box("one"), to=""),
        route(box("stored", boundary="aggregate"), to=""),
        route(box("r", "route", Way("0", "when a", (), "x"), Way("1", "when b", (), "y")), to=""),
        DEEP,
    ],
    ids=["empty", "ends", "open", "stored", "nothing goes on", "deep"],
)
def test_pictures_are_sound_svg_without_overlaps(drawn: Sketch) -> None:
    picture = draw(drawn)
    check(picture)
    assert "<script" not in picture
    assert "prefers-color-scheme:dark" in picture
    top = ET.fromstring(picture)  # noqa: S314 - our own picture
    labels = [top.find(f"{SVG}{tag}") for tag in ("title", "desc")]
    assert top.get("role") == "img"
    assert top.get("aria-labelledby") == " ".join(label.get("id", "") for label in labels if label is not None)


def test_a_picture_shows_every_step_condition_and_end() -> None:
    picture = draw(DEEP)
    for text in (
        "a1",
        "b1",
        "when x &gt; 1",
        "otherwise",
        "always",
        "returns",
        "watch",
        "log",
        "first",
        "left",
        "bank",
    ):
        assert text in picture, text
    assert picture.count("stored durably here") == 4, "one behind the split, one before each of three ways out"
    assert picture.count("ends here on purpose") == 1


def test_ways_that_go_on_meet_again_and_ended_ones_do_not() -> None:
    ended = route(box("r", "route", Way("0", "when a", (), "x")), box("never"), to="far")
    assert "never" not in draw(ended).split("</desc>")[1]
    meeting = draw(DEEP).split("</desc>")[1]
    assert meeting.index("b1") < meeting.index("last")


def test_hostile_text_stays_text() -> None:
    evil = "</title><script>alert(1)</script>\x1b[31m\x00&"
    drawn = Sketch("pay", evil, evil, "sftp", (evil,), (Box(evil, "split", (evil,), "", (), evil),), evil, "")
    picture = draw(drawn)
    check(picture)
    assert "<script" not in picture
    assert "\x1b" not in picture


def test_every_pattern_has_a_pictogram_of_its_own() -> None:
    drawn = [pictogram(key) for key in Registry().keys("step")]
    assert len(set(drawn)) >= len(drawn) - 1, "only the two duplicate checks share one"
    assert pictogram("a-plug-in-of-somebody") not in drawn
    for key, glyph in _GLYPHS.items():
        ET.fromstring(f"<svg>{glyph}</svg>")  # noqa: S314 - our own drawing
        corners = [(float(x), float(y)) for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", glyph)]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in corners), key


def test_the_shipped_routes_can_be_drawn_and_told() -> None:
    landscape = load_landscape(ROUTES)
    assert landscape.routes
    for loaded in landscape.routes.values():
        drawn = sketch(loaded)
        check(draw(drawn))
        assert tree(drawn)[0].startswith("from ")


def test_the_tree_says_what_the_file_says() -> None:
    payments = sketch(load_landscape(ROUTES).routes["payments-out"])
    lines = tree(payments)
    text = "\n".join(lines)
    assert "connection: erp" in lines[0]
    assert "├─ split lines each: rows" in text
    assert "when amount.currency == 'EUR' && is_sepa(creditor.account.iban)" in text
    assert "└→ bank-north-out" in text
    assert lines[-1] == "refused records → erp-rejects"
    assert sum("═ stored" in line for line in lines) == 5
    shallow = tree(DEEP)
    assert any("└→ goes on below" in line for line in shallow)
    assert any("└→ ends here" in line for line in shallow)
