# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
MANAGE := $(BIN)/python manage.py
ARGS ?=
NO_DATABASE := DATABASE_URL=postgresql://127.0.0.1:1/none FLAGSHIP_SECRET_KEY=only-for-make-check-0123456789abcdef-0123456789abcdef

# Every command starts processes of its own; what is compiled once is kept for them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up test check faults attack fuzz soak bench clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 8

demo: .venv/.ready ## Start a system, tell its story on real sites, check every step of it, stop
	$(MANAGE) demo $(ARGS)

up: .venv/.ready ## Start a system and keep it running until Ctrl-C
	$(MANAGE) up $(ARGS)

test: .venv/.ready ## Run every test, in two lanes (ARGS="tests/unit -k ledger" for some)
	$(BIN)/python -m tests $(ARGS)

# Drift shows between models and migration files alone: no database is asked, and none is missed.
check: .venv/.ready ## Format, lint, types, import contracts, migrations, Django's own checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(NO_DATABASE) $(BIN)/python -W 'ignore:Got an error checking a consistent migration history' \
		manage.py makemigrations --check --dry-run
	$(NO_DATABASE) SECURE_COOKIES=true $(MANAGE) check --deploy --fail-level WARNING

faults: .venv/.ready ## Strike jobs at every boundary, break both servers; ends with one line of JSON
	$(BIN)/python -m tests.faults.matrix $(ARGS)

attack: .venv/.ready ## Attack builds and credits, then without each of their guards; ends with one line of JSON
	$(BIN)/python -m tests.attack $(ARGS)

# A tenth of the full size unless FULL=1; SEED=n repeats a run, ARGS="--case n" one raw request.
fuzz: .venv/.ready ## Send nonsense to every operation over HTTP (FULL=1, SEED=n); ends with one line of JSON
	$(BIN)/python -m tests.fuzz $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: .venv/.ready ## Run the kill and race tests and the histories at full size
	FLAGSHIP_SOAK=1 $(BIN)/python -m pytest -o timeout=3600 tests/faults tests/races tests/histories tests/browser tests/fuzz $(ARGS)

bench: .venv/.ready ## Measure the work engine beside Oban, Celery and rq, or ARGS=hundred_probes
	$(BIN)/python -m bench $(or $(ARGS),jobs --quick --keep .flagship/bench/jobs.json)

clean: ## Remove .venv and caches; data under .flagship stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@
