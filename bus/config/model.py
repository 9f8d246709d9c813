"""A landscape: what all the configuration files of a folder say, validated, with the text and place of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bus.landscape import LandscapeSpec, RouteSpec
from bus.spec import ConnectionSpec

if TYPE_CHECKING:
    from pathlib import Path

    from bus.config.problems import Problem
    from bus.config.yamltext import Node

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One configuration file as it was read; ``root`` is None when it is no acceptable YAML."""

    path: str
    text: str
    root: Node | None


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A validated spec and the file it came from; ``path`` is relative to the landscape's folder."""

    name: str
    spec: S
    path: str
    text: str
    root: Node = field(repr=False, compare=False)


LoadedRoute = Loaded[RouteSpec]


@dataclass(frozen=True, slots=True)
class Template:
    """A template for text outputs, ``NAME.template.j2``."""

    name: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Landscape:
    """All that a folder says. What is broken is missing from ``routes``, ``mappings`` …, and told in ``problems``."""

    folder: Path
    spec: LandscapeSpec
    connections: dict[str, ConnectionSpec]
    routes: dict[str, LoadedRoute]
    mappings: dict[str, Loaded[Any]]
    tables: dict[str, Loaded[Any]]
    templates: dict[str, Template]
    profiles: dict[str, Loaded[Any]]
    tests: tuple[str, ...]
    """Paths of the test files, which the test runner reads by itself."""
    files: dict[str, SourceFile]
    problems: tuple[Problem, ...]

    def require(self) -> Landscape:
        """Itself, when there is no error.

        Raises:
            ConfigError: the first error, with the number of the others in its hint.
        """
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if not errors:
            return self
        error = errors[0].as_error()
        if len(errors) > 1:
            others = "1 more error" if len(errors) == 2 else f"{len(errors) - 1} more errors"
            error.hint = " · ".join(filter(None, (error.hint, f"{others}: bus check")))
        raise error
