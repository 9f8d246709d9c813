"""A route told in lines for people: its steps with what they were given, and its decisions with the values they saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bus.config.fields import Loc, expressions, specs
from bus.config.reference import as_written
from bus.errors import Rejected
from bus.expressions import explain
from bus.landscape import ChannelSource, RouteSpec
from bus.spec import Duration, StepSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config import LoadedRoute

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """One expression of a step, applied to a body.

    Attributes:
        step: id of the step, as in history and trace.
        pattern: its key, such as ``route``.
        where: place of the expression inside the step, such as ``[0].when``.
        expression: its text.
        parts: (part of the text, its value), the whole first; a value that is a :class:`bus.errors.Rejected` says why
            that part could not be worked out.
    """

    step: str
    pattern: str
    where: str
    expression: str
    parts: list[tuple[str, Any]]


def explain_route(route: RouteSpec, body: Any, tables: dict[str, Any] | None = None) -> list[Decision]:
    """Every expression of a route's steps with its values for ``body``.

    The steps are not run: one that changes the body would show later expressions another one.
    """
    return [
        Decision(name, step.key, _place(loc, step.shorthand), text, explain(text, body, tables=tables))
        for name, step in walk(route.steps)
        for loc, text, owner in expressions(specs(step))
        if owner is step
    ]


def walk(steps: tuple[StepSpec, ...], prefix: str = "") -> Iterator[tuple[str, StepSpec]]:
    """All steps with their ids (``name``, or the position path), those of branches after their container."""
    for number, step in enumerate(steps):
        name = step.name or f"{prefix}{number}"
        yield name, step
        for label, flow in step.flows().items():
            yield from walk(flow.steps, f"{name}.{label}.")


def _place(loc: Loc, shorthand: str) -> str:
    parts = loc[1:] if len(loc) > 1 and loc[0] == shorthand else loc
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """A value of a decision: ``yes`` and ``no`` for conditions, ``nothing`` for null, refusals with their code."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing"
    if isinstance(value, Rejected):
        return f"refused: {value.code} {value.message}"
    return _short(str(value))


# ---------------------------------------------------------------- the route as text


def route_prose(loaded: LoadedRoute) -> list[str]:
    """The route from source to end, one line a step, branches indented."""
    spec = loaded.spec
    lines = [f"{spec.route}" + (f": {spec.summary}" if spec.summary else "")]
    if spec.owner:
        lines.append(f"  owner  {spec.owner}")
    if isinstance(spec.from_, ChannelSource):
        lines.append(f"  from   channel {spec.from_.channel}")
    else:
        lines.append(f"  from   {spec.from_.key} {_options(loaded, ('from', spec.from_.key))}".rstrip())
    places = {id(step): loc for loc, step in specs(spec) if isinstance(step, StepSpec)}
    lines += _steps(loaded, spec.steps, places, "", "  ")
    lines.append(f"  to     {spec.to or 'as the branches above say'}")
    policy = spec.on_error
    waits = f"{as_written(Duration, policy.backoff.first)} to {as_written(Duration, policy.backoff.most)}"
    lines.append(f"  fails  {policy.attempts} attempts, {waits} apart, then a case")
    if spec.on_reject is not None:
        lines.append(f"  refused records go to {spec.on_reject.to} as {spec.on_reject.as_.key}")
    return lines


def _steps(
    loaded: LoadedRoute, steps: tuple[StepSpec, ...], places: dict[int, Loc], prefix: str, indent: str
) -> Iterator[str]:
    names = [step.name or f"{prefix}{number}" for number, step in enumerate(steps)]
    width = max((len(name) for name in names), default=0)
    for name, step in zip(names, steps, strict=True):
        loc = places[id(step)]
        flows = step.flows()
        head = f"{indent}{name:<{max(width, 6)}} {step.key}"
        yield (head if flows else f"{head} {_options(loaded, loc)}").rstrip()
        own = [(where, text) for where, text, owner in expressions(specs(step)) if owner is step]
        whens = {_place(where, step.shorthand): text for where, text in own}
        for index, (label, flow) in enumerate(flows.items()):
            when = whens.get(f"[{index}].when", "")
            yield f"{indent}    {label}: " + (
                f"when {when}" if when else "all others" if step.key == "route" else "always"
            )
            yield from _steps(loaded, flow.steps, places, f"{name}.{label}.", indent + "      ")
            yield f"{indent}      → {flow.to or 'the next step'}"


def _options(loaded: LoadedRoute, loc: Loc) -> str:
    node, _ = loaded.root.find(loc)
    data = node.data()
    if isinstance(data, dict) and loc and str(loc[-1]) in data and len(data) == 1:
        data = data[str(loc[-1])]  # the place of a plug-in ends with its key; the file may have the key alone
    return _short(_compact(data))


def _compact(data: Any) -> str:
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key}: {_compact(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(_compact(item) for item in data) + "]"
    return str(data)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
