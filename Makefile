# Every word works in a fresh clone with Python 3.11 to 3.13 and make: the environment is .venv, made on first use.
# PYTHON=...  chooses the interpreter of a new environment;  ARGS=...  goes to pytest or to the benchmarks.

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
PROJECTS := $(wildcard packages/*/pyproject.toml)

.DEFAULT_GOAL := demo
.PHONY: demo test check bench bench-loading docs pants

# Train on handwritten digits read from object storage; URI=s3://bucket/prefix reads yours.
demo: .venv/.demo
	.venv/bin/python examples/train_digits.py $(URI)

test: .venv/.test
	.venv/bin/python -m pytest -n 2 --dist loadscope $(ARGS)

check: .venv/.test
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/mypy packages/s3dlio-core/src tests/core
	.venv/bin/python tools/check_build.py

bench: .venv/.bench
	.venv/bin/python -m benchmarks $(ARGS)

# Epochs through a DataLoader, and distributed checkpoints, beside what people use for them.
bench-loading: .venv/.bench
	.venv/bin/python -m benchmarks.loading $(ARGS)
	.venv/bin/python -m benchmarks.loading.checkpoints

# The API reference, from the docstrings, as pages under docs/_build.
docs: .venv/.docs
	.venv/bin/python -m pdoc --output-directory docs/_build s3dlio s3dlio_torch

# The same checks, tests and distribution of core, built by Pants from declared dependencies alone.
pants:
	tools/pants check test package packages/s3dlio-core:: tests/core::

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: requirements/demo.txt constraints.txt $(PROJECTS) | .venv/bin/python
	$(PIP) --requirement requirements/demo.txt
	@touch $@

.venv/.test: requirements/test.txt requirements/demo.txt constraints.txt $(PROJECTS) | .venv/bin/python
	$(PIP) --requirement requirements/test.txt
	@touch $@

.venv/.bench: requirements/bench.txt .venv/.test
	$(PIP) --requirement requirements/bench.txt
	@touch $@

.venv/.docs: requirements/docs.txt .venv/.demo
	$(PIP) --requirement requirements/docs.txt
	@touch $@
