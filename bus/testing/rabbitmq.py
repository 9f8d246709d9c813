"""Real RabbitMQ nodes on loopback for tests: one, or a cluster; killed, frozen, started again, removed at the end.

Where a Docker engine answers, a single node may run in a container instead (``testcontainers``); see :func:`broker`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from bus.testing.containers import docker_answers

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_START = 90.0
_TRIES = 3
_STANDING = 10.0
# Terms of Erlang are read at once; what `rabbitmq.conf` says would be translated first, at every start, in a second.
_CONFIG = """\
[{rabbit, [{cluster_partition_handling, pause_minority}, {disk_free_limit, 50000000}, {loopback_users, []},
           {log, [{console, [{enabled, false}]}]}]},
 {kernel, [{net_ticktime, 15}]}].
"""
# Below those that the system gives to outgoing connections, one of which might have a port when a node that was killed
# starts again. Processes side by side draw from parts of their own, and none draws a port twice before it had all.
_PART = 500
_FIRST = 20_000 + os.getpid() % 24 * _PART
_PORTS = cycle(random.sample(range(_FIRST, _FIRST + _PART), _PART))
# Little of the machine: one scheduler a node and no busy waiting, so that several fit beside the tests.
_ERLANG = "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitNode:
    """One node. ``port`` speaks AMQP on 127.0.0.1."""

    def __init__(self, home: Path, name: str, port: int, ports: tuple[int, int], erlang: str = _ERLANG) -> None:
        self.home, self.name, self.port = home, name, port
        self._erlang = erlang
        self._distribution, self._names = ports
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it serves; what ends by itself or hangs is started again, as a service manager would.

        Raises:
            RuntimeError: it does not come up.
        """
        for _try in range(_TRIES):
            self._launch()
            end = monotonic() + _START
            while self.running() and monotonic() < end:
                if self._serves() and self.call("rabbit", "is_booted") == "true":
                    return
                sleep(0.1)
            self.kill()
        raise RuntimeError(f"RabbitMQ did not start:\n{self._out.read_text('utf-8', 'replace')[-2_000:]}")

    @property
    def _out(self) -> Path:
        return self.home / f"{self.name}.out"

    def _launch(self) -> None:
        with self._out.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the distribution's program
                [_PROGRAMS / "rabbitmq-server"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to the node and its children."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: alive, but it answers nothing. Waits until all threads stand: a busy machine takes its time."""
        self._signal(signal.SIGSTOP)
        end = monotonic() + _STANDING
        while self._process is not None and self.running() and not _stands(self._process.pid) and monotonic() < end:
            sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def control(self, *command: str, check: bool = True, tool: str = "rabbitmqctl") -> int:
        """Run a command of ``rabbitmqctl``; its exit code. With ``check`` it is one that may be repeated."""
        return self._told(tool, *command, check=check).returncode

    def ask(self, *command: str, tool: str = "rabbitmqctl") -> str:
        """What a command of ``rabbitmqctl`` prints."""
        return self._told(tool, *command, check=True).stdout.decode()

    def call(self, module: str, function: str) -> str:
        """What a function of the node without arguments returns, as Erlang writes it; empty when nobody answers.

        It takes milliseconds, where a command of ``rabbitmqctl`` starts a virtual machine of its own.
        """
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            return ""
        words = ["-c", cookie.read_text("ascii").strip(), "-address", str(self._distribution)]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(  # noqa: S603 - part of Erlang
                ["erl_call", *words, "-a", f"{module} {function} []"],  # noqa: S607 - as above
                env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False,
            )  # fmt: skip
            return done.stdout.decode() if done.returncode == 0 else ""
        return ""

    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def _told(self, tool: str, *command: str, check: bool) -> subprocess.CompletedProcess[bytes]:
        """What must succeed is tried again: a slow node fails at what it does a moment later, or has done by then.

        Raises:
            RuntimeError: it fails, or nobody answers.
        """
        why = ""
        for _try in range(_TRIES if check else 1):
            try:
                return subprocess.run(  # noqa: S603 - the distribution's program
                    [_PROGRAMS / tool, "-q", "-n", self.name, *command],
                    env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=90, check=check,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                why = error.stderr.decode(errors="replace")[-500:]
            except subprocess.TimeoutExpired:
                why = "no answer"
        raise RuntimeError(f"{tool} {command[0]}: {why}")

    def _signal(self, number: int) -> None:
        if self._process is not None and self.running():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _serves(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
            return True
        return False

    def _environment(self) -> dict[str, str]:
        home = self.home
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(home / f"{self.name}.data"),
            "RABBITMQ_LOG_BASE": str(home / f"{self.name}.log"),
            "RABBITMQ_PID_FILE": str(home / f"{self.name}.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "environment"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": self._erlang,
        }


class RabbitCluster:
    """``with RabbitCluster(3) as cluster:``; ``cluster.nodes`` serve one cluster; ``erlang`` = its options."""

    def __init__(self, count: int = 1, *, erlang: str = _ERLANG) -> None:
        self._count, self._erlang = count, erlang
        self.home = Path()
        self.nodes: list[RabbitNode] = []

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run it; empty when nothing."""
        return "" if (_PROGRAMS / "rabbitmq-server").exists() else "no RabbitMQ here (apt-get install rabbitmq-server)"

    @property
    def url(self) -> str:
        """``amqp://127.0.0.1:port,…`` of all nodes."""
        return "amqp://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start all nodes that do not run, at the same time: some may have to wait for the last that stopped."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(RabbitNode.start, [node for node in self.nodes if not node.running()]))

    def kill(self) -> None:
        """SIGKILL to all nodes."""
        for node in self.nodes:
            node.kill()

    def ask(self, *command: str) -> str:
        """What a command of ``rabbitmqctl`` prints at the first node that runs."""
        return next(node for node in self.nodes if node.running()).ask(*command)

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="girobus-rabbit-"))
        (self.home / "rabbitmq.config").write_text(_CONFIG)
        (self.home / "plugins").write_text("[].")
        (self.home / "environment").touch()
        names = free_port()
        mark = os.urandom(3).hex()
        for n in range(self._count):
            node = RabbitNode(self.home, f"r{n + 1}{mark}@localhost", free_port(), (free_port(), names), self._erlang)
            self.nodes.append(node)
        try:
            for node in self.nodes:
                node.start()
            for node in self.nodes[1:]:
                node.control("stop_app")
                node.control("join_cluster", self.nodes[0].name)
                node.control("start_app")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.thaw()
            node.kill()
        environment = {"PATH": os.environ.get("PATH", ""), "ERL_EPMD_PORT": str(self.nodes[0]._names)}  # noqa: SLF001 - its own module
        for _try in range(30):  # the name server ends only when it has noticed that the nodes are gone
            asked = subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)  # noqa: S607 - part of Erlang
            if b"not allowed" not in asked.stdout + asked.stderr:
                break
            sleep(0.1)
        shutil.rmtree(self.home, ignore_errors=True)


def _stands(pid: int) -> bool:
    """Whether no thread of a process runs."""
    try:
        threads = [text.read_text() for text in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False  # one ended just now
    return all(text.rpartition(")")[2].split()[0] in "TtZ" for text in threads)


def free_port() -> int:
    """A port on loopback that nobody listens on now, nor did anybody in this process get it lately."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def broker() -> Iterator[str]:
    """URL of one node: in a container where a Docker engine answers, else of the distribution's own programs."""
    if docker_answers():
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - only where Docker is
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415 - as above

        # Not RabbitMqContainer: its module warns at every import that it is made the old way.
        ready = LogMessageWaitStrategy("Server startup complete")
        with DockerContainer("rabbitmq:4", ports=[5672]).waiting_for(ready) as container:
            yield f"amqp://{container.get_container_host_ip()}:{container.get_exposed_port(5672)}"
        return
    with RabbitCluster(1) as cluster:
        yield cluster.url


def missing() -> str:
    """What this machine lacks for :func:`broker`; empty when nothing."""
    return "" if docker_answers() else RabbitCluster.missing()
