# piStats: every command a newcomer or CI needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Three on two cores: one or two of them wait for a process to start or a lease to end.
WORKERS ?= 3
UV_VERSION := 0.13.9
# A system is twenty processes, and a test run starts hundreds: none of them shall compile again what it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv demo up check test bench lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

venv: $(STAMP) ## create .venv from the hash-locked requirements

# An environment that failed halfway, for want of Debian's python3-venv, has a python and no pip: it is made again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("piStats needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "Installing the locked requirements into $(VENV): some 600 MB to fetch, the first time only …"
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: venv ## everything on this machine, with a demo site and simulated visitors
	$(BIN)/pistats up --demo

up: venv ## everything on this machine, without the demo
	$(BIN)/pistats up

check: venv ## lint, types and import rules, in seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## lint, types, import rules and all tests
	$(BIN)/pytest -n $(WORKERS) --max-worker-restart 0

bench: venv ## the benchmarks; results go to benchmarks/results
	$(BIN)/python -m benchmarks

.PHONY: screenshots
screenshots: venv ## every page of the dashboard, light and dark, wide and narrow, into artifacts/
	$(BIN)/python -m tests.browser.screenshots

.PHONY: reference
reference: venv ## docs/CLI.md and docs/SETTINGS.md, made from the code
	$(BIN)/typer pistats.cli utils docs --name pistats --title "The command line" --output docs/CLI.md
	$(BIN)/python -m pistats.settings_reference > docs/SETTINGS.md

lock: ## resolve the dependencies again into requirements.lock
	test -x $(BIN)/uv || ($(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION))
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
