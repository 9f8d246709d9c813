"""Who does the hop, from ``hop`` to three queues: our own processes, C, Apache Camel, Redpanda Connect."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bench.peers.place import OUT, PREFETCH, Place, enveloped, expected, payment
from bus.message import decode

HERE = Path(__file__).parent
BUILD = Path("build")
_NEARLY = Decimal("0.000001")

Check = Callable[[str, bytes], int]
"""(queue, body) -> the number of the message; ValueError when it is wrong."""


@dataclass(frozen=True, slots=True)
class Runner:
    """One way to do the hop.

    Attributes:
        name: as in ``build/bench.jsonl``.
        command: the program and what differs in its environment, for the place and the number of the process.
        body: the n-th message as it takes it.
        check: reads what it put out.
        warm: how many messages it may do before it is measured, for each that is.
        once: whether it promises that nothing comes out twice.
    """

    name: str
    command: Callable[[Place, int], tuple[list[str], dict[str, str]]]
    body: Callable[[int], bytes]
    check: Check
    warm: float = 0.25
    once: bool = False

    def start(self, place: Place, number: int, log: Path) -> subprocess.Popen[bytes]:
        """Start the number-th process."""
        command, environment = self.command(place, number)
        with log.open("ab") as out:
            return subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=HERE / "camel" if self.name.startswith("camel") else None,
            )


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """SIGTERM, and SIGKILL for who does not hear it in twenty seconds."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# ---------------------------------------------------------------- our own


def girobus(name: str, guarantee: str) -> Runner:
    """``bus run`` on the landscape of that guarantee, with a store of its own for each process."""

    def command(place: Place, number: int) -> tuple[list[str], dict[str, str]]:
        folder = place.folders[guarantee]
        store = str((folder / f"store{number}").resolve())
        return [str(Path(sys.executable).with_name("bus")), "run", "--config", str(folder)], {"GIROBUS_STORE": store}

    return Runner(name, command, enveloped, _journal_message, once=guarantee == "effectively-once")


def _journal_message(queue: str, raw: bytes) -> int:
    return _same(queue, decode(raw).body)


def _same(queue: str, record: Any, *, exact: bool = True) -> int:
    """Compare a journal record with what it must be."""
    n = int(record["document"].rpartition("-")[2])
    right, wanted = expected(n)
    tax = Decimal(str(record.pop("tax")))
    near = tax - wanted.pop("tax")
    record["amount"]["value"] = Decimal(str(record["amount"]["value"]))
    if queue != right or record != wanted or (near if exact else abs(near) > _NEARLY):
        raise ValueError(f"payment {n} came out wrong in {queue}")
    return n


# ---------------------------------------------------------------- C


def c_reference() -> Runner | str:
    """The C program, built here; or why there is none."""
    compiler = shutil.which("cc")
    if compiler is None:
        return "there is no C compiler (cc)"
    program = BUILD / "hop"
    BUILD.mkdir(exist_ok=True)
    built = subprocess.run(
        [compiler, "-O2", HERE / "hop.c", "-o", program], capture_output=True, text=True, check=False
    )
    if built.returncode:
        return f"cc: {built.stderr.strip()[:200]}"

    def command(place: Place, _number: int) -> tuple[list[str], dict[str, str]]:
        return [str(program), str(place.port), str(PREFETCH), place.queue("hop"), *map(place.queue, OUT)], {}

    def check(_queue: str, raw: bytes) -> int:
        body = decode(raw).body
        n = int(body["end_to_end_id"].rpartition("-")[2])
        if body != payment(n):
            raise ValueError(f"payment {n} came out wrong")
        return n

    return Runner("c", command, enveloped, check)


# ---------------------------------------------------------------- Camel


def camel(route: str, consumers: int = 128, prefetch: int = 16) -> Runner | str:
    """Apache Camel with one of its two routes, built by Maven; or why there is none."""
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        return "there is no java, or no mvn"
    target = (BUILD / "camel").resolve()
    if not (target / "lib").exists():
        built = subprocess.run([maven, "-q", "-B", "package"], cwd=HERE / "camel", capture_output=True, check=False)
        if built.returncode:
            return f"mvn: {built.stdout.decode(errors='replace').strip()[:200]}"

    def command(place: Place, _number: int) -> tuple[list[str], dict[str, str]]:
        places = f".:{target}/classes:{target}/lib/*"
        options = ["-Xms512m", "-Xmx512m", "-XX:+UseParallelGC"]
        environment = {
            "ROUTE": route,
            "PORT": str(place.port),
            "CONSUMERS": str(consumers),
            "PREFETCH": str(prefetch),
        }
        return [java, *options, "-cp", places, "org.apache.camel.main.Main"], environment

    def check(queue: str, raw: bytes) -> int:
        # jq computes in binary floating point: the tax is only nearly right.
        return _same(queue, msgspec.json.decode(raw, type=dict, strict=False), exact=route == "java")

    return Runner(f"camel_{route}", command, bare, check, warm=1.0)


_bare = msgspec.json.Encoder(decimal_format="number")


def bare(n: int) -> bytes:
    """The n-th payment as plain JSON."""
    return _bare.encode(payment(n))


# ---------------------------------------------------------------- Redpanda Connect

_REDPANDA = """
input:
  amqp_0_9:
    urls: ["amqp://guest:guest@127.0.0.1:{port}/"]
    queue: hop
    prefetch_count: 1000
pipeline:
  threads: 2
  processors:
    - mapping: |
        let accounts = {{"DE89370400440532013000": "1800"}}
        meta queue = if this.amount.currency == "EUR" && this.amount.value.number() < 5000 {{ "sepa" }}
          else if this.amount.currency == "USD" {{ "swift" }} else {{ "manual" }}
        root.document = this.end_to_end_id
        root.account = $accounts.get(this.debtor.account.iban).or("unknown")
        root.supplier.name = this.creditor.name
        root.supplier.iban = this.creditor.account.iban
        root.amount = this.amount
        root.tax = this.amount.value.number() * 0.19
        root.text = this.remittance.unstructured.index(0)
        root.booked = this.execution_date
output:
  amqp_0_9:
    urls: ["amqp://guest:guest@127.0.0.1:{port}/"]
    exchange: ""
    key: ${{! meta("queue") }}
    persistent: true
    mandatory: true
    max_in_flight: 256
"""


def redpanda() -> Runner | str:
    """Redpanda Connect where its program is on the PATH; or why there is none."""
    program = shutil.which("redpanda-connect")
    if program is None:
        return "there is no redpanda-connect on the PATH"

    def command(place: Place, _number: int) -> tuple[list[str], dict[str, str]]:
        file = BUILD / "redpanda.yaml"
        file.write_text(_REDPANDA.format(port=place.port), "utf-8")
        return [program, "run", str(file)], {}

    def check(queue: str, raw: bytes) -> int:
        return _same(queue, msgspec.json.decode(raw), exact=False)

    return Runner("redpanda", command, bare, check)
