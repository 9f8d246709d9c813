"""``bus certs``: issue, rotate and list keys and certificates, and warn before they end."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bus.cli.output import Exit, json_option, leave, note, print_json, print_table

if TYPE_CHECKING:
    from certs.expiry import Item

_KINDS = ["ssh-host", "ssh-client", "ca", "server", "client"]


def _folder(_ctx: click.Context, _option: click.Parameter, value: Path | None) -> Path:
    from certs.files import default_folder  # noqa: PLC0415 - loaded on use, as everything of a verb

    return value or default_folder()


def _days(_ctx: click.Context, _option: click.Parameter, value: str) -> float:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - `bus certs --help` does not need it

    from bus.spec import Duration  # noqa: PLC0415

    try:
        return float(TypeAdapter(Duration).validate_python(value)) / 86_400_000
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"]) from None


_dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_folder,
    help="Folder of the keys; default: GIROBUS_CERTS, else ~/.girobus/certs.",
)


@click.group()
def command() -> None:
    """Issue, rotate and list keys and certificates."""


# ---------------------------------------------------------------- issue


@command.command()
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What it is for.")
@click.option("--name", required=True, help="File name, and common name of a certificate.")
@click.option("--san", "names", multiple=True, help="Host name or IP address of a certificate; may be repeated.")
@click.option("--ca", default="ca", show_default=True, help="Name of the CA that signs a certificate.")
@click.option("--days", type=click.IntRange(min=1), help="Validity; default 30, for a CA 365.")
@click.option("--replace", is_flag=True, help="Rotate: overwrite what has that name.")
@_dir_option
@json_option
def issue(as_json: bool, **wanted: Any) -> None:  # noqa: FBT001 - click passes options by name
    """Make an SSH key pair, or a certificate of a development CA.

    Private keys get mode 0600 and never into a git work tree that does not ignore them.
    """
    kind = wanted["kind"]
    if kind.startswith("ssh-"):
        _refuse_options(kind, wanted, ("names", "days"))
    if kind == "ca":
        _refuse_options(kind, wanted, ("names",))
    made = asdict(_issue(kind, wanted))
    if as_json:
        print_json(made)
        return
    print_table(["what", "value"], [(key.replace("_", " "), _shown(value)) for key, value in made.items()])


def _refuse_options(kind: str, wanted: dict[str, Any], options: tuple[str, ...]) -> None:
    shown = {"names": "--san", "days": "--days"}
    for option in options:
        if wanted[option]:
            raise click.UsageError(f"`{shown[option]}` means nothing for `--kind {kind}`.")


def _issue(kind: str, wanted: dict[str, Any]) -> Any:
    name, folder, replace = wanted["name"], wanted["folder"], wanted["replace"]
    if kind in ("ssh-host", "ssh-client"):
        from certs.ssh import issue_key  # noqa: PLC0415 - each kind loads only what it needs

        return issue_key("ssh-host" if kind == "ssh-host" else "ssh-client", name, folder, replace=replace)
    from certs.authority import LEAF_DAYS, ROOT_DAYS, Authority  # noqa: PLC0415

    if kind == "ca":
        return Authority.create(name, folder, days=wanted["days"] or ROOT_DAYS, replace=replace)
    authority = Authority.load(wanted["ca"], folder)
    usage: Literal["server", "client"] = "server" if kind == "server" else "client"
    days = wanted["days"] or LEAF_DAYS
    return authority.issue(usage, name, names=wanted["names"], days=days, replace=replace)


def _shown(value: Any) -> Any:
    return _day(value) if isinstance(value, datetime) else value


# ---------------------------------------------------------------- list and expiry


@command.command("list")
@_dir_option
@json_option
def list_(folder: Path, *, as_json: bool) -> None:
    """Show all keys and certificates of a folder. The soonest to end comes first."""
    items = _items(folder)
    if as_json:
        print_json(items)
        return
    _print_items(items)
    for item in items:
        if item.problem is not None:
            note(f"{item.problem.severity}[{item.problem.code}] {item.problem.place}  {item.problem.message}")


@command.command()
@click.option("--within", default="30d", show_default=True, callback=_days, help="How long before the end to warn.")
@_dir_option
@json_option
def expiry(folder: Path, within: float, *, as_json: bool) -> None:
    """Name the certificates that end soon. Exit 1 when there are any, for a monitor or a cron job."""
    now = datetime.now(UTC)
    items = [item for item in _items(folder) if item.not_after is not None or item.kind == "unreadable"]
    if not items:
        raise click.UsageError(f"There is no certificate in `{folder}`, so nothing would ever be reported.")
    found = [(item, finding) for item in items if (finding := item.expiry(now, within)) is not None]
    if as_json:
        print_json([{**asdict(item), "finding": finding} for item, finding in found])
    elif found:
        _print_items([item for item, _ in found])
    for _, finding in found:
        note(f"{finding.severity}[{finding.code}] {finding.place}  {finding.message}")
    if found:
        leave(Exit.FINDINGS)
    note(f"{len(items)} certificates, none ends within {within:g} days.")


def _items(folder: Path) -> list[Item]:
    from certs.expiry import survey  # noqa: PLC0415 - loads `cryptography`

    return survey(folder, datetime.now(UTC))


def _print_items(items: list[Item]) -> None:
    columns = ["name", "kind", "days left", "ends", "warn at", "names", "fingerprint"]
    print_table(
        columns,
        [(i.name, i.kind, i.days_left, _day(i.not_after), i.warn, ", ".join(i.names), i.fingerprint) for i in items],
    )


def _day(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d %H:%MZ") if moment is not None else None
