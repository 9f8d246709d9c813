"""Configuration files -> validated specs with every problem at its line and column; route versions; JSON Schema."""

from bus.config.landscape import load_landscape
from bus.config.model import Landscape, Loaded, LoadedRoute, SourceFile
from bus.config.pinned import girobus_version, landscape_from_sources, route_hash, sources
from bus.config.problems import Edit, Problem

__all__ = [
    "Edit",
    "Landscape",
    "Loaded",
    "LoadedRoute",
    "Problem",
    "SourceFile",
    "girobus_version",
    "landscape_from_sources",
    "load_landscape",
    "route_hash",
    "sources",
]
