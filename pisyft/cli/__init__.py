"""The `pisyft` command. A subcommand's module is imported when it is asked for, so that `--help` answers at once.

A module here knows how something is typed and told; what is done is elsewhere.
"""

from __future__ import annotations

import importlib

import click

import pisyft

# In the order of a workshop. Each is in the module of its name, which imports what it needs when it runs.
COMMANDS = (
    "setup",
    "doctor",
    "data",
    "names",
    "classroom",
    "worker",
    "lab",
    "train",
    "evaluate",
    "release",
    "predict",
    "runs",
)


class Workshop(click.Group):
    """Commands that are imported when they are asked for, and listed in the order of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f"pisyft.cli.{name}"), name)


@click.group(cls=Workshop, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(pisyft.__version__, prog_name="pisyft")
def main() -> None:
    """Federated learning of a recurrent neural network on Raspberry Pis.

    \b
    pisyft setup                                  install PySyft 0.2.9 into this environment
    pisyft doctor                                 is this machine fit, and how to mend what is not
    pisyft data split data/names --into classroom --worker alice --worker bob
    pisyft train --lab                            on a laptop, with two local workers
    pisyft classroom watch --lab --open           the same in a browser, with three
    pisyft classroom create --pi alice=HOST --pi bob=HOST
    pisyft worker --classroom alice --data names/  on each Pi
    pisyft train --classroom classroom/coordinator
    pisyft predict Qing Gadler                    with the model that was released
    """
