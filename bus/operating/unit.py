"""The unit file for systemd: ready and alive by notification, graceful stop, as few rights as the bus needs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MADE = "# Made by `bus service`; changes of your own belong into a drop-in: systemctl edit"

_RIGHTS = """\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


class Service(NamedTuple):
    """What differs between two services."""

    program: Path
    config: Path
    store: Path
    user: str
    certificates: Path
    writable: tuple[Path, ...] = ()
    watchdog: int = 60
    """Seconds without a sign of life after which it is started again."""
    options: tuple[str, ...] = ()
    """Further words for ``bus run``."""


def unit(service: Service) -> str:
    """The text of the unit file."""
    others = [_quoted(f"-{path}") for path in dict.fromkeys(service.writable) if path != service.store]
    writable = " ".join([_quoted(service.store), *others])
    store, certificates = _quoted(f"GIROBUS_STORE={service.store}"), _quoted(f"GIROBUS_CERTS={service.certificates}")
    return f"""\
{MADE}
[Unit]
Description=girobus finance service bus ({_escaped(service.config)})
Documentation=man:systemd.service(5)
After=network-online.target time-sync.target postgresql.service rabbitmq-server.service
Wants=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=notify
ExecStartPre=+/usr/bin/install -d -m 0700 -o {service.user} {_word(service.store)}
ExecStart={_word(service.program)} -C {_word(service.config)} {" ".join(["run", *map(_word, service.options)])}
ExecReload=/bin/kill -HUP $MAINPID
User={service.user}
UMask=0077
Environment=GIROBUS_LOG_FORMAT=json
Environment={store}
Environment={certificates}
Restart=on-failure
RestartSec=5
TimeoutStartSec=300
TimeoutStopSec=60
WatchdogSec={service.watchdog}
KillMode=mixed
LimitNOFILE=16384

# Rights
ReadWritePaths={writable}
{_RIGHTS}
[Install]
WantedBy=multi-user.target
"""


def _escaped(value: object) -> str:
    """Text in a unit file: a per cent sign begins a specifier."""
    return str(value).replace("%", "%%")


def _quoted(value: object) -> str:
    """A word, as systemd reads words: quoted where it has anything but plain characters."""
    text = _escaped(value)
    if text and all(char.isalnum() or char in "/._-=+:,@%" for char in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _word(value: object) -> str:
    """A word of a command line, where a dollar sign begins a variable."""
    return _quoted(value).replace("$", "$$")
