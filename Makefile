# Every target sets up what it needs, from nothing but make and a Python 3.11-3.13 with venv, and only once:
# while the set-up is up to date nothing here touches the network.
#
#   .venv/.made        a virtual environment with uv in it: which Python, and for which folder
#   .venv/.ready       everything in requirements.txt, and the project itself, is installed
#   .venv/.installing  there only while packages are being written: left over, the set-up was interrupted

VENV := .venv
BIN := $(VENV)/bin
# Compile our modules once, not in each process and kernel that a test starts.
unexport PYTHONDONTWRITEBYTECODE
TARGETS := demo lab test test-browser check bench pictures spark
PYTHON ?=
PYTEST_ARGS ?=
ARGS ?=
VERSIONS := 3.13 3.12 3.11

# uv uses the machine's certificates (for a company's proxy), if there are any.
ifneq ($(wildcard /etc/ssl/certs/* /etc/pki/tls/certs/* /System/Library/Keychains),)
UV_SYSTEM_CERTS ?= 1
export UV_SYSTEM_CERTS
endif

# "3.12 /home/dana/workbench" for an environment that is whole, else nothing. Another Python asked for, a folder
# copied or moved (its scripts would run the original), an interrupted set-up: each makes the environment anew.
MADE := $(shell test ! -e $(VENV)/.installing && test -x $(BIN)/python && cat $(VENV)/.made 2>/dev/null)
VERSION_OF := -c 'import sys; print("%d.%d" % sys.version_info[:2])'
ASKED := $(if $(PYTHON),$(or $(shell $(PYTHON) $(VERSION_OF) 2>/dev/null),unusable),$(firstword $(MADE)))

.PHONY: help $(TARGETS) lock clean anew
.DEFAULT_GOAL := help

help:
	@echo "make demo    create a broken club and a report about it                 (ARGS=... is passed on)"
	@echo "make lab     open JupyterLab on the notebooks                             (ARGS=...)"
	@echo "make test    run the tests, except those in a browser    (PYTEST_ARGS='-n 0 -k rollback' is passed on)"
	@echo "make test-browser  run the browser tests: JupyterLab, panels and reports in Chromium"
	@echo "make check   run everything that must pass before a commit: lint, format, types, tests"
	@echo "make bench   run the benchmarks                                          (ARGS=...)"
	@echo "make pictures  take the pictures of docs/incident.md in a browser"
	@echo "make spark   install Spark (450 MB) for 'duplicates --engine spark'; it needs Java 17 or later"
	@echo "make lock    resolve pyproject.toml into requirements.txt                (ARGS=--upgrade)"
	@echo "make clean   remove the environment, caches and build artefacts, but no plan, backup or report"
	@echo "PYTHON=python3.12 with any of them selects the Python version."

$(TARGETS): $(VENV)/.ready

demo:
	$(BIN)/workbench demo $(ARGS)

lab:
	$(BIN)/workbench lab $(ARGS)

# A worker for every core, each with a server of its own.
test:
	$(BIN)/python -m pytest -n logical -m "not browser" $(PYTEST_ARGS)

test-browser:
	$(BIN)/python -m pytest -m browser $(PYTEST_ARGS)

check:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n logical -m "not browser" $(PYTEST_ARGS)

bench:
	$(BIN)/python -m benchmarks $(ARGS)

pictures:
	$(BIN)/python -m pytest tests/browser/pictures.py $(PYTEST_ARGS)

# No other target installs this, and what is installed for them leaves it out.
spark:
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement requirements-spark.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --group dev

lock: $(VENV)/.made
	$(COMPILE) --custom-compile-command "make lock" --output-file requirements.txt $(ARGS) pyproject.toml
	$(COMPILE) --no-header --no-annotate --extra spark --constraint requirements.txt pyproject.toml | \
	  awk '/^[^ ]/ { keep = /^(pyspark|py4j)==/ } keep' > requirements-spark.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find workbench tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

ifneq ($(MADE),$(ASKED) $(CURDIR))
$(VENV)/.made: anew
endif
$(VENV)/.made:
	@set -e; chosen=; \
	for python in $(or $(PYTHON),python3 $(VERSIONS:%=python%)); do \
	  version=`$$python $(VERSION_OF) 2>&1` || { echo "$$python does not run: $$version"; continue; }; \
	  case " $(VERSIONS) " in \
	    *" $$version "*) ;; \
	    *) echo "$$python is Python $$version; the workbench needs one of $(VERSIONS)"; continue ;; \
	  esac; \
	  $$python -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$$python has no venv (on Debian and Ubuntu: apt install python$$version-venv)"; continue; }; \
	  chosen=$$python; break; \
	done; \
	test -n "$$chosen" || { echo "No Python to set up with. Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$chosen (Python $$version)"; \
	rm -rf $(VENV); \
	$$chosen -m venv $(VENV); \
	awk '/^[^ ]/ { keep = /^uv==/ } keep' requirements.txt > $(VENV)/uv.txt; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.txt; \
	echo "$$version $(CURDIR)" > $@

# A lock installed already is left alone; the dry run meets a missing network before anything is touched.
$(VENV)/.ready: $(VENV)/.made requirements.txt pyproject.toml
	@cmp -s requirements.txt $(VENV)/requirements.txt || { set -e; \
	  echo "Installing what requirements.txt lists; the first time this takes a minute or two"; \
	  sync="$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt"; \
	  $$sync --dry-run; \
	  touch $(VENV)/.installing; \
	  $$sync; \
	  cp requirements.txt $(VENV)/requirements.txt; \
	  rm $(VENV)/.installing; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@test ! -e .git || git config --get core.hooksPath >/dev/null || git config core.hooksPath .githooks || true
	@$(BIN)/uv pip check --quiet --python $(BIN)/python || \
	  { echo "requirements.txt is not what pyproject.toml asks for: run make lock, then this again." >&2; exit 1; }
	@touch $@
