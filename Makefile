# One word per job. Works from any path, as root or not; everything it makes is in .venv and .phoenix.

PYTHON ?= python3
PY := .venv/bin/python
# Quiet pip, and no advice about newer versions of it.
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
WITH_SERVERS := $(PY) -m phoenix_site.runtime with-servers

.DEFAULT_GOAL := help
.PHONY: help setup run test test-system smoke check format format-check lint layers types \
	migrations deploy bench e2e clean

help:  ## List the jobs
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

# The stamps make a second call cheap; a changed requirements file installs again.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Phoenix needs Python 3.11 or later.")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@touch $@

.venv/has-runtime: .venv/made requirements.txt
	$(PIP) -r requirements.txt
	@touch $@

.venv/has-tests: .venv/has-runtime requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

setup: .venv/has-tests  ## Make the environment and install the git hook
	@test ! -d .git || test -e .git/hooks/pre-commit || cp .ci/pre-commit .git/hooks/pre-commit

run: .venv/has-runtime  ## Start everything with a sandbox and print what to open and call
	@exec $(PY) manage.py phoenix

test: .venv/has-tests  ## Run all tests with coverage on servers of their own
	$(PY) -m pytest -n auto --dist loadgroup --cov --cov-report=term:skip-covered -q

test-system: .venv/has-tests  ## Run what touches the database on the machine's own PostgreSQL
	PHOENIX_TEST_ENGINE=system $(PY) -m pytest -n auto --dist loadgroup -q -m database

smoke: .venv/has-runtime  ## Run the smoke test against the running Phoenix, or a throw-away one
	@$(PY) -m phoenix_site.runtime with-phoenix --or-running -- $(PY) manage.py smoke

# What CI runs, in this order, stopping at the first failure.
check: .venv/has-tests  ## Run every check and the tests, as CI does
	@$(MAKE) --no-print-directory format-check
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory layers
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory migrations
	@$(MAKE) --no-print-directory deploy
	$(PY) -m pip check
	@$(MAKE) --no-print-directory test
	@if [ -n "$$CI" ] || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; \
	then $(MAKE) --no-print-directory test-system; \
	else echo "No PostgreSQL of the machine's own: the second pass is left out."; fi

format: .venv/has-tests  ## Format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix-only --quiet .

format-check: .venv/has-tests
	$(PY) -m ruff format --check .

lint: .venv/has-tests  ## Look for mistakes
	$(PY) -m ruff check .

layers: .venv/has-tests  ## Check that imports point down
	$(PY) .venv/bin/lint-imports

types: .venv/has-tests  ## Check the types
	$(PY) -m mypy .

migrations: .venv/has-tests  ## Check that every model change has its migration
	$(WITH_SERVERS) -- $(PY) manage.py makemigrations --check --dry-run

deploy: .venv/has-tests  ## Run the system checks as in production
	@$(WITH_SERVERS) --durable -- env PHOENIX_ENV=prod SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		PHOENIX_SECRET_KEYS="$$($(PY) -c 'from cryptography.fernet import Fernet as F; print(F.generate_key().decode())')" \
		ALLOWED_HOSTS=phoenix.example CSRF_TRUSTED_ORIGINS=https://phoenix.example \
		sh -c '$(PY) manage.py migrate --verbosity 0 && $(PY) manage.py check --deploy --fail-level WARNING'

bench: .venv/has-tests  ## Measure the performance promises on this machine
	$(PY) -m bench

e2e: .venv/has-tests  ## Drive a browser against a running Phoenix
	$(PY) -m pytest tests/e2e -q

clean:  ## Delete caches; the environment and the data stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis htmlcov .coverage*
