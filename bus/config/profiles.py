"""Checks what profiles say about each other: what they extend, and whether their rules fit together when merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.config.problems import Problem, listed, nearest
from bus.errors import ConfigError
from bus.registry import profile_support

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bus.config.model import Landscape, Loaded


def profile_problems(landscape: Landscape) -> Iterator[Problem]:
    """All problems of the profiles beside the routes."""
    if not landscape.profiles:
        return
    support = profile_support()
    every = support.Profiles({name: loaded.spec for name, loaded in landscape.profiles.items()})
    for loaded in landscape.profiles.values():
        if loaded.name in support.shipped_texts():
            hint = f"choose another name, with `extends: {loaded.name}` inside"
            yield _at(loaded, ("profile",), "VAL716", f"`{loaded.name}` is a profile that girobus brings along", hint)
        elif loaded.spec.extends and loaded.spec.extends not in every.names():
            yield _unknown(loaded, every.names())
        else:
            yield from _merged(loaded, every, support)


def misused_profiles(landscape: Landscape, steps: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, str, str, str]]:
    """Profiles that steps write by: unknown ones in the options of a format, and those about something else.

    Gives (place, code, message, hint).
    """
    every: Any = None
    for loc, step in steps:
        form = getattr(step, "to", None)
        name = getattr(form, "profile", "")
        if form is None or not name:
            continue
        if every is None:
            own = {known: loaded.spec for known, loaded in landscape.profiles.items()}
            every = profile_support().Profiles(own)
        place = (*loc, "profile") if getattr(step, "profile", "") else (*loc, "to", form.key, "profile")
        if name not in every.names():
            if place[-2] == form.key:  # one of the step itself is told with its other names
                near = nearest(name, every.names())
                hint = f"did you mean `{near}`?" if near else f"known: {listed(every.names())}"
                yield place, "CFG163", f"there is no profile `{name}`", hint
            continue
        models = form.ruled_models()
        try:
            model = every.model(name)
        except ConfigError:
            continue  # told where the profile is written
        if model not in models:
            hint = f"here goes one about a {' or a '.join(models)}" if models else "no profile has rules for it"
            yield place, "VAL717", f"the profile `{name}` is about a {model}, what is written here is not", hint


def _unknown(loaded: Loaded[Any], names: list[str]) -> Problem:
    wanted = loaded.spec.extends
    near = nearest(wanted, names)
    hint = f"did you mean `{near}`?" if near else f"known: {listed(names)}"
    return _at(loaded, ("extends",), "VAL680", f"there is no profile `{wanted}`", hint)


def _merged(loaded: Loaded[Any], every: Any, support: Any) -> Iterator[Problem]:
    try:
        every.editions(loaded.name)
    except ConfigError as error:
        place = ("extends",) if error.code in ("VAL680", "VAL714") else ("editions",)
        yield _at(loaded, place, error.code, error.message, error.hint)
        return
    for loc, field in support.unknown_fields(loaded.spec, every.model(loaded.name)):
        yield _at(loaded, loc, "VAL715", f"there is no field `{field}`", "names are those of the canonical shapes")


def _at(loaded: Loaded[Any], loc: tuple[str | int, ...], code: str, message: str, hint: str) -> Problem:
    node, _ = loaded.root.find(loc)
    return node.problem(code, loaded.path, message, hint=hint)
