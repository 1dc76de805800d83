# The doors of the project: `make help` lists them.

BIN := .venv/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Builds the editable install of the project itself, so it is no dependency of it.
SETUPTOOLS := setuptools==84.2.1
# Macro bodies are templates of SQL, not SQL: the models that call them are linted instead.
SQL := models tests analyses

# What the browser tests saw, to be looked at.
export WEEKCLOSE_SCREENSHOTS ?= $(CURDIR)/target/screenshots

SELLERS ?= 300
WEEKS ?= 10
N ?= 100
FIRST ?= 1

BENCH_EXTRA := --no-build-isolation --editable '.[bench]'

.PHONY: help setup week test lint soak soak-planted second-postgres browser vendor bench clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

setup: .venv/.installed ## Make .venv with everything pinned

week: setup ## Play a small sample marketplace, week by week, and show the last window
	$(BIN)/weekclose demo --sellers $(SELLERS) --weeks $(WEEKS)

# Tests wait for servers and processes of theirs: three for two cores keep these busy.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))

# The linters work beside the tests, and say what they found in one piece at the end.
test: setup second-postgres browser ## Everything that CI runs; DATABASE_URL names another PostgreSQL to run it on
	@mkdir -p target; \
	$(MAKE) --no-print-directory lint >target/lint.log 2>&1 & lint=$$!; \
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder; tests=$$?; \
	wait $$lint; linted=$$?; \
	cat target/lint.log; \
	exit $$((tests | linted))

lint: setup ## Linters and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/sqlfluff lint $(SQL)

soak: setup ## Play N seeded schedules of kills, crashes and a faulty rail (make soak N=1000 FIRST=1)
	$(BIN)/python tests/python/soak.py --plans $(N) --first $(FIRST)

soak-planted: setup ## Take the guards away one by one: a test has to see each, and the soak may
	$(BIN)/python tests/python/soak.py --planted

bench: setup browser ## Measure it all beside its peers (make bench BENCH="--orders 10000000 --weeks 52")
	{ command -v uv >/dev/null && uv pip install --quiet --python $(BIN)/python $(BENCH_EXTRA); } || \
		$(BIN)/python -m pip --disable-pip-version-check --no-input --quiet install $(BENCH_EXTRA)
	PYTHONPATH=tests/python $(BIN)/python -m bench $(BENCH)

vendor: setup ## Fetch the pinned libraries of the pages again, from the npm registry
	$(BIN)/python scripts/vendor.py

clean: ## Remove .venv and what was built; the database in .weekclose stays
	-@test ! -x $(BIN)/weekclose || env -u DATABASE_URL $(BIN)/weekclose db down
	rm -rf .venv target logs .mypy_cache .pytest_cache .ruff_cache .hypothesis

# uv is many times faster, but it does not read pip's configuration: where it fails, pip may still do.
.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if command -v uv >/dev/null; then $(MAKE) --no-print-directory with-uv || $(MAKE) --no-print-directory with-pip; \
		else $(MAKE) --no-print-directory with-pip; fi
	@touch $@

.PHONY: with-uv with-pip
with-uv:
	test -x $(BIN)/python || uv venv --quiet --clear --python $(PYTHON) .venv
	uv pip install --quiet --python $(BIN)/python --no-deps --requirement requirements.lock $(SETUPTOOLS)
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet install --no-deps
with-pip:
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(PIP) --no-compile --requirement requirements.lock $(SETUPTOOLS)
	$(PIP) --no-build-isolation --editable .

# The tests also run on Debian's PostgreSQL. A machine that is ours alone (root in CI) gets it, others may.
second-postgres:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
		echo "installing PostgreSQL, the tests' second server"; \
		mkdir -p /etc/postgresql-common; \
		test -e /etc/postgresql-common/createcluster.conf || \
			echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends \
			-o Dpkg::Options::=--force-confold postgresql >/dev/null; } || \
			echo "no second PostgreSQL: its tests will be skipped" >&2; \
	fi

# The pages are tested in Debian's Chromium, under the same rule.
browser:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! test -x /usr/bin/chromium; then \
		echo "installing Chromium, the browser of the tests"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ apt-get -qq update && apt-get -qq install --yes --no-install-recommends chromium >/dev/null; } || \
			echo "no Chromium: its tests will be skipped" >&2; \
	fi
