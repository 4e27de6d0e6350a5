# Two commands matter: `make run` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
TEST_WORKERS ?= auto

.PHONY: run test check format bench lock clean help

help: ## Show what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: $(VENV)/.run ## Set up, then rehearse a whole mission in the terminal (ARGS="--local-remote" …)
	@$(BIN)/cockpit rehearse $(ARGS)

test: $(VENV)/.dev ## Set up, then run the whole test suite in parallel and in random order
	@$(BIN)/python packaging/setup.py tests
	@$(BIN)/pytest -n $(TEST_WORKERS) $(ARGS)

check: $(VENV)/.dev ## Format, lint, types, import contracts, dead code, unused dependencies
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/deptry .

format: $(VENV)/.dev ## Format and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure the performance goals against their controls
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lock: $(VENV)/.dev ## Pin every dependency again, with hashes and without addresses
	@$(BIN)/python packaging/lock.py

clean: ## Remove the environment; data of the cockpit is elsewhere and stays
	rm -rf $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml packaging/setup.py
	@$(PYTHON) packaging/setup.py run

$(VENV)/.dev: requirements/dev.txt pyproject.toml packaging/setup.py
	@$(PYTHON) packaging/setup.py dev
