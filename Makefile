# The few things to do here; each does all the set-up it needs. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit lint format lock clean

# The first Python that fits; name another with `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null \
	&& echo $$p && break; done || true)
VENV := .venv/bin
EXAMPLE := examples/image_text

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: ## build the environment in .venv (nothing to do where it stands already)
	@test -n "$(PYTHON)" || { echo "set-up failed: Python 3.11, 3.12 or 3.13 is needed and none" \
		"is on the PATH: install one, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py

demo: setup ## pretrain two models, fuse them, train, check, publish, predict
	@$(VENV)/python $(EXAMPLE)/pretrain.py
	@$(VENV)/fusion run $(EXAMPLE)/fusion.yaml
	@$(VENV)/python $(EXAMPLE)/show.py

test: setup lint ## lint, types, import rules, then every test
	@$(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-unit: setup ## the tests that take seconds
	@$(VENV)/python -m pytest -m "not end_to_end and not component"

lint: setup ## ruff, mypy, import rules
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports

format: setup ## let ruff format and mend
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

lock: setup ## pin the newest dependencies that setup.py allows
	@$(VENV)/uv pip compile setup.py --extra examples --extra dev --universal \
		--python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--upgrade --quiet --output-file requirements.lock

clean: ## take away the environment and what the examples made
	rm -rf .venv .setup.lock
	rm -rf examples/*/data examples/*/models examples/*/runs examples/*/serving
