"""Every error code: what it means and what to do; ``bus explain CODE`` and the docs page are made from these tables.

Classes: ``CFG`` configuration, ``VAL`` content breaks a rule, ``MAP`` mapping, ``TPL`` template, ``DUP`` duplicate,
``NET`` partner or transport, ``REJ`` refused by the partner, ``SEQ`` out of order, ``SLA`` late, ``POL`` policy of
ours, ``SEC`` hostile or forbidden input, ``SYS`` this machine or process, ``INT`` our bug or a damaged store.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Code(NamedTuple):
    """One row: a headline, what it means, what to do."""

    title: str
    means: str
    do: str


@cache
def codes() -> dict[str, Code]:
    """All codes, sorted.

    Raises:
        ValueError: two tables own the same code, or a row lacks one of title, means, do.
    """
    import yaml  # noqa: PLC0415 - only `explain`, the docs and the tests read the tables

    found: dict[str, Code] = {}
    for table in sorted(f.name for f in files(__name__).iterdir() if f.name.endswith(".yaml")):
        text = (files(__name__) / table).read_text("utf-8")
        rows = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506 - both are safe
        for code, row in rows.items():
            if code in found:
                raise ValueError(f"{code} stands twice in bus/codes")
            found[code] = Code(row["title"], row["means"], row["do"])
    return dict(sorted(found.items()))
