"""`pisyft evaluate`: every worker tests a model on its own names."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pisyft.cli.options import (
    by_id,
    classroom_at,
    classroom_option,
    models_option,
    need_pysyft,
    released_folder,
    workers_option,
)
from pisyft.cli.problems import Problem


@click.command(short_help="Have every worker test a model on its own names.")
@classroom_option
@workers_option
@click.option("--version", type=click.IntRange(1), help="Of the released model.  [default: the one in use]")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The model of a training run instead, as in artifacts/train/best.npz.",
)
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Of each worker's names.",
)
@models_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def evaluate(
    classroom: Path | None,
    workers: tuple,
    version: int | None,
    checkpoint: Path | None,
    part: str,
    models: Path | None,
    as_json: bool,
) -> None:
    """Have every worker test the released model, or another one, on its own names. They tell figures, never names.

    \b
    Examples:
      pisyft evaluate --classroom classroom/coordinator
      pisyft evaluate --classroom classroom/coordinator --checkpoint artifacts/train/best.npz --part validation
    """
    need_pysyft()
    room = classroom_at(classroom) if classroom else None
    addresses = dict(room.pis) if room else by_id(workers)
    if bool(classroom) == bool(workers):
        raise Problem("say whom to ask: --classroom FOLDER, or --worker ID=HOST:PORT")
    if checkpoint and (version or models):
        raise Problem("take one: --checkpoint, or a released model with --models and --version")
    folder = None if checkpoint else released_folder(models)

    from pisyft import appraisal, charts
    from pisyft.checkpoints import CheckpointError
    from pisyft.printing import plain_console
    from pisyft.release import ReleaseError

    try:
        model = appraisal.of_run(checkpoint) if checkpoint else appraisal.released(folder or Path(), version)
        told = appraisal.evaluate(addresses, model, part, room.credentials if room else None)
    except (CheckpointError, ReleaseError, appraisal.NobodyTells) as error:
        raise Problem(str(error)) from error
    if as_json:
        click.echo(json.dumps(told.as_answer(), indent=2))
        return
    console = plain_console()
    console.print(charts.evaluations(f"{model.title}, on {part} names", told.counts, told.together))
    for worker, reason in told.reasons.items():
        console.print(f"{worker} tells nothing: {reason}")
