"""Reads a folder of configuration files into validated specs; collects every problem, not only the first."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from bus.config.checks import cross_check
from bus.config.model import Landscape, Loaded, SourceFile, Template
from bus.config.problems import Problem
from bus.config.wording import validate
from bus.config.yamltext import parse, read_text
from bus.errors import ConfigError
from bus.landscape import ConnectionsSpec, LandscapeSpec, RouteSpec
from bus.registry import Registry, mapping_support, profile_support
from bus.spec import Catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

BUS_FILE = "bus.yaml"
CONNECTIONS_FILE = "connections.yaml"
KINDS = ("route", "mapping", "table", "profile", "test")
"""``NAME.<kind>.yaml``: what a file of a landscape is, and the key that names it."""
TEMPLATE = ".template.j2"
"""How the name of a template file ends."""

# ---------------------------------------------------------------- disk -> texts


def load_landscape(folder: Path, catalogue: Catalogue | None = None) -> Landscape:
    """Read and check all configuration files of a folder.

    Args:
        folder: where ``bus.yaml`` stands. Below it, in any depth but not in hidden folders, ``*.route.yaml``,
            ``*.mapping.yaml``, ``*.table.yaml``, ``*.profile.yaml``, ``*.test.yaml`` and ``*.template.j2`` are read.
        catalogue: where plug-ins are looked up; None = everything installed.

    Raises:
        ConfigError: ``CFG160`` when the folder has no ``bus.yaml``. All else is in ``Landscape.problems``.
    """
    if not (folder / BUS_FILE).is_file():
        hint = "name the folder with -C DIR, or set GIROBUS_CONFIG"
        raise ConfigError("CFG160", f"there is no {BUS_FILE} in {folder}", hint=hint)
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for path in config_paths(folder):
        text, problem = read_text(folder / path, path)
        if problem is None:
            texts[path] = text
        else:
            problems.append(problem)
    return assemble(folder, texts, problems, catalogue)


def config_paths(folder: Path) -> list[str]:
    """The configuration files of a folder, relative to it, sorted; hidden folders (``.bus``, ``.git``) are left out."""
    found = [name for name in (BUS_FILE, CONNECTIONS_FILE) if (folder / name).exists()]
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = PurePosixPath(Path(where).relative_to(folder).as_posix())
        found += [(below / name).as_posix() for name in names if kind_of(name)]
    return sorted(found)


def kind_of(path: str) -> str:
    """``route`` for ``x.route.yaml`` and so on; ``""`` for a file that is none of a landscape's."""
    name = PurePosixPath(path).name
    if name.endswith(TEMPLATE):
        return "template"
    if name in (BUS_FILE, CONNECTIONS_FILE):
        return "" if "/" in path else name.removesuffix(".yaml")
    return next((kind for kind in KINDS if name.endswith((f".{kind}.yaml", f".{kind}.yml"))), "")


# ---------------------------------------------------------------- texts -> landscape


def assemble(
    folder: Path, texts: Mapping[str, str], problems: list[Problem], catalogue: Catalogue | None, *, cross: bool = True
) -> Landscape:
    """A landscape from the texts of its files; ``cross`` = also check what one file says about another."""
    loader = _Loader(catalogue or Registry(), list(problems))
    for path in sorted(texts):
        loader.load(path, texts[path])
    landscape = loader.landscape(folder)
    if cross:
        loader.problems += cross_check(landscape, loader.catalogue)
    loader.problems.sort(key=lambda found: (found.path, found.line, found.column, found.code))
    return loader.landscape(folder)


class _Loader:
    """Collects what the files say, file by file."""

    def __init__(self, catalogue: Catalogue, problems: list[Problem]) -> None:
        self.problems = problems
        self.catalogue = catalogue
        self._files: dict[str, SourceFile] = {}
        self._bus = LandscapeSpec()
        self._connections = ConnectionsSpec()
        self._named: dict[str, dict[str, Loaded[Any]]] = {"route": {}, "mapping": {}, "table": {}, "profile": {}}
        self._templates: dict[str, Template] = {}
        self._tests: list[str] = []

    def load(self, path: str, text: str) -> None:
        """One file."""
        kind = kind_of(path)
        if kind == "test":
            self._tests.append(path)
            return
        if kind == "template":
            self._template(Template(PurePosixPath(path).name.removesuffix(TEMPLATE), path, text))
            return
        if path.endswith(".yml"):
            hint = f"rename it to {PurePosixPath(path).with_suffix('.yaml').name}"
            self.problems.append(
                Problem("CFG191", "error", path, 0, 0, "files end in .yaml, so this one is not read", hint)
            )
            return
        root, problems = parse(text, path)
        self._files[path] = SourceFile(path, text, root)
        if root is None and kind in ("bus", "connections") and [problem.code for problem in problems] == ["CFG189"]:
            return  # all of it has defaults
        self.problems += problems
        if root is None:
            return
        model = _model(kind)
        spec, problems = validate(model, root, path, self.catalogue)
        self.problems += problems
        for part in () if spec is None else spec.parts() if kind == "table" else (spec,):
            self._keep(kind, Loaded(str(getattr(part, kind, "")), part, path, text, root))

    def _keep(self, kind: str, loaded: Loaded[Any]) -> None:
        if kind == "bus":
            self._bus = loaded.spec
        elif kind == "connections":
            self._connections = loaded.spec
        else:
            first = self._named[kind].setdefault(loaded.name, loaded)
            if first is not loaded:
                node = (
                    loaded.root.find((kind,))[0]
                    if kind in loaded.root.keys
                    else loaded.root.find(("tables", loaded.name))[0]
                )
                message = f"the {kind} `{loaded.name}` has two files"
                hint = f"the other is {first.path}; rename one"
                self.problems.append(node.problem("CFG153", loaded.path, message, hint=hint))

    def _template(self, template: Template) -> None:
        self._files[template.path] = SourceFile(template.path, template.text, None)
        first = self._templates.setdefault(template.name, template)
        if first is not template:
            message = f"the template `{template.name}` has two files"
            hint = f"the other is {first.path}; rename one"
            self.problems.append(Problem("CFG153", "error", template.path, 1, 1, message, hint))

    def landscape(self, folder: Path) -> Landscape:
        """What was collected so far."""
        return Landscape(
            folder=folder,
            spec=self._bus,
            connections=dict(self._connections.connections),
            routes=dict(self._named["route"]),
            mappings=dict(self._named["mapping"]),
            tables=dict(self._named["table"]),
            templates=dict(self._templates),
            profiles=dict(self._named["profile"]),
            tests=tuple(self._tests),
            files=dict(self._files),
            problems=tuple(self.problems),
        )


def _model(kind: str) -> type[BaseModel]:
    """The spec that a kind of file is validated by."""
    models: dict[str, type[BaseModel]] = {"bus": LandscapeSpec, "connections": ConnectionsSpec, "route": RouteSpec}
    if kind == "profile":
        models[kind] = profile_support().ProfileSpec
    elif kind in ("mapping", "table"):
        support = mapping_support()
        models[kind] = support.MappingSpec if kind == "mapping" else support.TableSpec
    return models[kind]
