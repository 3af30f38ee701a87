# The two commands: `make reproduce` and `make test`. Everything is installed into .venv; no root, conda or GPU needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= config/config.yaml
export PATH := $(abspath $(BIN)):$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true
PARALLEL := -n logical --dist worksteal

.PHONY: help setup reproduce smoke test test-slow test-without-data check coverage lint benchmark ui clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

setup: $(VENV)/.installed ## make the environment in .venv

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bnnbench needs Python 3.11 or newer; name one: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

reproduce: setup ## fetch data, run the workflow and say what was decided (CONFIG=config/config.yaml: laptop scale; FETCH=no)
	@bnnbench reproduce --config $(CONFIG) $(if $(filter no,$(FETCH)),--no-fetch)

smoke: setup ## the same in some 10 minutes, on tiny settings and without a download
	@bnnbench reproduce --config config/smoke.yaml --no-fetch

test: lint ## lint, type-check and run the tests, a process a core
	pytest $(PARALLEL) --durations=12

test-slow: setup ## the tests that `make test` leaves out because they take long; CI runs them too
	pytest $(PARALLEL) -m "slow and not gpu"

test-without-data: setup ## the tests that depend on data, as on a machine that has none
	XDG_CACHE_HOME=$$(mktemp -d) env -u BNNBENCH_DATA pytest $(PARALLEL) -m "data and not slow and not gpu"

check: lint ## lint, type-check and run the tests of the folders that were changed since the last commit
	@changed=$$(git diff --name-only HEAD -- bnnbench tests | sed -nE 's#^(bnnbench|tests)/([a-z]+)/.*#tests/\2#p' | sort -u); \
	for folder in $$changed; do [ -d $$folder ] && found="$$found $$folder"; done; \
	if [ -n "$$found" ]; then pytest $(PARALLEL) -x $$found; fi

coverage: setup ## run the tests and say which lines none of them reaches
	pytest $(PARALLEL) --cov --cov-report=term

lint: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

benchmark: setup ## time the kernels with pytest-benchmark
	pytest --benchmark

ui: setup ## open the MLflow UI, following running jobs
	bnnbench ui --config $(CONFIG)

clean: ## remove results (not results/recorded) and the tracking database
	rm -rf results/smoke results/laptop results/paper results/.workflow.lock results/.tracking.lock mlflow.db .mlflow.db.lock mlruns .snakemake
