# Doorward. `make demo` shows it, `make serve` keeps it running, `make test` proves it.
# Needs Python 3.11 or newer, pip and make; everything is installed into $(VENV), nothing outside this directory.

.POSIX:
.SUFFIXES:

VENV    = .venv
BIN     = $(VENV)/bin
TESTS   = tests
WORKERS ?= 3
ONLY    =
ARGS    =

RUNTIME = $(VENV)/.runtime-installed
TESTING = $(VENV)/.testing-installed
LOCKING = $(VENV)/.locking-installed

# Debian ships Python without `ensurepip`: there, the machine's own pip fills the environment from outside.
PIP = pip() { if $(BIN)/python -c 'import pip' 2>/dev/null; then $(BIN)/python -m pip "$$@"; \
	else "$$($(BIN)/python -c 'import sys; print(sys._base_executable)')" -m pip --python $(BIN)/python "$$@"; fi; }; \
	pip install --quiet --disable-pip-version-check --no-input --prefer-binary

.PHONY: help demo serve test check bench lock docs messages clean

help:
	@echo 'make demo      watch a door under attack for a minute; writes demo-result.json and demo-report.html'
	@echo 'make serve     the same set-up, kept running; prints the console and a one-time admin link'
	@echo 'make test      linters, types, import contracts and all tests        (TESTS=path ARGS=…)'
	@echo 'make check     the fast part of it: linters, types, contracts, architecture'
	@echo 'make bench     measure, write bench/results.json and bench/RESULTS.md  (ONLY=name)'
	@echo 'make docs      generate docs/reference from the code'
	@echo 'make messages  gather and compile the translations'
	@echo 'make lock      renew requirements/*.txt from pyproject.toml'
	@echo 'make clean     remove the environment and everything that was built'

demo: $(RUNTIME)
	@$(BIN)/doorward demo $(ARGS)

serve: $(RUNTIME)
	@exec $(BIN)/doorward serve --admin-link $(ARGS)

test: $(TESTING) lint
	$(BIN)/pytest -n $(WORKERS) $(TESTS) $(ARGS)

check: $(TESTING) lint
	$(BIN)/pytest tests/architecture -m 'not slow' $(ARGS)

.PHONY: lint
lint: $(TESTING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .mypy_cache/import_linter

bench: $(TESTING)
	@$(BIN)/python bench/run.py $(ONLY)

docs: $(TESTING)
	@$(BIN)/python docs/reference/generate.py

CONSOLE = src/doorward/edge/console
messages: $(TESTING)
	@mkdir -p build
	$(BIN)/pybabel --quiet extract --mapping-file $(CONSOLE)/babel.cfg --no-location --output-file build/doorward.pot src/doorward
	$(BIN)/pybabel --quiet update --domain doorward --input-file build/doorward.pot --output-dir $(CONSOLE)/translations \
		--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel compile --domain doorward --directory $(CONSOLE)/translations --statistics

COMPILE = $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --no-annotate \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
TEST_GROUP = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["test"], sep="\n")
lock: $(LOCKING)
	@mkdir -p build
	@$(BIN)/python -c '$(TEST_GROUP)' > build/test.in
	$(COMPILE) --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --output-file requirements/build.txt requirements/build.in
	$(COMPILE) --output-file requirements/test.txt --all-extras --constraint requirements/runtime.txt \
		--constraint requirements/build.txt pyproject.toml requirements/build.in requirements/test.in build/test.in
	@git --no-pager diff --stat -- requirements

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. A stamp is as old as the lock that it stands for, so that the second run starts at once.

$(BIN)/python:
	@for python in $${PYTHON:-python3.11} python3 python3.12 python3.13 python3.14; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version). The first run installs for about half a minute."; \
			"$$python" -m venv $(VENV) >/dev/null 2>&1 || "$$python" -m venv --clear --without-pip $(VENV); exit; \
		fi; \
	done; \
	echo 'Doorward needs Python 3.11 or newer. Install it, or say where it is: PYTHON=/path/to/python3.11 make …' >&2; exit 1

$(RUNTIME): $(BIN)/python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo 'Installing the locked dependencies and Doorward …'
	@$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(TESTING): $(RUNTIME) requirements/test.txt
	@echo 'Installing the locked test tools …'
	@$(PIP) --require-hashes -r requirements/test.txt
	@touch $@

$(LOCKING): $(BIN)/python
	@$(PIP) 'pip-tools>=7.5'
	@touch $@
