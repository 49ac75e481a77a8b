# Two commands matter: `make run` and `make test`. Both set everything up first, with Python, make and pip alone.
PYTHON ?= python3
PORT ?= 8000
MINUTES ?= 10
# Tests mostly wait for the start of processes: two files at a time keep two cores busy. One at a time: AT_ONCE=0
AT_ONCE ?= $(if $(FRESHET_TEST_REDIS_URL),0,2)
PYTEST = $(BIN)/python -m pytest --numprocesses $(AT_ONCE) --dist loadfile
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-full bench bench-exports bench-soak lint setup setup-dev lock clean help
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup ## set everything up and serve the bundled definitions on 127.0.0.1:8000 (PORT= changes it)
	@exec $(BIN)/freshet up --port $(PORT)

test: setup-dev ## every test but the long ones, on a real PostgreSQL and a real Redis that the tests start and stop
	$(PYTEST) -m "not full"

test-full: setup-dev $(VENV)/.installed-spark ## every test; wants Java for those on Spark
	$(PYTEST)

bench: setup-dev ## Freshet beside feast serve and the limit of Python (20 minutes, wants wrk): benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks

bench-exports: setup-dev ## training sets beside stock Feast's and bare DuckDB's (10 minutes): benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks exports

bench-soak: setup-dev ## 10 minutes at half of the peak rate: do memory and descriptors stay flat (MINUTES= changes it)
	@$(BIN)/python -m benchmarks soak --minutes $(MINUTES)

lint: setup-dev ## ruff, mypy --strict, import-linter, alembic check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.alembic_check

setup: $(VENV)/.installed-run ## only the environment: .venv with the freshet command
setup-dev: $(VENV)/.installed-dev ## the environment with the development tools

# uv comes from the same hashed lock and installs ten times faster than pip; where it cannot (a pip.conf mirror that
# uv does not read, say), pip does the same from the same file.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r $(1) \
	  || $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
endef

$(VENV)/.installed-run: requirements.lock requirements-bootstrap.lock
	$(call install,requirements.lock)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock requirements-bootstrap.lock
	$(call install,requirements-dev.lock)
	@touch $@ $(VENV)/.installed-run

$(VENV)/.installed-spark: requirements-spark.lock $(VENV)/.installed-dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-spark.lock
	@touch $@

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock: setup-dev ## resolve pyproject.toml again into the hashed locks
	$(LOCK) --upgrade requirements-bootstrap.in -o requirements-bootstrap.lock
	$(LOCK) --upgrade pyproject.toml --group dev -c requirements-bootstrap.lock -o requirements-dev.lock
	$(LOCK) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(LOCK) --upgrade requirements-spark.in -c requirements-dev.lock -o requirements-spark.lock

clean: ## remove the environment and the caches (data stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
