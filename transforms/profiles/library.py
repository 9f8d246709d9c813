"""All profiles: those shipped with girobus and those beside the routes, merged along ``extends`` and compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bus import ConfigError
from transforms.profiles.profile import Dated, Profile
from transforms.profiles.specs import EditionSpec, ProfileSpec, RulesSpec

_SUFFIX = ".profile.yaml"


@cache
def shipped_texts() -> dict[str, str]:
    """Name -> text of the profiles that come with girobus."""
    folder = files(__package__) / "shipped"
    found = {entry.name.removesuffix(_SUFFIX): entry for entry in folder.iterdir() if entry.name.endswith(_SUFFIX)}
    return {name: found[name].read_text("utf-8") for name in sorted(found)}


@cache
def shipped(name: str) -> ProfileSpec:
    """One of them. Raises KeyError when there is none of that name."""
    # Texts stay texts (`NO`, `0123`), as in all configuration files; the fields' types say what they mean.
    return ProfileSpec.model_validate(yaml.load(shipped_texts()[name], Loader=yaml.CBaseLoader))  # noqa: S506 - makes texts only


class Profiles:
    """Profiles by name.

    Args:
        own: those beside the routes.
    """

    def __init__(self, own: Mapping[str, ProfileSpec] | None = None) -> None:
        self._own = dict(own or {})
        self._compiled: dict[str, Profile] = {}

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._own, *shipped_texts()})

    def spec(self, name: str) -> ProfileSpec:
        """What is written for a profile.

        Raises:
            ConfigError: ``VAL680`` when there is none of that name.
        """
        if name in self._own:
            return self._own[name]
        try:
            return shipped(name)
        except KeyError:
            near = get_close_matches(name[:64], self.names(), 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(self.names())}"
            raise ConfigError("VAL680", f"there is no profile `{name[:64]}`", hint=hint) from None

    def chain(self, name: str) -> list[ProfileSpec]:
        """The profile and those that it extends, itself first.

        Raises:
            ConfigError: ``VAL680`` (unknown), ``VAL714`` (they extend each other in a circle).
        """
        found = [self.spec(name)]
        while found[-1].extends:
            if any(found[-1].extends == one.profile for one in found):
                way = " → ".join([*(one.profile for one in found), found[-1].extends])
                raise ConfigError("VAL714", f"profiles extend each other in a circle: {way}", hint="cut it")
            found.append(self.spec(found[-1].extends))
        return found

    def editions(self, name: str) -> list[Dated]:
        """The rules of a profile by day, those of all that it extends merged in.

        Raises:
            ConfigError: as :meth:`chain`, or ``VAL713`` when rules contradict each other after merging.
        """
        chain = self.chain(name)
        days = sorted({edition.valid_from for spec in chain for edition in spec.editions if edition.valid_from})
        starts = [None, *days] if all(spec.editions[0].valid_from is None for spec in chain) else days
        # Before every profile of the chain has begun there is no complete rule book.
        first = max((spec.editions[0].valid_from for spec in chain if spec.editions[0].valid_from), default=None)
        begun = [start for start in starts if first is None or (start is not None and start >= first)]
        return [_dated(name, chain, start) for start in begun]

    def model(self, name: str) -> str:
        """Canonical model that a profile is about."""
        return next((spec.model for spec in self.chain(name) if spec.model), "payment")

    def get(self, name: str) -> Profile:
        """A profile, compiled once.

        Raises:
            ConfigError: as :meth:`editions`.
        """
        if name not in self._compiled:
            chain, model = self.chain(name), self.model(name)
            chosen_by = next((spec.chosen_by for spec in chain if spec.chosen_by), "execution_date")
            self._compiled[name] = Profile(name, model, chosen_by, self.editions(name))
        return self._compiled[name]


def _dated(name: str, chain: list[ProfileSpec], start: Any) -> Dated:
    merged: dict[str, Any] = {}
    sources: list[str] = []
    for spec in reversed(chain):
        for edition in _until(spec, start):
            _merge(merged, edition.rules.model_dump(exclude_unset=True))
            sources += [edition.source] if edition.source and edition.source not in sources else []
    try:
        return Dated(start, "; ".join(sources), RulesSpec.model_validate(merged))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        when = f" from {start} on" if start else ""
        hint = "see it whole with `bus profile show`"
        raise ConfigError("VAL713", f"the rules of `{name}`{when}: {place}: {found['msg']}", hint=hint) from None


def _until(spec: ProfileSpec, start: Any) -> Iterator[EditionSpec]:
    return (e for e in spec.editions if e.valid_from is None or (start is not None and e.valid_from <= start))


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    """Mappings are merged key by key; everything else is replaced."""
    for key, value in other.items():
        known = into.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            _merge(known, value)
        else:
            into[key] = value


def unknown_fields(spec: ProfileSpec, model: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(place in the file, name) of the fields that a profile names and payments do not have."""
    from transforms.canonical.models import MODEL_TYPES  # noqa: PLC0415 - pydantic, only when files are checked

    known = set(_paths(MODEL_TYPES[model]))
    for number, edition in enumerate(spec.editions):
        rules = edition.rules
        for index, item in enumerate(rules.required):
            for name in item.split("|"):
                if name.strip() not in known:
                    yield ("editions", number, "rules", "required", index), name.strip()
        for index, name in enumerate(rules.files.grouping):
            if name not in known:
                yield ("editions", number, "rules", "files", "grouping", index), name


def _paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The paths of all fields of a canonical shape."""
    for name, info in model.model_fields.items():
        path = f"{above}{info.alias or name}"
        yield path
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _paths(kind, f"{path}.")
