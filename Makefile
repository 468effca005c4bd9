# The commands of the project. They need neither root nor Docker, unless their description says so.
.DEFAULT_GOAL := help
SHELL := /bin/sh
# An empty value lets Python keep its compiled modules, which halves the start of a process.
export PYTHONDONTWRITEBYTECODE :=
# The first supported Python on PATH. To use another one: make PYTHON=/path/to/python3.12 install
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(SUPPORTED)' 2>/dev/null && { command -v $$name; break; }; done)
BIN := .venv/bin
NATIVE := tasks/engine/formats/native
LIBRARY := $(NATIVE)/library.abi3.so
LINTED := .sqlfluff_cache/linted
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet

# The type of the work pool: docker, process, kubernetes or ecs.
POOL ?= docker

# make PROFILE=production doctor: with the variables of deployments/production.env
WITH := $(if $(PROFILE),$(BIN)/dotenv --file deployments/$(PROFILE).env run --)

SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))

# The whole files of integration tests that `make test-fast` runs, besides the unit tests.
FAST := $(addprefix tests/integration/,test_loader.py test_builder_merges.py test_exporter.py test_migrations.py)

.PHONY: help install demo test test-fast test-random check check-types check-style plan explain dictionary new-pipeline put bench bench-peers mutants up down status doctor deploy worker lock
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(LIBRARY) ## Create .venv with the locked dependencies, verified by hash, and compile the native library

.venv/installed: requirements-dev.lock deployments/build-requirements.lock
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUPPORTED)' || \
		{ echo "expected Python 3.11 to 3.13 on PATH, found none: run make PYTHON=/path/to/python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements-dev.lock)"
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		--build-constraints deployments/build-requirements.lock requirements-dev.lock deployments/build-requirements.lock
	@touch $@

