"""``help`` and ``check``: what a person waits for at the prompt. Floor: bare Python that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.measure import Measurement, seconds, told, workplace

_ROUNDS = 7
_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(Path("build/bytecode").resolve()),
}
_BUS = [sys.executable, "-c", "from bus.cli import main; main()"]


def median(command: list[str], cwd: Path) -> float:
    """Median wall seconds of a command; the first run, which compiles the program, does not count."""

    def run() -> None:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, env=_ENVIRONMENT)

    run()
    times = sorted(seconds(run) for _ in range(_ROUNDS))
    return times[_ROUNDS // 2]


def routes(folder: Path, count: int) -> None:
    """A landscape with many generated routes of ordinary size."""
    (folder / "bus.yaml").write_text(
        "name: many\noutlets:\n  out: {endpoint: {file: {path: out, name: '{id}'}}}\n", "utf-8"
    )
    for n in range(count):
        (folder / f"r{n}.route.yaml").write_text(
            f"route: route-{n}\nsummary: generated\nowner: team-{n % 7}\n"
            f"from: {{file: {{path: in{n}, match: '*.csv', ready: {{suffix: .tmp}}}}}}\n"
            "steps:\n  - parse: {csv: {delimiter: ';'}}\n  - split: {name: rows, each: rows, keys: {id: id}}\n"
            "  - route:\n      - when: to_number(amount) > 1000 && is_sepa(iban)\n        to: out\n"
            "      - when: in(country, 'NO', 'SE')\n        to: out\n      - otherwise: none\n",
            "utf-8",
        )


def main(name: str) -> None:
    """``help`` or ``check``."""
    with workplace() as folder:
        where = folder.resolve()
        if name == "help":
            took, size = median([*_BUS, "--help"], Path.cwd()), "1"
        else:
            routes(where, 500)
            took, size = median([*_BUS, "-C", str(where), "check"], Path.cwd()), "500"
        below = median([sys.executable, "-c", "pass"], Path.cwd())
    told(Measurement(name, size, round(took, 3), "s", round(took, 3), 0.0, round(below, 3), round(took / below, 1)))


if __name__ == "__main__":
    main(sys.argv[1])
