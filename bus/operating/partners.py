"""What `bus doctor` looks at elsewhere: database, broker, partners, and what the bus itself says of its outlets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bus.errors import BusError, Unavailable
from bus.landscape import ChannelSource
from bus.ledger.place import identity_at, open_reading
from bus.ledger.reading_status import read_figures
from bus.operating.doctor import Check, Found, State, failed
from bus.spec import EndpointSpec

if TYPE_CHECKING:
    from bus.config import Landscape
    from bus.landscape import BrokerSpec
    from bus.ledger.reading import Reading

_PATIENCE = 5.0
_DRIFT = 2.0
_SETTINGS = {
    "fsync": ("on", "a power cut of the server damages the ledger"),
    "full_page_writes": ("on", "a power cut of the server can damage the ledger"),
    "synchronous_commit": ("on", "a crash of the server takes back what was committed, after it left"),
}
_REFUSED = frozenset({"NET241", "NET247", "NET248"})
"""What a partner answered to us: it is there, and waiting does not help."""
_BLOCK = 0.5
"""Seconds to wait for the broker's word that it is blocked by an alarm; it comes right after the connection."""


def ledger_checks(place: Path | str) -> list[Check]:
    """The database, where the ledger is in one."""
    return [] if isinstance(place, Path) else [Check("ledger", "PostgreSQL", partial(database, place))]


def broker_checks(landscape: Landscape, place: Path | str) -> list[Check]:
    """The broker, where there is one."""
    spec = landscape.spec.broker
    if spec is None:
        return []
    return [Check("broker", "RabbitMQ", partial(broker, spec, landscape, place))]


def partner_checks(landscape: Landscape, *, writing: bool) -> list[Check]:
    """Every connection, with the folders that routes and outlets use there; and local folders."""
    return [
        *(
            Check("partner", name, partial(partner, landscape, name, connection, writing=writing))
            for name, connection in landscape.connections.items()
        ),
        Check("partner", "local folders", partial(folders, landscape, "", writing=writing)),
    ]


def state_checks(place: Path | str) -> list[Check]:
    """What waits for a person or a partner."""
    return [Check("bus", "outlets and routes", partial(outlook, place))]


# ---------------------------------------------------------------- database


def database(url: str) -> Iterator[Found]:
    """Settings of the server that decide whether a commit is one, its clock, its schema."""
    try:
        reading = open_reading(url, patience=_PATIENCE)
    except Unavailable as error:
        if error.code != "SYS104":
            raise
        yield Found("ledger", "PostgreSQL", "info", "it answers; the ledger is made at the first start")
        return
    with reading:
        asked = time.time()
        ((version, theirs),) = reading.rows(
            "SELECT current_setting('server_version'), CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
        )
        drift = theirs / 1000 - (asked + time.time()) / 2
        yield Found("ledger", "PostgreSQL", "ok", f"version {version}")
        for name, (wanted, otherwise) in _SETTINGS.items():
            ((value,),) = reading.rows(f"SELECT current_setting('{name}')")
            if value == wanted or (name == "synchronous_commit" and value in ("remote_write", "remote_apply")):
                yield Found("ledger", name, "ok", value)
            else:
                yield Found("ledger", name, "error", f"{value}: {otherwise}", "SYS192", f"set {name} = {wanted}")
    if abs(drift) > _DRIFT:
        do = "let both machines follow one time server"
        yield Found("clock", "against the database", "warning", f"{drift:+.1f} s", "SYS188", do)
    else:
        yield Found("clock", "against the database", "ok", f"{drift:+.1f} s")


# ---------------------------------------------------------------- broker


def broker(spec: BrokerSpec, landscape: Landscape, place: Path | str) -> Iterator[Found]:
    """Login, version, alarms, and whether every queue is there as it has to be, for the ledger at that place."""
    from bus.channels.amqp import address_of, topology  # noqa: PLC0415 - the client library, where it is used
    from bus.channels.amqp.kept import has_queue  # noqa: PLC0415
    from bus.runtime.pipeline import channels  # noqa: PLC0415

    address = address_of(spec, landscape.folder, ledger=identity_at(place, patience=_PATIENCE))
    names = [name for loaded in landscape.routes.values() for name in filter(has_queue, channels(loaded.spec))]
    seen = topology.look(address, [*names, *landscape.spec.outlets])
    version, alarm = topology.greeting(address, _BLOCK)
    yield Found("broker", "RabbitMQ", "ok", f"version {version} at {address.shown}")
    if alarm:
        do = "rabbitmq-diagnostics alarms; make room on the broker"
        yield Found("broker", "alarm", "error", f"publishing is blocked: {alarm}", "NET222", do)
    for one in seen:
        if one.state == "different":
            yield Found("broker", one.queue, "error", one.detail, "NET231", "see: bus explain NET231")
    missing = [one.queue for one in seen if one.state == "missing"]
    if missing:
        said = f"{len(missing)} of {len(seen)} are missing, for instance {missing[0]}"
        yield Found("broker", "queues", "warning", said, "NET223", "bus apply, or start the bus")
    else:
        yield Found("broker", "queues", "ok", f"{len(seen)} quorum queues")


# ---------------------------------------------------------------- partners