# Install the project in editable mode, which compiles the library. If CC is not on PATH, use the locked compiler without
# the linker options of the Python installation, some of which it does not know. The library needs only libc: without
# -nostdlib, this compiler first makes a runtime of its own, which takes 20 s.
$(LIBRARY): .venv/installed pyproject.toml setup.py $(wildcard $(NATIVE)/*.[ch]) $(NATIVE)/sources.py
	@export CC='$(CC)'; command -v $(firstword $(CC)) >/dev/null || { \
		export CC="$(CURDIR)/$(BIN)/python -m ziglang cc -mcpu=baseline" LDSHARED="$(CURDIR)/$(BIN)/python -m ziglang cc -shared -nostdlib -lc"; \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements deployments/compiler.lock; }; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --reinstall-package tally --editable .
	@touch $@

demo: install ## Run all pipelines on sample data and check that every row is accounted for
	$(BIN)/python -m deployments.samples.demo

test: install ## Run the whole test suite on services that it starts itself
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

test-fast: install ## Run the quick unit tests and a few tests of loads, builds, exports and migrations, in less than a minute
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadgroup --no-loadscope-reorder \
		-m "not slow and not docker and not object_store and not pooler" tests/unit $(FAST)

test-random: install ## Run the property tests with a random seed; SEED=... repeats a run
	@echo "SEED=$(SEED)"
	$(BIN)/python -m pytest -q --numprocesses 2 --hypothesis-profile=random --hypothesis-seed=$(SEED) $$(grep -l '^@given' tests/unit/*.py)

check: install ## Check types, style and SQL, at the same time
	@$(MAKE) --no-print-directory --jobs 2 --output-sync check-types check-style $(LINTED)

check-types: ## Check types
	$(BIN)/mypy

check-style: ## Check style, spelling, prefect.yaml, the CloudFormation template and the data dictionary
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/python -m deployments.lint
	$(BIN)/cfn-lint deployments/aws/*.yaml
	$(BIN)/python -m deployments.dictionary --check

# sqlfluff takes longer than all other checks, so it reads only the files that changed after its last success.
$(LINTED): $(shell find sql -name '*.sql') pyproject.toml .venv/installed
	$(BIN)/sqlfluff lint --disable-progress-bar $(or $(if $(filter-out %.sql,$?),,$?),sql)
	@mkdir -p $(@D) && touch $@

dictionary: install ## Write the data dictionary, docs/tables.md and docs/tables.html
	$(BIN)/python -m deployments.dictionary

plan: install ## Print what a load would do and which rows it would reject: DATASET=... and, with partitions, PARTITION=2021-04
	@$(WITH) $(BIN)/python -m deployments.plan $(DATASET) $(PARTITION)

explain: install ## Print where a row comes from: TABLE=schema.table KEY="column=value ...", or TABLE=s3://bucket/key[:line]
	@$(WITH) $(BIN)/python -m flows.explain $(TABLE) $(KEY)

new-pipeline: install ## Write a pipeline from a sample: NAME=... SAMPLE=file or s3://bucket/key, PARTITION=month|day|none, KEY=columns
	@$(WITH) $(BIN)/python -m deployments.scaffold "$(NAME)" "$(SAMPLE)" --partition "$(PARTITION)" --key "$(KEY)"

put: install ## Put a local file into the lake: FILE=2021-04.csv KEY=parcels/2021-04.csv
	@$(WITH) $(BIN)/python -m deployments.put "$(FILE)" "$(KEY)"

bench: install ## Compare Tally with its alternatives: PART=formats ROUNDS=3 SCALE=0.1; KEEP=docs writes the figures
	$(BIN)/python -m benchmarks $(PART) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SCALE),--scale $(SCALE)) $(if $(KEEP),--keep $(KEEP))

bench-peers: install .venv-bench/installed ## Install the other tools that `make bench` compares, in .venv-bench

.venv-bench/installed: requirements-bench.lock
	$(PYTHON) -m venv --clear .venv-bench
	$(BIN)/uv pip sync --quiet --compile-bytecode --python .venv-bench/bin/python --require-hashes requirements-bench.lock
	@touch $@

mutants: install .venv-mutants/installed ## Run the tests of FILE=... on mutants of it; COUNT=... and SECONDS=... limit the run
	@test -n "$(FILE)" || { echo "expected a C file of $(NATIVE), or dispositions.py or histories.py of tasks/engine/build, found no FILE: run make mutants FILE=..." >&2; exit 1; }
	nice $(BIN)/python -m tests.mutants $(FILE) $(or $(COUNT),1000) $(or $(SECONDS),3600)

.venv-mutants/installed: requirements-mutants.lock
	$(PYTHON) -m venv --clear .venv-mutants
	$(BIN)/uv pip sync --quiet --python .venv-mutants/bin/python --require-hashes requirements-mutants.lock
	@touch $@

up: install ## Start Postgres, S3, a Prefect server with its UI and a worker in the background
	$(BIN)/python -m deployments.local.stack up

down: install ## Stop the services of `make up`
	$(BIN)/python -m deployments.local.stack down

status: install ## Print what is loaded, what failed and why, and what is late
	$(WITH) $(BIN)/python -m deployments.status

doctor: install ## Check the installation: the Prefect server, the warehouse, the buckets, the ledger
	$(WITH) $(BIN)/python -m deployments.doctor

deploy: install ## Register the Prefect objects, build the image and deploy all flows; POOL=process needs no Docker
	$(WITH) $(BIN)/python -m deployments.register --pool $(POOL) --deploy

worker: install ## Start a worker in the foreground, which runs the flows of the pool POOL
	$(WITH) $(BIN)/prefect worker start --pool tally-$(POOL) --type $(POOL)

lock: ## Resolve the dependencies again and write the lock files
	$(BIN)/$(LOCK) pyproject.toml --extra dev --output-file requirements-dev.lock
	$(BIN)/$(LOCK) pyproject.toml --constraints requirements-dev.lock --output-file requirements.lock
	$(BIN)/$(LOCK) --group bench --output-file requirements-bench.lock
	$(BIN)/$(LOCK) --group mutants --output-file requirements-mutants.lock
	echo ziglang | $(BIN)/$(LOCK) - --output-file deployments/compiler.lock
	echo uv | $(BIN)/$(LOCK) - --constraints requirements-dev.lock --output-file deployments/installer.lock
