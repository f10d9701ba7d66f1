# Needs Python >= 3.11, git and make. Every target brings .venv up to date by itself; PYTHON=... chooses the Python.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check test wheel-test bench demo clean
unexport PYTHONPATH PYTHONHOME
export PYTHON

PY := .venv/bin/python
BENCHES = $(filter-out bench/peer_% bench/served.py bench/worker.py bench/workload.py,$(sort $(wildcard bench/*.py)))

help: ## Show this list
	@echo "Callboard: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-13s %s\n' "$$name" "$$text"; done

setup: ## Make .venv with everything that developing needs
	@.ci/venv dev

check: setup ## Lint, formatting and types (ruff, mypy, pyright); a warning is an error
	$(PY) -m ruff check --output-format=concise .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .typing/callboard $(wildcard tests examples bench)
	$(PY) -m pyright --pythonpath $(PY) --warnings

test: setup ## All tests, in two processes, then those marked `wheel` against the built wheel; ARGS="-k claim" goes to pytest
	$(PY) -m pytest tests -n 2 --dist loadfile $(ARGS)
	@.ci/wheel

wheel-test: setup ## Only the tests marked `wheel`, against the built wheel in an environment of its own
	@.ci/wheel

bench: setup ## Measure speed and memory; FILES="bench/kernel.py" chooses, ARGS=... goes to each
	@set -e; for file in $(or $(FILES),$(BENCHES)); do echo "== $$file"; $(PY) $$file $(ARGS); done

demo: ## Index the standard library with two node processes; STORE=postgres, redis or a URL, ARGS="--kill --json"
	@.ci/venv $(if $(filter postgres% redis%,$(STORE)),demo,run)
	@$(if $(filter postgres redis,$(STORE)),$(PY) .ci/demo.py $(STORE),.venv/bin/callboard demo $(if $(STORE),--store '$(STORE)')) $(ARGS)

clean: ## Remove .venv, caches and build leftovers
	rm -rf .venv .mypy_cache .ruff_cache build dist callboard.egg-info tests/.pytest_cache tests/.hypothesis
