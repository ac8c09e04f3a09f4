# Everything runs in .venv, which the targets create.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo lab test test-long check format chaos chaos-store bench docs pictures notebooks dist clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 13

demo: .venv/core ## write a sample study and process it on the embedded queue
	@$(BIN)/analytics-kit demo; code=$$?; $(BIN)/analytics-kit down; exit $$code

lab: .venv/lab ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/01_first_study.ipynb

test: .venv/dev ## run the checks, then all tests
	@for part in redis-server openssl chromium; do sh scripts/need.sh $$part || exit 1; done
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n logical --dist loadfile

test-long: .venv/dev ## run the tests that take too long for `make test`
	$(BIN)/python -m pytest -m long

check: .venv/dev ## run formatter, linter and type checker without changing files
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/dev ## format the code and apply the linter's fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

chaos: .venv/dev ## kill processes at random for five minutes while 100 jobs run; no job may be lost
	$(BIN)/python tests/chaos/chaos.py --seconds 300 --jobs 100 --seed $${SEED:-1}

chaos-store: .venv/dev ## take an S3 store away for 15 and for 60 s while jobs run; a few minutes
	$(BIN)/python tests/chaos/store_chaos.py --jobs 8

bench: .venv/dev ## measure speed and memory against peers and print a table
	$(BIN)/python -m benchmarks

docs: .venv/dev ## regenerate docs/metrics.md and its drawings
	$(BIN)/python scripts/metrics_page.py

pictures: .venv/dev ## retake the README's screenshots with the browser test that checks them
	$(BIN)/python -m pytest -q tests/browser/test_panel.py -k "queued_to_completed and lab"
	cp build/screenshots/panel-running-light.png docs/panel-running.png
	cp build/screenshots/panel-completed-light.png docs/panel-completed.png

notebooks: .venv/dev ## run the notebooks and save their outputs
	$(BIN)/python scripts/renew.py

dist: .venv/dev ## build the wheel and the sdist into dist/ and check both
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python scripts/check_dist.py dist

clean: ## remove the environment, caches and compiled kernels
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/analytics_kit/kernels" "$$HOME/Library/Caches/analytics_kit/kernels"

.venv/bin/python:
	@sh scripts/need.sh python3-venv
	$(PYTHON) -m venv .venv

.venv/core: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/lab: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[lab,server]'
	@touch $@

.venv/dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
