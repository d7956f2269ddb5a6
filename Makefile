# Everything a developer does; `make help` lists it. `make run` and `make test` need no other step first.
VENV := .venv
BIN := $(VENV)/bin
MUTANTS = $(BIN)/python -m tests.mutation $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(if $(MODULE),--module $(MODULE))
# Otherwise each of the processes that a target starts compiles the application, and each pytest rewrites all tests.
unexport PYTHONDONTWRITEBYTECODE
LOCK := --universal --generate-hashes --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run test test-busy test-python check-lock test-containers lint audit types format lock release docs site screenshots soak webhook-load fault-mix conformance client-kills mutants mutants-python mutants-lua mutants-client simulate bench clean clean-data

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: ## build .venv with all tools from the lock file and install the page's modules (PYTHON=python3.12 picks one)
	@PYTHON="$(PYTHON)" scripts/setup

run: ## start everything on this machine, with demo data (PORT=5001 for another port)
	@PYTHON="$(PYTHON)" scripts/setup run
	@exec $(BIN)/dashboard up --demo $(if $(PORT),--port "$(PORT)")

test: setup ## run the whole test suite against real servers, which it starts
	@$(BIN)/python -m tests

test-busy: setup ## run it beside two busy loops (TESTS=tests/scenarios runs only those)
	@TEST_BUSY_LOOPS=2 $(BIN)/python -m tests $(TESTS)

test-python: setup ## run the unit and scenario parts with another Python (PYTHON=python3.14 TESTS=tests/core)
	@PYTHON="$(PYTHON)" TESTS="$(TESTS)" scripts/test-python

check-lock: ## look whether every locked package has a wheel for each supported Python (needs uv)
	@scripts/test-python --check-lock

test-containers: setup ## test the compose stack: build, start, kill, scale (needs root and apt)
	@tests/containers/run

lint: setup ## check style, import contracts and declared dependencies
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/deptry .
	@$(BIN)/deptry clients/python/src --config clients/python/pyproject.toml

audit: setup ## look the locked packages up in the advisory database (needs access to it)
	@test -x .cache/audit/bin/pip-audit || { $(PYTHON) -m venv .cache/audit && .cache/audit/bin/pip install --quiet 'pip-audit>=2.10,<3'; }
	@.cache/audit/bin/pip-audit --disable-pip --require-hashes -r requirements.lock

types: setup ## check types with mypy, strict
	@$(BIN)/mypy && $(BIN)/mypy --config-file clients/python/pyproject.toml

format: setup ## format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: ## resolve pyproject.toml and the page's package.json into their lock files (needs uv and npm)
	uv pip compile pyproject.toml --extra dev $(LOCK) -o requirements.lock
	uv pip compile pyproject.toml --extra run -c requirements.lock $(LOCK) -o requirements-run.lock
	uv pip compile pyproject.toml --extra telemetry --extra sentry -c requirements.lock $(LOCK) -o deploy/image/requirements.lock
	uv pip compile deploy/image/build.in $(LOCK) -o deploy/image/build.lock
	uv pip compile deploy/release/sbom.in $(LOCK) -o deploy/release/sbom.lock
	npm install --prefix app/dashboard --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund

release: setup ## build wheels, sdists, npm package, lists of parts (SBOM) and checksums into dist/ (docs/how-to/release.md)
	@$(BIN)/python scripts/release.py

docs: setup ## generate the reference pages, the types and the client packages' calls
	@$(BIN)/python -m tests.support.document_tools

site: setup ## build the documents as a site into .cache/site (nothing from another host)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "$(CURDIR)/.cache/site/index.html"

screenshots: setup ## take the README's pictures from a running demo (three minutes)
	@$(BIN)/python -m tests.browser.tour

soak: setup ## run five minutes of load under random kills (SOAK_SECONDS=3600 for an hour)
	@$(BIN)/python -m pytest -m soak -s tests/faults/test_soak.py

webhook-load: setup ## deliver 10,000 events to 20 endpoints, five of them bad (four minutes)
	@$(BIN)/python -m pytest -m soak -s tests/faults/test_webhook_faults.py

fault-mix: setup ## run a minute of random faults under load (FAULT_MIX_SECONDS=1800 for half an hour)
	@$(BIN)/python -m pytest -m soak -s tests/faults/test_fault_mix.py

conformance: setup ## prove both client packages with all conformance cases (CASES="room-live …" selects some)
	@$(BIN)/python -m clients.conformance $(CASES)

client-kills: setup ## prove them against a real system under ten minutes of random kills (MINUTES=60 for an hour)
	@$(BIN)/python -m clients.conformance.kills --minutes $(or $(MINUTES),10)

mutants: setup ## run mutation tests of everything (SAMPLE=40 SEED=7 MODULE=ledger)
	@$(MUTANTS) protocols payments auth http realtime lua client

mutants-python: setup ## run mutation tests of the Python packages
	@$(MUTANTS) protocols payments auth http realtime

mutants-lua: setup ## try mutants of the Lua scripts in the simulation; writes docs/limiter-proof.md (SAMPLE=100)
	@$(BIN)/python -m tests.simulation.mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))
	@$(MUTANTS) lua

mutants-client: setup ## run mutation tests of the JavaScript room client
	@$(MUTANTS) client

simulate: setup ## run ten million random steps of the limiter (STEPS=100000000 SEED=7; REPLAY=7/4 repeats one episode)
	@$(BIN)/python -m tests.simulation $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED)) $(if $(REPLAY),--replay $(REPLAY))

bench: setup ## measure against other libraries; writes the tables of bench/README.md
	@$(BIN)/python -m bench

clean: ## remove everything built; keeps the embedded data
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info clients/python/src/*.egg-info

clean-data: ## delete the embedded data: database with its ledger, Redis, signing key
	rm -rf .dashboard
