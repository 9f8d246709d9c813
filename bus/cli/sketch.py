"""A route reduced to what a picture of it shows: boxes, ways with their conditions, ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bus.config.fields import Loc, specs
from bus.landscape import ChannelSource
from bus.spec import StepSpec

if TYPE_CHECKING:
    from bus.config import LoadedRoute

END = "none"
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Way:
    """One branch below a container step; without ``to`` it leads on to what follows the container."""

    label: str
    condition: str
    """``when …``, ``otherwise`` or ``""`` for always."""
    boxes: tuple[Box, ...]
    to: str


@dataclass(frozen=True, slots=True)
class Box:
    """One step: its id, the pattern it is, what the operator wrote, and the ways below it."""

    step: str
    key: str
    settings: tuple[str, ...]
    boundary: str
    """``split``, ``aggregate`` or ``hold`` where the messages are stored before they go on, else ``""``."""
    ways: tuple[Way, ...]
    copies_to: str
    """Where a wire tap sends its copies."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A whole route."""

    route: str
    summary: str
    owner: str
    source: str
    """Key of the endpoint, or ``channel``."""
    settings: tuple[str, ...]
    boxes: tuple[Box, ...]
    to: str
    rejects_to: str
    """Outlet of the reject file, ``""`` = none."""


def sketch(loaded: LoadedRoute) -> Sketch:
    """Reduce a route; settings stand there as the file says them."""
    spec = loaded.spec
    places = {id(step): loc for loc, step in specs(spec) if isinstance(step, StepSpec)}
    inside = isinstance(spec.from_, ChannelSource)
    source = "channel" if inside else spec.from_.key
    return Sketch(
        spec.route,
        spec.summary,
        spec.owner,
        source,
        _settings(spec.from_.channel if inside else _written(loaded, ("from", source))),
        tuple(_boxes(loaded, spec.steps, places, "")),
        spec.to,
        spec.on_reject.to if spec.on_reject is not None else "",
    )


def _boxes(loaded: LoadedRoute, steps: tuple[StepSpec, ...], places: dict[int, Loc], prefix: str) -> Iterator[Box]:
    for number, step in enumerate(steps):
        name = step.name or f"{prefix}{number}"
        written = _written(loaded, places[id(step)])
        branches = written.get(step.shorthand) if isinstance(written, dict) else written
        flows = step.flows()
        ways = []
        for index, (label, flow) in enumerate(flows.items()):
            said = branches[index] if isinstance(branches, list) and index < len(branches) else {}
            inside = tuple(_boxes(loaded, flow.steps, places, f"{name}.{label}."))
            ways.append(Way(label, _condition(said), inside, flow.to))
        hidden = {"name", step.shorthand} if flows else {"name"}
        settings = () if flows and isinstance(written, list) else _settings(written, hidden)
        copies_to = str(getattr(step, "to", "")) if step.key == "tap" else ""
        yield Box(name, step.key, settings, step.boundary, tuple(ways), copies_to)


def _condition(said: Any) -> str:
    if not isinstance(said, dict):
        return ""
    if said.get("otherwise"):
        return "otherwise"
    return f"when {said['when']}" if said.get("when") else ""


def _written(loaded: LoadedRoute, loc: Loc) -> Any:
    """What the file says at a place, below the plug-in's key."""
    node, _ = loaded.root.find(loc)
    data = node.data()
    if isinstance(data, dict) and loc and len(data) == 1 and str(loc[-1]) in data:
        return data[str(loc[-1])]
    return data


def _settings(written: Any, hidden: set[str] | None = None) -> tuple[str, ...]:
    """One line a setting."""
    if isinstance(written, dict):
        return tuple(f"{key}: {_line(value)}" for key, value in written.items() if key not in (hidden or ()))
    text = _line(written)
    return (text,) if text else ()


def _line(value: Any) -> str:
    if isinstance(value, dict):
        items = (key if item == "true" else f"{key}: {_line(item)}" for key, item in value.items())
        text = "{" + ", ".join(items) + "}"
    elif isinstance(value, list):
        text = ", ".join(_line(item) for item in value)
    else:
        text = " ".join(str(value).split())
    return text[:_LONGEST]


# ---------------------------------------------------------------- as text


def tree(drawn: Sketch) -> list[str]:
    """The route as lines: source, steps, branches with their conditions, ways out."""
    lines = [" ".join(filter(None, (f"from {drawn.source}", _joined(drawn.settings))))]
    lines += _branch(drawn.boxes, drawn.to, "")
    if drawn.rejects_to:
        lines.append(f"refused records → {drawn.rejects_to}")
    return lines


def _branch(boxes: tuple[Box, ...], to: str, indent: str) -> Iterator[str]:
    """A chain of boxes with its end; the last line of a chain has the corner."""
    ends = bool(to) or not any(box.ways for box in boxes[-1:])
    for number, box in enumerate(boxes):
        last = number == len(boxes) - 1 and not ends
        words = " ".join(filter(None, (box.key, shown_id(box.step), _joined(box.settings))))
        yield f"{indent}{'└' if last else '├'}─ {words}{'  ═ stored' if box.boundary else ''}"
        below = indent + ("   " if last else "│  ")
        for index, way in enumerate(box.ways):
            corner = "└" if index == len(box.ways) - 1 else "├"
            yield f"{below}{corner}─ {' · '.join(filter(None, (shown_id(way.label), way.condition or 'always')))}"
            inner = below + ("   " if corner == "└" else "│  ")
            yield from _branch(way.boxes, way.to, inner)
    if ends:
        yield f"{indent}└→ {_end(to)}"


def shown_id(name: str) -> str:
    """The name that an operator gave to a step or way; empty where it is only its position."""
    return "" if name.rpartition(".")[2].isdigit() or name == "otherwise" else name


def _end(to: str) -> str:
    return "goes on below" if not to else "ends here" if to == END else to


def _joined(settings: tuple[str, ...]) -> str:
    text = " · ".join(settings)
    return text if len(text) <= 90 else text[:89] + "…"
