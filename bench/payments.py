"""``pain001_from_csv``: a payment run of the ERP becomes one validated pain.001.001.09.

Control totals, mapping, canonical check, written and validated against the schema. Floor: lxml parses and validates
the finished file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lxml import etree

from bench.files import payment_run
from bench.measure import Measurement, Memory, seconds, told, workplace
from bus.app import App, StepSurroundings, Surroundings, calm_collector
from bus.ledger.store import Store
from bus.ports import WriteContext
from bus.testing.landscape import schemas

ROUTES = Path(__file__).parent.parent / "routes"


def translate(folder: Path, run: Path) -> tuple[float, float, Path]:
    """(seconds, peak growth in MB, the written file)."""
    app = App(ROUTES, Surroundings(store=Store(None)), home=folder / "home")
    spec = app.landscape.routes["payments-out"].spec
    around = StepSurroundings(app, app.landscape, "payments-out", "bench")
    mapping = around.mapping("erp-payment-to-canonical")
    reader = around.format(spec.steps[0].format)
    writer = around.format(_pain001(spec))
    target = folder / "out.xml"
    calm_collector()

    def payments(source: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a generator for the writer below
        with source.open("rb") as stream:
            for part in reader.read(stream).parts("rows"):
                if part.error is not None:
                    raise part.error
                yield mapping(part.body)

    def work() -> None:
        with target.open("w+b") as out:
            writer.write(payments(run), out, WriteContext("ab" * 16, 1_795_420_800_000))

    with Memory() as memory:
        took = seconds(work)
    app.close()
    return took, memory.growth_mb, target


def _pain001(spec: object) -> object:
    """The format of the first ``translate: {to: pain.001 …}`` in the shipped route."""
    for step in spec.steps:  # type: ignore[attr-defined]  # a RouteSpec
        for flow in step.flows().values():
            for inner in flow.steps:
                if getattr(inner, "to", None) is not None and hasattr(inner, "profile"):
                    return inner.to
    raise SystemExit("the route writes no pain.001")


def floor(file: Path) -> float:
    """Seconds that lxml takes to parse and validate the finished file."""
    schema = etree.XMLSchema(file=str(schemas() / "pain.001.001.09.xsd"))

    def work() -> None:
        if not schema.validate(etree.parse(file)):
            raise SystemExit(f"the written file is not valid: {schema.error_log[0]}")

    return seconds(work)


def main(lines: int) -> None:
    """One round."""
    with workplace() as folder:
        run = payment_run(folder / "run.csv", lines)
        took, grown, out = translate(folder, run)
        below = floor(out)
    rate = lines / took
    told(
        Measurement(
            "pain001_from_csv",
            str(lines),
            round(rate),
            "payments/s",
            round(took, 3),
            grown,
            round(lines / below),
            round(below / took, 3),
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
