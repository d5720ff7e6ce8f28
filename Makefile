# make demo    install, then two demo benchmarks from data to report
# make test    install, then the tests
#              (TESTS="..." chooses others by their marks)
# make test-long  the tests of minutes: demos and published data from download to report
# make test-cluster  the tests of pods on the cluster that KUBECONFIG names, with all of Dagster in it (10 minutes);
#              AB_ASSETS_TEST_POD names a pod spec with which its pods run this checkout
# make ui      the Dagster UI on this machine
# make bench   fine-tuning beside transformers' Trainer (an hour), splits beside GraphPart and DataSAIL, each stage of
#              100,000 pairs beside the same by hand (40 minutes), and 600 runs that compute nothing (half an hour)
# make bench-gpu  fine-tuning, embedding and the 15B plan on the GPU of this machine
# make lint    ruff, mypy, import-linter
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS := not real_weights and not long
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-long test-cluster bench bench-gpu lint ui install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python >= 3.11 is needed, this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.12")'
	@echo "Installing into $(VENV) (about 3 GB; some minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) torch==2.13.0
	@$(PIP) --editable '.[test,lint]'
	@touch $@

demo: install
	@$(BIN)/ab-assets demo

ui: install
	@$(BIN)/ab-assets ui

test: install
	@$(BIN)/python -m pytest -n auto --dist loadgroup -m "$(TESTS)"

test-long: TESTS := (real_weights or long) and not cluster
test-long: test

test-cluster: install
	@$(BIN)/python -m pytest -m cluster

bench: install
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r benches/requirements.txt
	@OMP_NUM_THREADS=1 $(BIN)/python -m benches.fine_tuning
	@$(BIN)/python -m benches.splits_side_by_side
	@$(BIN)/python -m benches.stages
	@$(BIN)/python -m benches.orchestration

bench-gpu: install
	@$(BIN)/python -m benches.gpu

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .venv-bench .ab-assets
