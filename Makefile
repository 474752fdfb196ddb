# `make run` and `make test` work on a machine with Python 3.11 or newer, git or not, and make.
# Everything can be run again: what stands already is left alone.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test ui lint types real real-small study study-gpu bench healing-table parity clean

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## show this list
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' Makefile

run: $(READY) ## bring everything up to date on the datasets of params.yaml; print the report's path
	@$(BIN)/fewlayers run

test: $(READY) ## run the tests, two files at a time; ARGS="-n 0 tests/tasks/test_bare.py -k stopped"
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

ui: $(READY) ## start the Prefect server, worker and schedule on 127.0.0.1
	@$(BIN)/fewlayers ui

lint: $(READY) ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## check types
	@$(BIN)/mypy

real: $(READY) ## the real benchmarks, two hours on 2 cores; can be stopped and resumed
	@$(BIN)/fewlayers run --preset real

real-small: $(READY) ## ETTh1 at nano, at most 8 minutes on 2 cores
	@$(BIN)/fewlayers run --preset real-small

study: $(READY) ## how often pruning holds: six benchmarks, three settings; hours; can be stopped
	@$(BIN)/fewlayers study $(ARGS)

# Neither DVC nor Prefect nor a network is needed, so a Python that has the packages will do: the one
# named by PYTHON=, else .venv, else python3; only where none has them is .venv made.
NEEDED := import httpx2, huggingface_hub, jaxtyping, jinja2, matplotlib, optuna, pandas, pandera, \
	pyarrow, pydantic, rich, ruamel.yaml, safetensors, scipy, statsmodels, torch, transformers
study-gpu: ## error against scale at 46 M to 1.4 B parameters, in pieces of 9 minutes; run it again
	@for p in $(if $(filter command environment,$(firstword $(origin PYTHON))),"$(PYTHON)") \
		$(BIN)/python "$(PYTHON)" python3; do \
		if "$$p" -c '$(NEEDED)' 2>/dev/null; then exec "$$p" -m tasks.bare $(ARGS); fi; done; \
	$(MAKE) $(READY) && exec $(BIN)/python -m tasks.bare $(ARGS)

bench: $(READY) ## measure the bars of speed and error into reports/bench.json; ARGS="racing search"
	@$(BIN)/python -m tests.bench $(ARGS)

healing-table: $(READY) ## every way of healing against the plain one; hours, resumable; ARGS=--help
	@$(BIN)/python -m tests.bench.healing $(ARGS)

parity: $(READY) ## our own modules of published models against their libraries, weight for weight
	@$(BIN)/python -m tests.parity

clean: ## remove .venv and .state (presets, studies and study-gpu at work); data, cache, reports stay
	rm -rf $(VENV) .state .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1); set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing fewlayers and the versions of constraints.txt into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(READY)
