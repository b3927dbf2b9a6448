# make demo, make test: everything from Python 3.11+ and the package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TWO_FILES := -n 2 --dist loadfile --no-loadscope-reorder
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: install demo demo-seeds test test-faults test-slow test-gpu chaos check fix bench clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)
	$(BIN)/kindred demo

demo-seeds: $(STAMP)
	$(BIN)/python -m tests.benchmarks.seeds jobs/recipes/demo.yaml --seeds 0 1 2

test: $(STAMP)
	$(BIN)/python -m pytest $(TWO_FILES)

test-faults: $(STAMP)
	$(BIN)/python -m pytest $(TWO_FILES) --durations=12 -m "slow and fault"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow and not fault"

chaos: $(STAMP)
	$(BIN)/python -m tests.faults.chaos --faults 100

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks.ray_throughput jobs/recipes/demo.yaml

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache
