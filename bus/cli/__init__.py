"""The `bus` command: one file a verb, loaded on use, so that ``bus --help`` answers at once."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from bus.errors import BusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERBS = {
    "run": "Run the routes of a folder until stopped.",
    "dev": "Run with scripted partners and take over edits of the configuration.",
    "check": "Check routes, mappings and connections without connecting to anything.",
    "explain": "Explain an error code, a route or a configuration field.",
    "apply": "Declare what the routes need at the broker.",
    "schema": "Print the JSON Schema of the configuration files, for editors.",
    "test": "Run the *.test.yaml beside the routes.",
    "mapping": "List, show, run and reverse mappings.",
    "lineage": "Show what writes a field and what reads it.",
    "status": "Show what runs, what waits and what needs a person.",
    "doctor": "Look at everything that the bus needs and say what to do.",
    "service": "Print or install the unit file for systemd.",
    "routes": "List the routes, pause and resume them.",
    "find": "Find messages by business key.",
    "trace": "Show the whole journey of a transaction.",
    "cases": "List and settle what needs a person.",
    "profile": "List the profiles of schemes and banks, and show what one demands.",
    "inspect": "Tell what is in a bank or ERP file; needs no project.",
    "convert": "Turn an ISO 20022 file into another version or into JSON, and back; needs no project.",
    "db": "Look after the ledger: upgrade, check, backup, restore, purge.",
    "certs": "Issue, rotate and list keys and certificates.",
    "demo": "Play a whole payment run against scripted partners.",
}
"""Verb -> what it does. The help is printed from this table, without importing the verbs."""


@contextmanager
def without_collector() -> Iterator[None]:
    """For loading code or files, which stay: looking for garbage meanwhile takes nearly as long as the loading.

    Afterwards it is left out as well, at the end of the program too.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.freeze()
            gc.enable()


class LazyGroup(click.Group):
    """Loads ``bus.cli.<verb>`` when the verb is used, and turns what goes wrong into message and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of the table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The ``command`` of ``bus/cli/<verb>.py``."""
        del ctx
        if cmd_name not in VERBS:
            return None
        name = f"bus.cli.{cmd_name}"
        try:
            with without_collector():
                module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise click.UsageError(f"`bus {cmd_name}` is not part of this installation.") from None
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest verb in the message when there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            from difflib import get_close_matches  # noqa: PLC0415 - only after a slip

            near = get_close_matches(args[0][:40], VERBS, n=1)
            hint = f" Did you mean `bus {near[0]}`?" if near else " `bus --help` lists all."
            raise click.UsageError(f"There is no verb `{args[0][:40]}`.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of verbs."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. That the reader of a pipe (head, less) leaves early is no error."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at interpreter exit
            return 0
        return result

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run; in standalone mode never returns but exits with the codes that ``bus.cli.output.Exit`` lists."""
        run: Any = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        sys.exit(_guarded(lambda: run(*args, standalone_mode=False, **extra)))


def _guarded(run: Callable[[], Any]) -> int:
    """Run a command and give its exit code; says on stderr why it is not 0."""
    try:
        result = run()
    except click.Abort as error:
        click.echo("Interrupted.", err=True)
        return 130 if isinstance(error.__context__, KeyboardInterrupt) else 1
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BusError as error:
        from bus.cli.output import exit_code, print_error  # noqa: PLC0415 - only when something went wrong

        print_error(error)
        return int(exit_code(error))
    except Exception as error:  # noqa: BLE001 - the last line of defence: everything unexpected is our bug, exit 70
        from bus.cli.output import print_bug  # noqa: PLC0415 - only when something went wrong

        print_bug(error)
        return 70
    return result if isinstance(result, int) else 0


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted:
        from bus.cli.output import version  # noqa: PLC0415 - reads the package metadata

        click.echo(f"girobus {version()}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option(
    "-C",
    "--config",
    metavar="DIR",
    envvar="GIROBUS_CONFIG",
    help="Folder with bus.yaml; default: ./routes if it has one, else the current folder.",
)
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """A finance service bus: routes in YAML between ERP, bank files and SaaS.

    No message lost, none doubled, no cent missing.
    """
    ctx.obj = config
