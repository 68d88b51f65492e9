# make start   set up, then run the example tree in the foreground (^C ends it)
# make test    set up, then the whole suite
# make check   set up, then linters, types, layers
# make bench   set up, then measure ourselves beside other supervisors
#
# Needs Python 3.11 or later with pip, and make. Everything else goes into .venv (and, for tests and
# benchmarks, comes from Debian's packages where this is Debian and we are root).

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
# Most tests wait for processes: twice as many at once as there are processors.
JOBS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# systemd: systemd-notify; redis-tools: a Redis that is not started for all; nodejs: a worker in Node;
# postgresql: private clusters for the SQL view, none of them the system's.
# PACKAGE:COMMAND is left alone where the command is there, from wherever: a newer Node stays what it is.
TEST_PACKAGES := e2fsprogs gdb mount nodejs:node postgresql redis-tools systemd util-linux
BENCH_PACKAGES := gcc libc6-dev make npm:npm runit s6

.DEFAULT_GOAL := help
.PHONY: help start test test-portable check bench clean

help:
	@sed -n 's/^# \{0,1\}//; 1,4p' Makefile

start: .venv/installed
	@exec $(BIN)/supervisor-tree start

test: .venv/installed-dev
	@$(call debian,$(TEST_PACKAGES),tests that need them are skipped)
	$(PYTEST)

# Once more without the means that only Linux has, as on macOS: the rooms that use them.
test-portable: .venv/installed-dev
	SUPERVISOR_TREE_PORTABLE=1 $(PYTEST) -m "not linux and not slow and not same" tests/unit/system \
		tests/system/hangs tests/system/keeper tests/system/limits tests/system/logs tests/system/notify \
		tests/system/tree tests/system/workers/shim

check: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev
	@$(call debian,$(BENCH_PACKAGES),peers that are not here are left out of the tables)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .bench .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build

.venv/installed: pyproject.toml
	$(call install,.)

.venv/installed-dev: pyproject.toml
	$(call install,.[dev])
	@touch .venv/installed

# A Python without ensurepip (Debian's, without python3-venv) can still make an environment; its own pip fills it.
define install
@test -n "$(PYTHON)" || { echo "no Python 3.11 or later is on PATH: install one, or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
@test -x $(BIN)/python || $(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv
@if $(BIN)/python -m pip --version >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	echo "installing $(1) into .venv"; \
	$$pip install --quiet --disable-pip-version-check --editable '$(1)'
@touch $@
endef

# $(1): Debian packages; $(2): what follows when they are not there
define debian
missing=; for each in $(1); do \
	case $$each in *:*) command -v $${each#*:} >/dev/null && continue;; esac; \
	dpkg-query --show --showformat '$${Status}' $${each%:*} 2>/dev/null | grep -q '^install ok installed' || missing="$$missing $${each%:*}"; done; \
if [ -z "$$missing" ]; then :; \
elif ! command -v apt-get >/dev/null; then echo "no apt-get here; where these are not installed in another way, $(2):$$missing"; \
elif [ "$$(id -u)" != 0 ]; then echo "not root, so not installed:$$missing; $(2)"; \
else apt-get update -qq; install="apt-get install -qq -y --no-install-recommends"; export DEBIAN_FRONTEND=noninteractive; \
	$$install $$missing >/dev/null 2>&1 || for each in $$missing; do \
		$$install $$each >/dev/null || echo "could not be installed: $$each; $(2)"; done; fi
endef
