"""`python -m pisyft` is the `pisyft` command."""

from pisyft.cli import main

main()
