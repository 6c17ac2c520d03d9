# Every target sets up whatever is missing first. PYTHON chooses the interpreter of a new .venv (3.10 to 3.13);
# TORCH_INDEX takes PyTorch from another index, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu for the CPU
# build on an x86-64 laptop with Linux.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install demo test conformance notebooks docs lint bench bench-learning bench-aggregation bench-flower faults pi-check room clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

install: .venv/ready  ## make .venv and install PiSyft, PyTorch and PySyft into it

.venv/ready: setup.py pyproject.toml requirements/torch.txt requirements/pysyft.txt
	@echo "Setting up .venv (PyTorch is large: this takes a few minutes the first time)"
	$(PYTHON) -m venv .venv
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) --requirement requirements/torch.txt
	$(PIP) install --editable '.[dev]'
	$(BIN)/pisyft setup
	@touch $@

demo: .venv/ready  ## two workers on this machine, federated training, secret sharing: artifacts/demo/
	$(BIN)/pisyft train --lab --out artifacts/demo

test: .venv/ready  ## all tests
	$(BIN)/python -m pytest

conformance: .venv/ready  ## the tests of PySyft's own wheel, with the repairs: artifacts/conformance/
	$(BIN)/python tests/conformance/run.py

faults: .venv/ready  ## kill -9 at 100 random points of secure rounds: artifacts/faults/ (20 minutes)
	$(BIN)/python -m tests.faults.run

bench-aggregation: .venv/ready  ## speed and bytes of secure sums: artifacts/bench-aggregation/ (10 minutes)
	$(BIN)/python benchmarks/bench_aggregation.py

notebooks: .venv/ready  ## execute all notebooks in a real kernel: artifacts/notebooks/
	$(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --output-dir artifacts/notebooks notebooks/*.ipynb

docs: .venv/ready  ## the documentation as pages: artifacts/docs/
	rm -rf artifacts/docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs artifacts/docs
	@echo "Written: artifacts/docs/index.html"

bench-flower: .venv/ready  ## PiSyft's own federation against Flower: artifacts/bench-flower/ (30 minutes)
	$(PIP) install 'flwr[simulation]==1.41.0'
	$(BIN)/python -m benchmarks.bench_flower

lint: .venv/ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready  ## how fast, how small; against the original stack where there is a Python 3.7: artifacts/bench/
	$(BIN)/python benchmarks/bench.py $(if $(PYTHON37),--original $(PYTHON37))

bench-learning: .venv/ready  ## what federated training reaches on names nobody trained on: artifacts/bench-learning/
	$(BIN)/python benchmarks/bench_learning.py $(if $(QUICK),--quick)

pi-check: .venv/ready  ## install and run on emulated Pis, arm64 bookworm and trixie: artifacts/pi-check/ (an hour, root)
	$(BIN)/python tests/pi/check.py

room: .venv/ready  ## ten Pis on a classroom's Wi-Fi, one unplugged and replugged: artifacts/room/ (root)
	$(BIN)/python -m tests.rooms.run

clean:  ## remove .venv and artifacts
	rm -rf .venv artifacts
