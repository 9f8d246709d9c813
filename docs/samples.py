"""Makes the sample files of the bank gateway: a payment run and what the bank answered; the same bytes each time.

``python docs/samples.py`` writes them into ``routes/bank-gateway/samples``. The run comes from the scripted ERP, the
payment file from the shipped routes, status report and statement from the scripted bank.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bus import WriteContext  # noqa: E402 - the source tree need not be installed
from bus.app import App, Surroundings  # noqa: E402
from bus.testing.bank import Answers  # noqa: E402
from bus.testing.clock import ManualClock  # noqa: E402
from bus.testing.landscape import Town, local_edges  # noqa: E402
from bus.testing.payrun import Mix  # noqa: E402
from transforms.iso20022 import Iso20022Spec  # noqa: E402
from transforms.mt940 import Mt940Spec  # noqa: E402

SAMPLES = ROOT / "routes" / "bank-gateway" / "samples"
DAY = date(2026, 11, 24)
RUN, LINES = 8, 8
_ROUNDS = 200


def make(folder: Path) -> None:
    """Write all samples into a folder."""
    with tempfile.TemporaryDirectory(prefix="girobus-samples-") as work:
        clock = ManualClock()
        partners = Path(work) / "partners"
        town = Town(partners, clock, seed=1, answers=Answers(reject_permille=150))
        source, sink = local_edges(partners)
        around = Surroundings(clock=clock, chance=random.Random(1), source=source, sink=sink)  # noqa: S311 - spreads retries, guards nothing
        run = town.erp.payment_run(RUN, LINES, bad_share=1 / LINES, mix=Mix(foreign=1 / LINES))
        path = town.erp.drop(run)
        shutil.copyfile(path, folder / "PAYRUN_sample.csv")
        app = App(ROOT / "routes", around, home=Path(work) / "bus")
        try:
            for _ in range(_ROUNDS):
                app.bus.turn()
                town.work_once()
                clock.advance(100)
        finally:
            app.close()
        town.banks["bank-north"].statement(DAY)
        _keep(partners / "bank-north" / "processed", "*PAIN001_*.xml", folder / "PAIN001_sample.xml")
        _keep(partners / "bank-north" / "outbox", "done/PAIN002_bank-north_*_2.xml", folder / "PAIN002_sample.xml")
        _keep(partners / "bank-north" / "outbox", "CAMT053_*.xml", folder / "CAMT053_sample.xml")
        _older(folder / "CAMT053_sample.xml", folder / "MT940_sample.sta")


def _older(statement: Path, target: Path) -> None:
    """The same statement in the format that came before."""
    parts = []
    for each in ("statements", "entries"):
        with statement.open("rb") as source:
            parts += [part.body for part in Iso20022Spec().build().read(source).parts(each)]
    with target.open("wb") as made:
        Mt940Spec(losses="accept").build().write(parts, made, WriteContext("0" * 32, 0))


def _keep(where: Path, pattern: str, target: Path) -> None:
    """The biggest file of a kind."""
    found = sorted(where.glob(pattern), key=lambda path: (path.stat().st_size, path.name))
    if not found:
        sys.exit(f"no {pattern} in {where}: {sorted(str(p.relative_to(where)) for p in where.rglob('*'))}")
    shutil.copyfile(found[-1], target)


if __name__ == "__main__":
    SAMPLES.mkdir(parents=True, exist_ok=True)
    make(SAMPLES)
    print(f"wrote {len(list(SAMPLES.iterdir()))} files to {SAMPLES.relative_to(ROOT)}")
