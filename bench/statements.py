"""``camt053_store``: a camt.053 is split, each entry is stored durably as a message of canonical JSON.

Its balances are proved before anything of it is seen. Floor: lxml reads the same file, entry by entry, and throws it
away. ``camt053_store_xsd``: the same with the file validated against its XML Schema, by both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lxml import etree

from bench.files import camt053
from bench.measure import Measurement, Memory, seconds, told, workplace
from bus.app import App, calm_collector
from bus.testing.landscape import schemas

LANDSCAPE = {
    "bus.yaml": "name: bench\n",
    "in.route.yaml": """
route: statements
from: {file: {path: inbox, match: "*.xml", ready: {suffix: .tmp}, max_size: 2GB}}
money: signed
steps:
  - parse: {iso20022: {validate: VALIDATE}}
  - split: {name: entries, each: entries, keys: {entry: reference}}
to: none
""",
}


def store(folder: Path, file: Path, validate: str) -> tuple[float, float]:
    """(seconds, peak growth in MB) from the file in the inbox to all entries visible in a durable channel."""
    for name, text in LANDSCAPE.items():
        (folder / name).write_text(text.replace("VALIDATE", validate), "utf-8")
    (folder / "inbox").mkdir()
    file.rename(folder / "inbox" / file.name)
    app = App(folder)
    calm_collector()

    def work() -> None:
        app.bus.poll_once("statements")
        app.bus.run_batch("statements")

    with Memory() as memory:
        took = seconds(work)
    stored = app.broker.depth("statements#entries")
    app.close()
    if stored != int(file.stem):
        raise SystemExit(f"{stored} entries stored instead of {file.stem}")
    return took, memory.growth_mb


def floor(file: Path, validate: str = "off") -> float:
    """Seconds that lxml takes to read and drop every entry."""
    rules = etree.XMLSchema(file=str(schemas() / "camt.053.001.08.xsd")) if validate != "off" else None

    def work() -> None:
        for _, element in etree.iterparse(file, tag="{*}Ntry", resolve_entities=False, no_network=True, schema=rules):
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]

    return seconds(work)


def main(entries: int, validate: str) -> None:
    """One round; the file is made anew."""
    with workplace() as folder:
        file = camt053(folder / f"{entries}.xml", entries)
        below = floor(file, validate)
        took, grown = store(folder, file, validate)
    rate = entries / took
    told(
        Measurement(
            "camt053_store" if validate == "off" else "camt053_store_xsd",
            str(entries),
            round(rate),
            "entries/s",
            round(took, 3),
            grown,
            round(entries / below),
            round(below / took, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "off")
