"""Finds plug-ins: every file of the plug-in folders, and entry points. Nothing is registered by hand."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from bus.errors import ConfigError
from bus.spec import ConnectionSpec, EndpointSpec, FormatSpec, Kind, PlugInSpec, StepSpec

_FOLDERS: dict[Kind, str] = {
    "step": "bus.patterns",
    "format": "transforms",
    "endpoint": "endpoints",
    "connection": "endpoints",
}
_BASES: dict[Kind, type[PlugInSpec]] = {
    "step": StepSpec,
    "format": FormatSpec,
    "endpoint": EndpointSpec,
    "connection": ConnectionSpec,
}


class Registry:
    """The real :class:`bus.spec.Catalogue`: folder scan + entry points in the group ``girobus.<kind>s``."""

    def __init__(self) -> None:
        self._found: dict[Kind, dict[str, type[PlugInSpec]]] = {}

    def spec(self, kind: Kind, key: str) -> type[PlugInSpec]:
        """The spec class of a key; KeyError with all known keys otherwise."""
        found = self._all(kind)
        if key not in found:
            raise KeyError(sorted(found))
        return found[key]

    def keys(self, kind: Kind) -> list[str]:
        """All known keys, sorted."""
        return sorted(self._all(kind))

    def _all(self, kind: Kind) -> dict[str, type[PlugInSpec]]:
        if kind not in self._found:
            self._found[kind] = self._scan(kind)
        return self._found[kind]

    def _scan(self, kind: Kind) -> dict[str, type[PlugInSpec]]:
        found: dict[str, type[PlugInSpec]] = {}
        for module in _modules(_FOLDERS[kind]) + [e.module for e in entry_points(group=f"girobus.{kind}s")]:
            for value in vars(import_module(module)).values():
                if not (isinstance(value, type) and issubclass(value, _BASES[kind]) and value.key):
                    continue
                if value.__module__ != module and not value.__module__.startswith(f"{module}."):
                    continue
                if value.key in found and found[value.key] is not value:
                    owners = f"{found[value.key].__module__} and {module}"
                    raise ConfigError("CFG103", f"the {kind} `{value.key}` has two owners: {owners}", hint="rename one")
                found[value.key] = value
        return found


@cache
def _modules(package: str) -> list[str]:
    """The plug-in modules of a package folder: its files and its sub-packages (whose ``__init__`` exports the spec)."""
    path = import_module(package).__path__
    return [f"{package}.{m.name}" for m in pkgutil.iter_modules(path) if not m.name.startswith("_")]


def mapping_support() -> Any:
    """The module of mappings and value tables, found by name: ``MappingSpec``, ``TableSpec``, ``problems(spec)``."""
    return import_module("transforms.mapping")


def template_support() -> Any:
    """The module of templates, found by name; the template engine itself is loaded only to check or render one."""
    return import_module("transforms.template")


def template_problems(name: str, texts: dict[str, str]) -> Any:
    """What is wrong with a template; ``texts`` are all templates by name. Loads the template engine."""
    return import_module("transforms.template.sandbox").problems(name, texts)


def profile_support() -> Any:
    """The module of profiles, found by name: ``ProfileSpec``, ``Profiles`` (all by name), ``shipped_texts()``."""
    return import_module("transforms.profiles")


def models() -> Any:
    """Checks of the canonical models by name (``payment``, ``entry`` …): body -> findings."""
    return import_module("transforms.canonical").MODELS
