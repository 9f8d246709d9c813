"""The version of a route: a hash over all that decides what it does, and the texts that make it again later.

Messages are pinned to the version under which they entered. Connections and secrets are no part of it, so
that an address or a password changes without a release.
"""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bus.config.fields import specs
from bus.config.landscape import assemble
from bus.errors import ConfigError
from bus.registry import mapping_support, profile_support, template_support
from bus.spec import Catalogue, PlugInSpec, Secret

if TYPE_CHECKING:
    from bus.config.model import Landscape, Loaded, LoadedRoute, Template


SHIPPED = "shipped"
"""Folder, in the stored sources of a version, of profiles that came with girobus."""


def route_hash(landscape: Landscape, route: LoadedRoute) -> str:
    """64 hex characters over the route, the mappings, tables, profiles and templates it uses, and girobus' own version.

    Comments, quotes and the order of a spec's keys do not change it; a default that a release changes does.
    """
    mappings, tables = used(landscape, route)
    content: dict[str, Any] = {
        "girobus": girobus_version(),
        "route": canonical(route.spec),
        "mappings": {loaded.name: canonical(loaded.spec) for loaded in mappings},
        "tables": {loaded.name: canonical(loaded.spec) for loaded in tables},
        "profiles": {name: canonical(spec) for name, spec, _, _ in used_profiles(landscape, route)},
    }
    templates = used_templates(landscape, route)
    if templates:
        content["templates"] = {template.name: template.text for template in templates}
    return sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def sources(landscape: Landscape, route: LoadedRoute) -> dict[str, str]:
    """Path -> text of every file needed to compile this version again: the route and all that it uses.

    Profiles that are shipped are kept too: an old version goes on by the rules that it began with.

    ``bus.yaml`` is not among them: ways out are names to a route, and an outlet that is gone must not keep an old
    version from being compiled.
    """
    mappings, tables = used(landscape, route)
    texts = {loaded.path: loaded.text for loaded in (route, *mappings, *tables)}
    texts |= {path: text for _, _, path, text in used_profiles(landscape, route)}
    return texts | {template.path: template.text for template in used_templates(landscape, route)}


def landscape_from_sources(texts: dict[str, str], catalogue: Catalogue | None = None) -> Landscape:
    """The inverse of :func:`sources`: a landscape with that one route.

    Raises:
        ConfigError: a text that was once accepted is not any more, because a plug-in of it is gone.
    """
    return assemble(Path(), texts, [], catalogue, cross=False).require()


def used(landscape: Landscape, route: LoadedRoute) -> tuple[list[Loaded[Any]], list[Loaded[Any]]]:
    """The mappings and the value tables that a route's outcome depends on, sorted by name."""
    named = {name for _, spec in specs(route.spec) if isinstance(name := getattr(spec, "mapping", None), str)}
    known = {name: loaded.spec for name, loaded in landscape.mappings.items()}
    names = mapping_support().used(named, known) if named else ()
    mappings = [landscape.mappings[name] for name in sorted(names)]
    tables = [loaded for name, loaded in sorted(landscape.tables.items()) if _names(name, [route, *mappings])]
    return mappings, tables


def used_templates(landscape: Landscape, route: LoadedRoute) -> list[Template]:
    """The templates of a route, with those that they include, sorted by name."""
    todo = [name for _, spec in specs(route.spec) if isinstance(name := getattr(spec, "template", None), str) and name]
    found: dict[str, Template] = {}
    while todo:
        template = landscape.templates.get(todo.pop())
        if template is not None and template.name not in found:
            found[template.name] = template
            todo += template_support().included(template.text)
    return [found[name] for name in sorted(found)]


def used_profiles(landscape: Landscape, route: LoadedRoute) -> list[tuple[str, BaseModel, str, str]]:
    """(name, spec, path, text) of the profiles that a route names and of those that they extend, sorted by name."""
    names = {name for _, spec in specs(route.spec) if (name := getattr(spec, "profile", "")) and isinstance(name, str)}
    if not names:
        return []
    support = profile_support()
    every = support.Profiles({name: loaded.spec for name, loaded in landscape.profiles.items()})
    needed = {spec.profile: spec for name in sorted(names) for spec in every.chain(name)}
    found = []
    for name, spec in sorted(needed.items()):
        own = landscape.profiles.get(name)
        path = own.path if own is not None else f"{SHIPPED}/{name}.profile.yaml"
        found.append((name, spec, path, own.text if own is not None else support.shipped_texts()[name]))
    return found


def _names(table: str, readers: list[Loaded[Any]]) -> bool:
    """Whether one of the texts has the table's name as a word.

    Looser than following every ``lookup``: a table too many in the version only makes a new version when it changes,
    one too few would let an old message be translated by new values.
    """
    word = re.compile(rf"(?<![\w-]){re.escape(table)}(?![\w-])")
    return any(word.search(reader.text) for reader in readers)


def canonical(value: Any) -> Any:
    """A validated value as plain JSON data: with every default, keys as they are written, plug-ins under theirs."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        plain = {info.alias or name: canonical(getattr(value, name)) for name, info in fields.items()}
        return {value.key: plain} if isinstance(value, PlugInSpec) else plain
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, Secret):
        return value.reference
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@cache
def girobus_version() -> str:
    """Version of the installed distribution; of ``pyproject.toml`` where this runs from a source tree.

    Raises:
        ConfigError: ``CFG192`` when neither is there: route versions could not be told apart over an upgrade.
    """
    try:
        return installed("girobus")
    except PackageNotFoundError:
        import tomllib  # noqa: PLC0415 - only in a source tree

        try:
            project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
            return str(project["version"])
        except (OSError, KeyError, tomllib.TOMLDecodeError):
            hint = "install it with pip, or run it from its source tree"
            raise ConfigError("CFG192", "the version of girobus is not known", hint=hint) from None
