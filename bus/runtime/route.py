"""The compiled versions of all routes: the current ones for new input, old ones for messages pinned to them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bus.errors import ConfigError
from bus.runtime.pipeline import CompiledRoute

Recompile = Callable[[int, str], CompiledRoute | None]
"""Compiles a stored version by its ledger number, or None when it is not of the route of that name.

Raises ConfigError when this program no longer can.
"""


class RouteBook:
    """Finds the version a message is pinned to. Thread-safe.

    An old version that nobody asked for between two reloads is dropped; whoever asks again gets it compiled again.
    """

    def __init__(self, recompile: Recompile) -> None:
        self._recompile = recompile
        self._lock = threading.Lock()
        self._current: dict[str, CompiledRoute] = {}
        self._versions: dict[int, CompiledRoute] = {}
        self._asked: set[int] = set()

    def install(self, routes: list[CompiledRoute]) -> None:
        """Make these the current versions; those already running go on with theirs."""
        with self._lock:
            kept = self._asked | {route.version for route in self._current.values()}
            self._versions = {version: route for version, route in self._versions.items() if version in kept}
            self._versions |= {route.version: route for route in routes}
            self._asked = set()
            self._current = {route.name: route for route in routes}

    def current(self, name: str) -> CompiledRoute:
        """The version new input takes.

        Raises:
            ConfigError: ``CFG169`` when no such route is loaded any more.
        """
        route = self._current.get(name)
        if route is None:
            raise ConfigError("CFG169", f"route `{name}` is not loaded", hint="put its file back until it is drained")
        return route

    def pinned(self, route: str, version: int) -> CompiledRoute:
        """The version with that ledger number, or the current one for 0 or another route's number."""
        found = self._versions.get(version)
        self._asked.add(version)
        if found is None and version:
            found = self._recompile(version, route)
            if found is not None:
                with self._lock:
                    self._versions[version] = found
        if found is None or found.name != route:
            return self.current(route)
        return found

    def names(self) -> list[str]:
        """Names of the current routes."""
        return sorted(self._current)
