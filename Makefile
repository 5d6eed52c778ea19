# pysentry: `make help` lists the targets. Everything happens below this folder, in .venv.
SHELL := /bin/bash
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_WORKERS ?= 2

# What the build needs from Debian. Programs that tests run are installed by the tests (tests/harness/programs.py).
BUILD_PACKAGES := gcc libc6-dev python3-venv python3-dev libffi-dev libseccomp2
NATIVE_SOURCES := $(shell find native -name '*.[chS]' -o -name '*.py' -o -name '*.ld')

.PHONY: help run test lint bench generate venv build packages clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build  ## a short tour: real programs under `pysentry run`, as root and as an unprivileged user
	@$(BIN)/python tests/tour.py

test: build  ## lint, generated files, and all tests
	@tests/run_all.sh $(PYTEST_WORKERS)

lint: build  ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: build  ## side by side with no sandbox, runsc, bwrap, proot: a table and bench/results/*.json
	@$(BIN)/python -m bench $(BENCH)

generate: $(VENV)/.installed  ## write the files made from syscall_tables/ (BPF filter, dispatch table, decoders, COMPAT.md)
	$(BIN)/python syscall_tables/generate.py

venv: build  ## .venv with pysentry installed in editable mode

$(VENV)/.installed: pyproject.toml | packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check 'setuptools>=61' wheel 'cffi>=1.15'
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev,bench]'
	@touch $@ $(VENV)/.built

$(VENV)/.built: $(NATIVE_SOURCES) | $(VENV)/.installed
	@test -e $@ && test -z "$$(find $(NATIVE_SOURCES) -newer $@)" || { echo "building native code"; \
	    $(BIN)/python -W ignore setup.py -q build_ext --inplace --force && touch $@; }

build: $(VENV)/.built  ## compile native code and Python again where sources changed
	@$(BIN)/python -m compileall -q src/pysentry src/gofer && $(BIN)/python -m pysentry.cli.pack && \
	    $(BIN)/python -m pysentry.cli.script

packages:
	@missing=; for package in $(BUILD_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" != 0 ]; then \
	    echo "pysentry needs Debian packages that are not installed. As root: apt-get install$$missing" >&2; exit 1; fi; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing

clean:  ## what was built; .venv too
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache tests/guests/build
	find . -name '*.so' -path './src/*' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