@dataclass(slots=True)
class _Resources:
    """:class:`bus.ports.EndpointResources` of somebody who only looks."""

    name: str
    root: Path
    connections: dict[str, Any]
    epoch: int = 0
    clock: Any = None
    effect: Callable[[str], None] = lambda _label: None

    def connection(self, name: str) -> Any:
        return self.connections[name]


def partner(landscape: Landscape, name: str, connection: Any, *, writing: bool) -> Iterator[Found]:
    """Reach it, compare its host key, log in, ask what it can do, look into its folders."""
    examine = getattr(connection, "examine", None)
    if examine is not None:
        found = examine(landscape.folder)
        for finding in found:
            said, do = finding.message.removeprefix(f"{finding.code} "), f"bus explain {finding.code}"
            if finding.severity == "error":
                away = finding.code.startswith("NET") and finding.code not in _REFUSED
                state: State = "away" if away else "error"
                yield Found("partner", name, state, said, finding.code, do)
                return
            yield Found("partner", name, "warning", said, finding.code, do)
        if not found:
            yield Found("partner", name, "ok", connection.examined)
    yield from folders(landscape, name, writing=writing)


def folders(landscape: Landscape, connection: str, *, writing: bool) -> Iterator[Found]:
    """The folders that routes and outlets use behind a connection; ``""`` = those of this machine."""
    for loaded in landscape.routes.values():
        spec = loaded.spec.from_
        if not isinstance(spec, ChannelSource) and getattr(spec, "connection", "") == connection:
            source = spec.source(_Resources(loaded.name, landscape.folder, landscape.connections))
            yield from _folder(f"route {loaded.name}", source, spec, writing=False, makes=False)
    for name, outlet in landscape.spec.outlets.items():
        if getattr(outlet.endpoint, "connection", "") == connection:
            sink = outlet.endpoint.sink(_Resources(name, landscape.folder, landscape.connections))
            yield from _folder(f"outlet {name}", sink, outlet.endpoint, writing=writing, makes=not connection)


def _folder(what: str, end: Any, spec: EndpointSpec, *, writing: bool, makes: bool) -> Iterator[Found]:
    """One folder; ``makes`` = whoever uses it makes it, so that it need not be there."""
    path, folder = getattr(spec, "path", ""), getattr(end, "folder", None)
    try:
        if not path or folder is None:
            return
        if writing and makes:
            folder.make_folder(path)
        count = len(folder.list(path))
        said = f"{path}: {count} {'entry' if count == 1 else 'entries'}"
        if writing:
            stage = getattr(spec, "stage", "")
            _try_writing(folder, path, stage)
            said += ", can be written"
        yield Found("partner", what, "ok", said)
    except BusError as error:
        yield failed("partner", what, error)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        if missing and makes:
            yield Found("partner", what, "info", f"{path}: is not there yet; the first file makes it")
            return
        said = f"{path}: {error.strerror or type(error).__name__}"
        do = "make it, or mend `path`" if missing else "ask the partner for the right"
        yield Found("partner", what, "error", said, "SYS193", do)
    finally:
        end.close()


def _try_writing(folder: Any, path: str, stage: str) -> None:
    """A file in the stage folder, where no partner looks, and away again; a folder that was missing stays made."""
    import io  # noqa: PLC0415 - as secrets, for this alone
    import posixpath  # noqa: PLC0415
    import secrets  # noqa: PLC0415

    place = posixpath.join(path, stage)
    folder.make_folder(place.rstrip("/"))
    name = posixpath.join(place, f"doctor-{secrets.token_hex(8)}")
    folder.write(name, io.BytesIO(b""))
    folder.remove(name)


# ---------------------------------------------------------------- the bus itself


def outlook(place: Path | str) -> Iterator[Found]:
    """Held outputs, paused routes, partners that are left alone, effects in doubt."""
    if isinstance(place, Path) and not place.exists():
        return
    try:
        reading = open_reading(place, patience=_PATIENCE)
    except Unavailable as error:
        if error.code != "SYS104":
            raise
        return  # said of the ledger already: nothing has run there
    with reading:
        yield from _outlook(reading)


def _outlook(reading: Reading) -> Iterator[Found]:
    figures = read_figures(reading, int(time.time() * 1000))
    well = True
    if reading.one("SELECT 1 FROM meta WHERE key = 'hold_outputs' AND value = 1"):
        well = False
        do = "compare with the partners, then bus db release-outputs --reason"
        yield Found("bus", "outputs", "warning", "held since a restore: nothing is sent", "SYS142", do)
    for route, name in sorted(figures.states.items()):
        if name != "running":
            well = False
            yield Found("bus", f"route {route}", "warning", name, "SYS194", f"bus routes resume {route} --reason …")
    for place, waiting in sorted(figures.deferred.items()):
        well = False
        then = f", next at {waiting.next:%H:%M:%SZ}" if waiting.next else ""
        yield Found("bus", place, "info", f"{waiting.count} wait for another attempt{then}", "", "bus status")
    for place, count in sorted(figures.in_doubt.items()):
        well = False
        yield Found("bus", place, "warning", f"{count} in doubt", "NET901", "ask the partner, then bus cases retry")
    if well:
        yield Found("bus", "outlets and routes", "ok", "none is held, paused or waiting for its partner")
