# Two commands do everything: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-all lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      set up, meta-train on the embedded data, search, train the winner, write a report"
	@echo "make test      set up, lint, type-check, run the tests (under 15 minutes on 2 cores)"
	@echo "make test-all  the same with the slow tests"
	@echo "make lint      ruff, mypy, import-linter"

# The stamps say for which pyproject.toml the environment was made. The demo needs no test tools.
$(VENV)/.run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.run

demo: $(VENV)/.run
	$(BIN)/metad2a demo

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --durations=10

test-all: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=20

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
