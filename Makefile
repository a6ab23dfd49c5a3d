# One command sets everything up and runs the main job (make bench), one passes the tests (make test; make test-all).
# The first call makes .venv and installs the project; later calls notice that nothing changed and start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: bench reference test test-all faults docs lint format throughput gpu clean help

help:
	@echo "make bench       set up, then run the quick suites: tables here, report.html under runs/quick and runs/rl-quick"
	@echo "make test        set up, then run the tests, but those marked slow"
	@echo "make test-all    set up, then run all tests"
	@echo "make faults      set up, then kill, damage and lie to the project for a while: counts here"
	@echo "make reference   set up, then run the suites whose results ship with the package, ten seeds each, and write them there"
	@echo "make docs        set up, then build the documentation site, notebooks run: site/index.html"
	@echo "make lint        set up, then run the linter and the type checker"
	@echo "make throughput  set up, then measure training and integration speed"
	@echo "make gpu         set up, then measure on the GPU that is here, in ten minutes at most: docs/gpu.md"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(0 if ok else f"Python {sys.version.split()[0]} found; phys-samplers needs 3.11 to 3.13. Name one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

bench: $(STAMP)
	$(BIN)/phys-samplers bench run quick
	$(BIN)/phys-samplers bench run rl-quick

REFERENCE ?= quick
reference: $(STAMP)
	for suite in $(REFERENCE); do \
	  $(BIN)/phys-samplers bench run $$suite --seeds 10 --out runs/reference-$$suite --no-report && \
	  $(BIN)/phys-samplers bench reference runs/reference-$$suite || exit 1; \
	done

test: $(STAMP)
	$(PYTEST)

test-all: $(STAMP)
	$(PYTEST) -m ''

faults: $(STAMP)
	$(PYTEST) -m '' --dist no -n 0 tests/faults tests/bench/test_hostile.py tests/bench/test_process_run.py tests/bench/test_store.py

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	PATH="$(CURDIR)/$(BIN):$$PATH" OMP_NUM_THREADS=1 PHYS_SAMPLERS_PROGRESS=0 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

throughput: $(STAMP)
	$(BIN)/python benchmarks/throughput/integrators.py
	$(BIN)/python benchmarks/throughput/replicas.py
	$(BIN)/python benchmarks/throughput/sampling.py
	$(BIN)/python benchmarks/throughput/training.py
	$(BIN)/python benchmarks/throughput/value_gradient.py
	$(BIN)/python benchmarks/throughput/return_models.py

gpu: $(STAMP)
	$(BIN)/python benchmarks/throughput/on_gpu.py --out docs/gpu.md

clean:
	rm -rf $(VENV) runs site docs/gallery/runs .cache .pytest_cache .ruff_cache .mypy_cache
