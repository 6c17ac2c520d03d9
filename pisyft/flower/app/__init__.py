"""The Flower app, as `flwr run` takes it: a folder with a pyproject.toml."""
