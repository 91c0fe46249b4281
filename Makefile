# The words of the house; CI calls the same ones. `make` alone says what there is.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

.PHONY: help setup check quick test cover demo bench soak wheel clean

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: $(VENV)/.dev ## .venv with the package and everything for development

check: $(VENV)/.dev ## format, lint, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache

quick: $(VENV)/.dev ## the tests that need no service
	$(BIN)/python -m pytest -m "not service and not soak" $(ARGS)

test: ## everything: servers, check, all tests, and the quick ones on every newer Python found
	@scripts/test.sh $(ARGS)

cover: $(VENV)/.dev ## branch coverage of the core by its own tests
	$(BIN)/python -m coverage run -m pytest tests/core
	$(BIN)/python -m coverage report --fail-under=100

demo: $(VENV)/.run ## a workflow on real input, with nothing but Python
	@$(BIN)/longshore demo $(ARGS)

bench: $(VENV)/.dev ## how fast; ARGS=--quick for a short one
	$(BIN)/python benchmarks/throughput.py $(ARGS)

soak: $(VENV)/.dev ## what takes longer than CI can bear
	$(BIN)/python -m pytest -m soak --timeout 0 -o faulthandler_timeout=0 $(ARGS)

wheel: $(VENV)/.dev ## the wheel, in dist/
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove what these words made
	rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage

$(VENV)/.run: pyproject.toml requirements/run.txt requirements/build.txt
	@scripts/venv.sh $(VENV) run

$(VENV)/.dev: pyproject.toml requirements/run.txt requirements/build.txt requirements/dev.txt
	@scripts/venv.sh $(VENV) dev
