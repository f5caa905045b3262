# Everything runs in an environment of its own, .venv, made from python3 and kept up to date with pyproject.toml.
# `make PYTHON=python3.13` takes another Python, `make test ARGS='-k spec'` runs some tests.

VENV   := .venv
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11 python, \
            $(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
ARGS   ?=
TESTS  := -m pytest tests -n 3 --dist worksteal # most tests wait for processes, so three at a time suit two processors

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install -q
EXAMPLE := notebooks/examples/workflow-example
PICTURE := $(EXAMPLE)/workflow-example-runs/workflow-example.svg

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help try test test-all bench lint lab tools
.DELETE_ON_ERROR:

# An environment whose Python has gone away is made anew, so what was installed for the old one does not count.
$(shell test -x $(BIN)/python || rm -f $(VENV)/installed*)

help:
	@echo "make try       install into $(VENV) and run the example workflow"
	@echo "make test      run the tests (a few minutes)"
	@echo "make test-all  run every test at every point (up to an hour)"
	@echo "make bench     compare with other workflow systems, write the table into README.md"
	@echo "make lint      ruff and mypy"
	@echo "make lab       start JupyterLab with the extension"

# The store of this trial is in $(VENV) too: it leaves nothing outside this folder, and deleting the folder ends it.
# What is no terminal gets plain lines, so the table is printed after them.
try: export CC_HOME := $(abspath $(VENV))/cc-home
try: $(VENV)/installed
	@PATH="$(abspath $(BIN)):$$PATH"; export PATH; \
	jupyter cc run $(EXAMPLE)/workflow-example.yaml --new --picture '$(CURDIR)/$(PICTURE)' && \
	if [ ! -t 1 ]; then COLUMNS=120 jupyter cc show last; fi
	@echo "see more of it:  export CC_HOME='$(abspath $(VENV))/cc-home'; $(BIN)/jupyter cc logs last analyze"
	@echo "next: make lab (the tutorial in JupyterLab, and the page at /cc/ of the same server)"

test: tools
	@$(BIN)/python $(TESTS) $(ARGS)

test-all: tools
	@$(BIN)/python $(TESTS) --every=1 $(ARGS)

bench: $(VENV)/installed-test
	@$(BIN)/python tests/bench/bench.py --output README.md $(ARGS)

lint: $(VENV)/installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# The lab is for work, so its runs are kept where Jupyter keeps its data (see the README), not in $(VENV).
lab: $(VENV)/installed-lab
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

tools: $(VENV)/installed-test
	@sh tests/setup.sh

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "cc-notebook needs Python 3.11 or newer: install it, or name it: make PYTHON=…" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "installing cc-notebook into $(VENV) …"
	@$(PIP) -e . </dev/null
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	@echo "installing cc-notebook and what its tests need into $(VENV) …"
	@$(PIP) -e '.[test]' </dev/null
	@touch $@ $(VENV)/installed

$(VENV)/installed-lab: pyproject.toml | $(BIN)/python
	@echo "installing cc-notebook and JupyterLab into $(VENV) …"
	@$(PIP) -e '.[server,notebook]' jupyterlab </dev/null
	@touch $@ $(VENV)/installed
