"""`pisyft train`: what the coordinator does."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pisyft.cli.lab import end_once
from pisyft.cli.options import ALPHABETS, Finite, by_id, classroom_at, names_option, need_pysyft, workers_option
from pisyft.cli.problems import Problem, ctrl_c_waits

if TYPE_CHECKING:
    from rich.console import Console

    from pisyft.settings import Settings

# As in pisyft.learning, which --help and completion do not wait for.
MODELS = click.Choice(["tutorial", "rnn", "gru", "ngrams", "writer", "committee"])
STRATEGIES = click.Choice(["fedavg", "fedprox", "fedadam", "fedyogi", "scaffold", "fedlc"])
OPTIMIZERS = click.Choice(["sgd", "adam", "adamw"])
SCHEDULES = click.Choice(["constant", "cosine"])
_ABOVE_ZERO = Finite(0, min_open=True)
_SUITED = "[default: what suits the model]"  # pisyft.learning.recipes


@click.command(short_help="Train one model together, and release it.")
@click.option("--lab", is_flag=True, help="Start two local workers, alice and bob, for this run.")
@click.option(
    "--classroom",
    type=click.Path(path_type=Path),
    help="The coordinator's folder of a classroom: all its Pis take part.",
)
@workers_option
@names_option("The names that --lab deals out.")
@click.option("--alphabet", type=ALPHABETS, default="tutorial", show_default=True, help="Of the workers of --lab.")
@click.option("--rounds", type=click.IntRange(1), help=f"How often they train and add up. {_SUITED}")
@click.option("--batch-size", type=click.IntRange(1), help=f"Names in a step. {_SUITED}")
@click.option("--learning-rate", type=_ABOVE_ZERO, help=f"Of the workers. {_SUITED}")
@click.option(
    "--good-enough",
    type=Finite(0, 1),
    default=0.25,
    show_default=True,
    metavar="ACCURACY",
    help="Release the model if it is this accurate on every worker.",
)
@click.option(
    "--good-enough-together",
    type=Finite(0, 1),
    default=0.0,
    show_default=True,
    metavar="ACCURACY",
    help="... and this accurate over all workers together.",
)
@click.option(
    "--min-rounds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="... and has been trained for so many rounds.",
)
@click.option(
    "--margin",
    type=Finite(0, 1),
    default=0.05,
    show_default=True,
    metavar="ACCURACY",
    help="Release it if no worker is worse off by more than this than with the model that it has.",
)
@click.option(
    "--model", type=MODELS, default="tutorial", show_default=True, help="The network; docs/learning.md tells of each."
)
@click.option(
    "--strategy", type=STRATEGIES, default="fedavg", show_default=True, help="What becomes of the workers' models."
)
@click.option(
    "--aggregation",
    type=click.Choice(["additive", "masks", "secagg", "plain"]),
    help="How what the workers have learned is added up. masks: workers may vanish. secagg: Flower's. plain: hides "
    "nothing.  [default: additive; with --engine flower, secagg]",
)
@click.option(
    "--engine",
    type=click.Choice(["pisyft", "flower"]),
    default="pisyft",
    show_default=True,
    help="flower: on this machine, over a Flower SuperLink and SuperNodes (docs/scale.md). Needs pisyft[flower].",
)
@click.option(
    "--supernodes", type=click.IntRange(2), default=2, show_default=True, help="With --engine flower: how many."
)
@click.option("--optimizer", type=OPTIMIZERS, help=f"Of the workers. {_SUITED}")
@click.option("--passes", type=_ABOVE_ZERO, help="Over a worker's names in each round.  [default: 1]")
@click.option("--steps", type=click.IntRange(1), help=f"That a worker takes in each round instead. {_SUITED}")
@click.option("--clip", type=Finite(0), help=f"The longest gradient of a step; 0: any. {_SUITED}")
@click.option("--schedule", type=SCHEDULES, help=f"Of the learning rate, over the rounds. {_SUITED}")
@click.option("--server-learning-rate", type=_ABOVE_ZERO, help=f"Of the strategy. {_SUITED}")
@click.option(
    "--leaning",
    type=Finite(0, 1),
    default=0.0,
    show_default=True,
    metavar="TAU",
    help="Have the released model lean to languages with few names: at 0.6 it does better by them, and worse by all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary for programs, and what happens to stderr.")
@click.option("--alone", is_flag=True, help="Every worker trains a model alone as well, to see what it gains.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out after its last complete round.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="The same seed comes to the same model, once: no Pi gives the same update away again.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("artifacts/train"), show_default=True
)
def train(
    lab: bool,
    classroom: Path | None,
    workers: tuple,
    names: Path,
    alphabet: str,
    engine: str,
    supernodes: int,
    as_json: bool,
    alone: bool,
    resume: bool,
    out: Path,
    **wanted: Any,
) -> None:
    """Train one model with several workers, and release it to them if it is good enough.

    \b
    Examples:
      pisyft train --lab
      pisyft train --classroom classroom/coordinator
      pisyft train --classroom classroom/coordinator --model committee
      pisyft train --engine flower --supernodes 2 --rounds 3
    """
    from pisyft.printing import plain_console

    console = plain_console(stderr=as_json)
    if engine == "flower":
        if lab or workers or classroom or resume or alone:
            raise Problem(
                "--engine flower starts its own SuperLink and SuperNodes on this machine: leave out --lab, "
                "--classroom, --worker, --alone and --resume. docs/scale.md tells how to run it on several"
            )
        if click.get_current_context().get_parameter_source("margin") is not click.core.ParameterSource.DEFAULT:
            raise Problem("--margin is of PiSyft's own engine: on Flower no device tells how its present model does")
        end_once()  # Flower's processes do not end with this one
        summary = _train_on_flower(names, supernodes, out, wanted, console, alphabet)
        if as_json:
            click.echo(json.dumps(summary, indent=2))
        return
    if wanted["aggregation"] == "secagg":
        raise Problem("secagg is Flower's: take --engine flower with it; --aggregation masks is the same idea")
    need_pysyft()
    addresses = by_id(workers)
    if lab + bool(addresses) + bool(classroom) > 1:
        raise Problem("take one: --lab, which starts its own workers, --classroom or --worker")
    room = classroom_at(classroom) if classroom else None
    if room:
        if room.id in room.pis:
            raise Problem(f"{classroom} is {room.id}'s: to train takes the coordinator's folder")
        addresses = dict(room.pis)
    looked_for = [pi for pi, (host, _) in addresses.items() if not host]
    if looked_for:
        from pisyft.discovery import warn_of_twins

        # Beside the work: the first who has the certificate is spoken to, and two may have it.
        threading.Thread(target=warn_of_twins, args=(looked_for,), daemon=True).start()
    if not lab and len(addresses) < 2:
        raise Problem("say with whom: --classroom FOLDER, --worker ID=HOST:PORT twice or more, or --lab")

    with ctrl_c_waits():
        import warnings

        import torch
        from syft.exceptions import GetNotPermittedError

        from pisyft import run
        from pisyft.aggregation.errors import AggregationError
        from pisyft.aggregation.plain import PlainAggregation
        from pisyft.checkpoints import CheckpointError
        from pisyft.federation import FederationError
        from pisyft.lab import LabError
        from pisyft.learning.names import NamesError
        from pisyft.learning.training import Diverged
        from pisyft.release import ReleaseError
        from pisyft.transport.errors import TransportError, UnknownPeer

    warnings.simplefilter("always", PlainAggregation)
    torch.set_num_threads(1)
    settings = _settings(wanted)
    console.print(settings.as_text(), highlight=False)
    try:
        if lab:
            summary = run.train_in_a_lab(names, settings, out, console, resume=resume, alphabet=alphabet)
        else:
            credentials = room.credentials if room else None
            summary = run.train(addresses, settings, out, console, credentials=credentials, alone=alone, resume=resume)
    except (AggregationError, CheckpointError, Diverged, FederationError, GetNotPermittedError, LabError) as error:
        raise Problem(str(error)) from error
    except (NamesError, ReleaseError, run.RunStopped, TransportError, UnknownPeer) as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise _not_written(out, error) from error
    if as_json:
        click.echo(json.dumps(summary, indent=2))


def _settings(wanted: Mapping[str, Any]) -> Settings:
    """What was given, and for the rest what suits the model.

    Raises:
        Problem: it does not go together.
    """
    from pisyft.settings import Settings

    given = {name: value for name, value in wanted.items() if value is not None}
    if "passes" in given and "steps" in given:
        raise Problem("take --passes or --steps, not both")
    if "passes" in given:
        given["steps"] = None
    if "clip" in given:
        given["clip"] = given["clip"] or None
    try:
        return Settings.suited(**given)
    except ValueError as error:
        raise Problem(str(error)) from error


def _train_on_flower(
    names: Path, supernodes: int, out: Path, wanted: Mapping[str, Any], console: Console, alphabet: str
) -> dict:
    aggregation = wanted["aggregation"] or "secagg"
    if aggregation not in ("secagg", "plain"):
        raise Problem("Flower adds up by secagg or plain: choose one of them with --aggregation")
    try:
        with ctrl_c_waits():
            from pisyft.flower.local import LocalRunError, check, config_of, train_locally
    except ModuleNotFoundError as error:
        raise Problem(f"Flower is not installed ({error}): in PiSyft's folder, pip install -e '.[flower]'") from error
    settings = _settings({**wanted, "aggregation": aggregation})
    console.print(settings.as_text(), highlight=False)
    try:
        config = config_of(settings)
        check(config)
        return train_locally(names, supernodes, config, out, console, alphabet)
    except LocalRunError as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise _not_written(out, error) from error


def _not_written(out: Path, error: OSError) -> Problem:
    return Problem(f"cannot write {error.filename or out}: {error.strerror or error}")
