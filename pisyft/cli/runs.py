"""`pisyft runs`: compares training runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pisyft.cli.problems import Problem


@click.command(short_help="Compare training runs.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("artifacts"))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def runs(folder: Path, as_json: bool) -> None:
    """Compare the training runs in a folder: their settings and figures.

    \b
    Example:
      pisyft runs artifacts/
    """
    from pisyft import charts
    from pisyft.printing import plain_console

    found = []
    for file in sorted(folder.glob("**/summary.json")):
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            click.echo(f"{file} is left out: it cannot be read ({error})", err=True)
            continue
        if isinstance(summary, dict) and "accuracy_final" in summary:  # not a benchmark's
            found.append({"run": str(file.parent.relative_to(folder)), **summary})
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        raise Problem(f"there are no runs in {folder}: pisyft train --lab makes one")
    else:
        plain_console().print(charts.runs(found))
