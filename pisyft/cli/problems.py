"""What the `pisyft` command tells instead of a traceback."""

from __future__ import annotations

import click


class Problem(click.ClickException):
    """Something that the person who typed the command can mend."""

    exit_code = 2
