"""The `pisyft` command. A subcommand's module is imported when it is asked for, so that `--help` answers at once.

A module here knows how something is typed and told; what is done is elsewhere.
"""

from __future__ import annotations

import difflib
import importlib

import click

import pisyft

# The plan of a workshop. Each command is in the module of its name, which imports what it needs when it runs.
SECTIONS = {
    "Get ready": (
        "setup",
        "doctor",
        "data",
        "classroom",
        "lab",
    ),
    "On a Pi": (
        "worker",
        "status",
        "names",
        "discover",
        "audit",
        "pause",
        "resume",
        "forget",
    ),
    "Learn together": (
        "train",
        "evaluate",
        "release",
        "predict",
        "runs",
    ),
}
COMMANDS = tuple(name for names in SECTIONS.values() for name in names)


class Workshop(click.Group):
    """Commands that are imported when they are asked for, and listed in the order of `SECTIONS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"pisyft.cli.{name}"), name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if alike := difflib.get_close_matches(args[0], COMMANDS):
                raise click.UsageError(f"{error.message} Did you mean {' or '.join(alike)}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, COMMANDS))
        for title, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            limit = formatter.width - 6 - widest
            rows = [(name.ljust(widest), command.get_short_help_str(limit)) for name, command in commands if command]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=Workshop,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done; 1 a check failed, or interrupted; 2 to be mended first.",
)
@click.version_option(pisyft.__version__, prog_name="pisyft")
def main() -> None:
    """Federated learning of a recurrent neural network on Raspberry Pis.

    \b
    On a laptop, with two local workers, and in a browser, with three:
      pisyft train --lab
      pisyft classroom watch --lab --open
    With Pis:
      pisyft classroom create --pi alice=HOST --pi bob=HOST
      pisyft worker --classroom alice --data names/
      pisyft train --classroom classroom/coordinator
      pisyft predict Qing Gadler
    """
