RUNNER ?= temporal
DATABASE ?= sqlite
PYTHON ?= python3

PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder
PYTEST := .venv/bin/python -m pytest $(PARALLEL)

# Without a wish, uv chooses a Python that the project supports, whichever comes first on the PATH.
UV_PYTHON_OPTION := $(if $(filter environment command,$(firstword $(origin PYTHON))),--python $(PYTHON))

export VIRTUAL_ENV := $(CURDIR)/.venv

.PHONY: help demo test fast lint coverage docs

help:
	@echo "make demo [RUNNER=temporal|celery|none] [DATABASE=sqlite|postgresql]"
	@echo "                                         generate a project and see it do one job"
	@echo "make test                                 the whole test suite"
	@echo "make fast                                 the tests that start no engine"
	@echo "make lint                                 ruff and mypy"
	@echo "make coverage                             what the tests of the wrapper run of it"
	@echo "make docs                                 the documentation as a site, in site/"

demo: .venv/.ready
	@.venv/bin/python -m scripts.demo $(RUNNER) $(DATABASE)

test: .venv/.ready
	$(PYTEST)

fast: .venv/.ready
	$(PYTEST) -m "not slow"

lint: .venv/.ready
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

coverage: .venv/.ready
	.venv/bin/coverage erase
	.venv/bin/coverage run -m pytest $(PARALLEL) tests/wrapper
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report

docs: .venv/.ready
	@.venv/bin/python -m scripts.site

.venv/.ready: pyproject.toml
	@echo "Preparing .venv (once) ..."
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing $(UV_PYTHON_OPTION) .venv && \
		uv pip install --quiet --python .venv/bin/python --editable . --group test; \
	else \
		$(PYTHON) -m venv .venv && .venv/bin/pip install --quiet --upgrade pip && \
		.venv/bin/pip install --quiet --editable . --group test; \
	fi
	@touch $@
