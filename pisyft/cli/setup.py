"""`pisyft setup`: brings PySyft into the environment. Runs without it."""

from __future__ import annotations

import subprocess
import sys

import click

from pisyft.cli.problems import Problem
from pisyft.compat import requirements


@click.command(short_help="Install PySyft 0.2.9 into this environment.")
def setup() -> None:
    """Install PySyft 0.2.9, without its dependencies of 2020, into the environment that runs this.

    \b
    Example:
      pisyft setup
    """
    if requirements.problem() is None:
        click.echo(f"PySyft {requirements.PYSYFT} is installed.")
        return
    # One requirement in PySyft's metadata is misspelt ("<0.6.0!=0.5.7"), and pip 24.1 and later refuse the package for
    # it; with --no-deps, the older resolver does not look at requirements.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command.append("--use-deprecated=legacy-resolver")
    if subprocess.run([*command, *requirements.WITHOUT_DEPENDENCIES]).returncode:
        raise Problem(
            f"pip could not install {' and '.join(requirements.WITHOUT_DEPENDENCIES)}: its message is above. "
            "Check the network, and that this environment has pip."
        )
    if text := requirements.problem():
        raise Problem(text)
    click.echo(f"PySyft {requirements.PYSYFT} is installed.")
