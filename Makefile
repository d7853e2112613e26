# Two commands do everything on a fresh machine: `make bench` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Percent by which a median may exceed the last run: medians on a shared virtual machine vary widely.
LATENCY_TOLERANCE ?= 100

.DEFAULT_GOAL := help
.PHONY: help bench test latency reference-gpu check release-plugins clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV); the first time fetches PyTorch, about 5 GB"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	@touch $@

$(VENV)/.ray: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --editable '.[test,ray]'
	@touch $@

bench: $(VENV)/.installed ## Install, then compare the paper's three defenses (ARGS="--preset mnist" for more)
	$(BIN)/bench run --defenses convae,puvae,defensegan $(ARGS)

test: $(VENV)/.test ## Install the test extras, then run the tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

latency: $(VENV)/.test ## Time every defense against this machine's last run (ARGS="--plugin FILE" for one of yours)
	$(BIN)/python -m pytest tests/latency --benchmark-enable --benchmark-storage=file://results/benchmarks --benchmark-autosave \
		--benchmark-compare --benchmark-compare-fail=median:$(LATENCY_TOLERANCE)% \
		--benchmark-sort=name --benchmark-time-unit=ms --benchmark-columns=median,iqr,min,max,rounds $(ARGS)

reference-gpu: $(VENV)/.installed ## On a GPU, in under ten minutes a call: reference latencies and the preset paper (DATA=FOLDER)
	$(BIN)/python results/measurements/reference_gpu.py $(if $(DATA),--data $(DATA)) $(ARGS)

check: $(VENV)/.dev ## Formatting, lint, strict types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

release-plugins: $(VENV)/.installed ## Accept the files of the built-in plugins as they are, see bench/plugins/released.py
	$(BIN)/python -m bench.plugins.released

clean: ## Remove the virtual environment and tool caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
