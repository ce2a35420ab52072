# Every target does its own set-up: a virtual environment in .venv with what that target needs. It costs seconds to
# nothing when repeated, until pyproject.toml changes.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.11
WORKERS ?= 2
SEED ?= 1
ARGS ?=

# Errors only: what a machine's pip configuration makes pip warn about is not ours to show.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@echo 'make TARGET [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/.installed-sklearn ## train a few models on the digits data, tracked; show where everything went
	@$(BIN)/mlops demo $(ARGS)

.PHONY: test
test: $(VENV)/.installed-test ## all tests (WORKERS=0: in one process; SEED=n: another order; ARGS="-k journal")
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --randomly-seed=$(SEED) $(ARGS)

.PHONY: test-versions
test-versions: $(VENV)/.installed-versions ## fingerprints under older and newest releases (ARGS=oldest: one of them)
	$(BIN)/python -m tests.versions.matrix $(ARGS)

.PHONY: check
check: $(VENV)/.installed-check ## ruff, mypy --strict and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict mlops_sdk
	$(BIN)/lint-imports --no-logo

# Gigabytes, most of them CUDA libraries that PyTorch's wheel for Linux brings: an environment of its own, not in CI.
.PHONY: test-integrations
test-integrations: ## callbacks and formats against PyTorch, Lightning, Keras, Transformers, CatBoost (own .venv-integrations)
	@$(MAKE) --no-print-directory VENV=.venv-integrations .venv-integrations/.installed-test-heavy
	.venv-integrations/bin/python -m pytest -n 0 tests/unit/integrations/test_callbacks.py tests/unit/models $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.installed-test ## branch coverage of the quick tests
	$(BIN)/coverage run -m pytest -m "not slow" --randomly-seed=$(SEED) $(ARGS)
	$(BIN)/coverage report

.PHONY: bench
bench: $(VENV)/.installed-test ## the benchmark
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-peers
bench-peers: $(VENV)/.installed-test ## the benchmark beside other trackers, each in an environment of its own (8 minutes)
	$(BIN)/python -m benchmarks.peers $(ARGS)

.PHONY: crash-lab
crash-lab: $(VENV)/.installed-test ## the guarantees with their full number of trials (hours)
	$(BIN)/python -m crash_lab $(ARGS)

.PHONY: docs
docs: $(VENV)/.installed-docs ## build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

.PHONY: clean
clean: ## remove .venv and everything else that these targets made
	rm -rf .venv .venv-integrations .venv-versions .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov site dist demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each extra. `--no-compile`: Python compiles what is really imported, which is a fraction of it all.
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo 'Installing mlops_sdk[$*] into $(VENV) (the first time takes a minute)'
	@$(PIP) install --no-compile --editable '.[$*]'
	@touch $@

# Debian's python3 comes without ensurepip unless python3-venv is installed: then the pip that is there fills the
# environment. An environment that could not be finished loses its interpreter, so that the next try begins again.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.13 python3.12; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	    python=; \
	done; \
	if [ -z "$$python" ]; then \
	    echo 'mlops_sdk needs Python 3.11 or newer, and none was found: make PYTHON=/path/to/python3.11' >&2; exit 1; \
	fi; \
	echo "Creating $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV) >/dev/null 2>&1 || \
	{ "$$python" -m venv --without-pip $(VENV) && \
	  "$$python" -m pip --disable-pip-version-check -qq --python $(BIN)/python install pip; } || \
	{ rm -f $(BIN)/python; \
	  echo "$$python can neither make a virtual environment nor install pip into one:" \
	       "on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
