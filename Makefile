# `make quickstart` and `make test` work on a fresh machine with Python >= 3.11, and twice.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Small models are slower with two threads a process than with one; Ray runs one process a core instead.
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test slow check format docs reference install dev clean

quickstart: install
	$(BIN)/w2s run experiments/quickstart.yaml

# A Ray wants the machine for itself; the other tests share it, a file a process, in the order of their names: what
# takes long comes first.
SHARED := -n 2 --dist loadfile --no-loadscope-reorder
test: dev
	$(BIN)/python -m pytest -q $(SHARED) -m 'not ray and not slow and not gpu'
	$(BIN)/python -m pytest -q -m 'ray and not slow and not gpu'

slow: dev
	$(BIN)/python -m pytest -q $(SHARED) -m 'slow and not ray and not gpu'
	$(BIN)/python -m pytest -q -m 'slow and ray and not gpu'

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m w2s_ray.engine.lock

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A broken link or anchor, or a page that is not in the navigation, is an error (with --quiet none would be).
docs: dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pages of docs/reference/, from the code.
reference: dev
	$(BIN)/python -m w2s_ray.cli.reference

install: .venv/installed
dev: .venv/installed-dev

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable . --constraint constraints.txt
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[dev]' --constraint constraints.txt
	touch .venv/installed $@

clean:
	rm -rf .venv build site *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
