"""The partners of a bank gateway, scripted: an ERP and banks over local folders, behind SFTP servers or without."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from bus.errors import ConfigError
from bus.ports import Clock, EffectHook, Sink, Source
from bus.registry import Registry
from bus.spec import EndpointSpec
from bus.testing.bank import Answers, Bank, Event
from bus.testing.erp import Erp, take
from bus.testing.partner import Account, Partner

ERP = "erp"
BANKS = ("bank-north", "bank-south")
LOCAL = ("treasury", "legacy-ledger", "notices")
"""Outlets on our own disk."""


def schemas() -> Path:
    """The folder of the shipped ISO 20022 schemas.

    Raises:
        ConfigError: ``SYS107`` when the installation has none.
    """
    folder = Path(str(files("transforms.iso20022") / "schemas"))
    if not any(folder.glob("*.xsd")):
        raise ConfigError(
            "SYS107", "this installation has no ISO 20022 schemas", hint="python transforms/iso20022/generate.py"
        )
    return folder


class Town:
    """An ERP and two banks, each over a folder below ``root``; nothing of it knows the bus.

    Args:
        root: made when it is missing.
        clock: for the documents of the banks.
        seed: decides the payment runs of the ERP.
        answers: how both banks answer.
        effect: called around everything a bank does to its disk.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        seed: int = 1,
        answers: Answers | None = None,
        effect: EffectHook = lambda _label: None,
    ) -> None:
        self.root = root
        self.erp = Erp(root / ERP, seed)
        self.banks = {
            name: Bank(name, root / name, schemas=schemas(), clock=clock, answers=answers, effect=effect)
            for name in BANKS
        }

    def work_once(self) -> list[Event]:
        """Let both banks do what they have to do now."""
        return [event for bank in self.banks.values() for event in bank.work_once()]

    def collect(self, local: Path | None = None) -> None:
        """Let the ERP take what it got, and the readers of the outlets below ``local`` what they got."""
        for box in (self.erp.inbox, *(local / name for name in LOCAL if local is not None)):
            take(box)


def local_edges(root: Path) -> tuple[Callable[[EndpointSpec, Any], Source], Callable[[EndpointSpec, Any], Sink]]:
    """(source, sink) makers that go to the partners' folders directly where a route says SFTP, to ``local/`` for files.

    The words of both endpoints are the same, so the route is run as it stands, without servers, keys and sockets.
    """
    file_spec = Registry().spec("endpoint", "file")
    known: dict[int, tuple[EndpointSpec, EndpointSpec]] = {}

    def local(spec: EndpointSpec) -> EndpointSpec:
        if id(spec) not in known:
            known[id(spec)] = (spec, made(spec))
        return known[id(spec)][1]

    def made(spec: EndpointSpec) -> EndpointSpec:
        if spec.key not in ("sftp", "file"):
            return spec
        written = {name: getattr(spec, name) for name in spec.model_fields_set if name in file_spec.model_fields}
        place = root / str(getattr(spec, "connection", "local")) / str(getattr(spec, "path", "")).lstrip("/")
        found = file_spec.model_validate({**written, "path": str(place)})
        if not isinstance(found, EndpointSpec):
            raise TypeError("the file endpoint is no endpoint")
        return found

    return (
        lambda spec, resources: local(spec).source(resources),
        lambda spec, resources: local(spec).sink(resources),
    )


class Loopback:
    """SFTP servers on 127.0.0.1 for the connections of a landscape, one per partner folder.

    Keys are made where the connections expect them, if they are not there yet: the client key that ``key`` names and
    the host key whose public line ``host_keys`` names. Nothing is written into the landscape.

    Args:
        root: the partners' folder, see :class:`Town`.
        connections: as loaded; those with another host or technology are left alone.
    """

    def __init__(self, root: Path, connections: dict[str, Any]) -> None:
        self._servers: dict[str, Partner] = {}
        for name, connection in connections.items():
            if getattr(connection, "host", "") not in ("127.0.0.1", "localhost"):
                continue
            client = _secret_path(connection.private_key)
            pins = [_secret_path(pin) for pin in connection.host_keys if str(pin).startswith("${file:")]
            if client is None or not pins or pins[0] is None:
                continue
            host = _key_pair(pins[0].with_suffix(""), "ssh-host")
            public = _key_pair(client, "ssh-client").with_suffix(".pub").read_text("utf-8").strip()
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            account = Account(folder, key=public)
            self._servers[name] = Partner({connection.user: account}, port=connection.port, host_key=host.read_bytes())

    def start(self) -> None:
        """Listen on all ports."""
        for server in self._servers.values():
            server.start()

    def stop(self) -> None:
        """Stop listening, break connections."""
        for server in self._servers.values():
            server.stop()

    def reached(self, name: str, connection: Any) -> Any:
        """The connection with the port that its server listens on."""
        server = self._servers.get(name)
        return connection if server is None else connection.model_copy(update={"port": server.port})

    def addresses(self) -> dict[str, str]:
        """Partner -> ``127.0.0.1:port``."""
        return {name: f"127.0.0.1:{server.port}" for name, server in self._servers.items()}


def _secret_path(reference: Any) -> Path | None:
    """The file behind a ``${file:…}`` reference."""
    text = str(getattr(reference, "reference", reference))
    if not text.startswith("${file:"):
        return None
    return Path(text.removeprefix("${file:").removesuffix("}")).expanduser()


def _key_pair(path: Path, kind: Any) -> Path:
    """The private key at ``path``; made with its ``.pub`` beside it when it is missing."""
    from certs.ssh import SUFFIX, issue_key  # noqa: PLC0415 - only who starts partners needs cryptography

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        issue_key(kind, path.name.removesuffix(SUFFIX[kind]), path.parent)
    return path
