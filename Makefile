# `make` alone lists the targets. A bare machine needs Python 3.11 to 3.13, git and make.
TASK ?=
ARGS ?=
PYTHON ?= python3 python3.13 python3.12 python3.11
UV := uv==0.13.9
# What `make quick` leaves out: rooms whose tests start whole runs and services.
SLOW_ROOMS := whole run operate serve
BENCHMARKS := $(sort $(wildcard benchmarks/*.py))

BIN := .venv/bin
# Nobody runs a benchmark at every change, so its types are checked; a made project has none.
MYPY := $(BIN)/mypy ml_workflow $(wildcard benchmarks)
# Where it is set, it makes every import two to three times slower.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup run check lab export site quick test prove bench lock up

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.users var/mlflow.db  ## set up .venv from requirements.lock
	@:

run: setup  ## run a task through the six notebooks: make run TASK=credit ARGS="-p folds=3"
	@$(BIN)/ml-workflow run $(TASK) $(ARGS)

check: setup  ## is the task's definition complete, do its sources answer? (else TASK=name)
	@$(BIN)/ml-workflow check $(TASK)

lab: setup  ## open the notebooks in JupyterLab
	@JUPYTER_CONFIG_PATH=$(CURDIR)/lab $(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/nbs/README.md $(ARGS)

export: .venv/.users  ## take the outputs out of the notebooks and write the package from them
	@$(BIN)/jupyter-nbconvert --clear-output --inplace --log-level=ERROR nbs/*.ipynb
	@$(BIN)/nbdev-clean
	@$(BIN)/nbdev-export

site: .venv/.tests  ## make the site in docs/_build/html from the last run; nothing is executed
	@$(BIN)/sphinx-build -q -W --keep-going -j 2 -d docs/_build/doctrees docs docs/_build/html
	@echo "Read docs/_build/html/index.html"

quick: .venv/.tests var/mlflow.db  ## run the tests of a minute, and the linters
	$(BIN)/ruff check
	$(MYPY)
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not prove" $(SLOW_ROOMS:%=--ignore=tests/%)

test: .venv/.tests var/mlflow.db  ## run every test that is not long, and the linters
	$(BIN)/ruff check
	@$(MYPY) & types=$$!; \
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not prove"; tests=$$?; \
	wait $$types && exit $$tests

prove: .venv/.tests var/mlflow.db  ## run the long tests
	$(BIN)/pytest -m prove

bench: .venv/.tests var/mlflow.db  ## measure against peers: make bench BENCHMARKS=benchmarks/one.py
	@for script in $(BENCHMARKS); do echo "$$script"; $(BIN)/python $$script || exit 1; done

lock: .venv/.users  ## bring the lock files in line with settings.ini (ARGS=--upgrade for newer versions)
	@$(BIN)/uv pip compile $(LOCKED) -o requirements.lock pyproject.toml
	@$(BIN)/uv pip compile $(LOCKED) -o requirements-test.lock -c requirements.lock --extra test pyproject.toml

# Secrets are made once and stay on this machine; the key's name is `client`, to be sent with every question to the API.
deploy/.env:
	@umask 077; secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }; \
	metrics=$$(secret); printf 'POSTGRES_PASSWORD=%s\nMETRICS_KEY=%s\nML_WORKFLOW_KEYS="client:predict+outcomes:%s prometheus:admin:%s"\n' \
	    "$$(secret)" "$$metrics" "$$(secret)" "$$metrics" > $@

up: deploy/.env  ## start the API and its databases in containers (TASK=credit)
	@TASK=$(TASK) docker compose -f deploy/compose.yaml up --build --detach --wait $(ARGS)

LOCKED = -q --universal --python-version 3.11 --no-header --no-annotate $(ARGS)

$(BIN)/pip:
	@for python in $(PYTHON); do \
	    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
	    echo "Creating .venv with $$($$python --version)"; \
	    exec $$python -m venv .venv; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 among: $(PYTHON). Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	exit 1

# uv takes seconds where pip takes minutes; pip steps in where uv fails, such as behind an index that only pip knows.
define install
@echo "Installing $(1)"
@{ $(BIN)/python -m pip install -qq $(UV) && $(BIN)/uv pip install -qq --python $(BIN)/python -r $(1); } || \
    { echo "uv could not install $(1): pip tries now, which takes minutes."; $(BIN)/python -m pip install -qq -r $(1); }
endef

.venv/.users: requirements.lock settings.ini | $(BIN)/pip
	$(call install,requirements.lock)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@error=$$($(BIN)/python -c 'import lightgbm' 2>&1) || { echo "$$error" | tail -n 1; \
	    echo "LightGBM does not load. If OpenMP is what it lacks: apt-get install libgomp1 (macOS: brew install libomp)."; exit 1; } >&2
	@[ ! -e .git ] || { \
	    git config merge.jupyternotebook.name "nbdev: notebooks that merge cell by cell"; \
	    git config merge.jupyternotebook.driver "$(BIN)/nbdev-merge %O %A %B %P"; \
	    git config diff.jupyternotebook.command $(BIN)/nbdev-diff-driver; }
	@touch $@

.venv/.tests: requirements-test.lock .venv/.users
	$(call install,requirements-test.lock)
	@touch $@

# MLflow's first migration takes seconds; it is done here, so that no run waits for it.
var/mlflow.db: | .venv/.users
	@echo "Preparing MLflow's database"
	@mkdir -p var && rm -f $@.new
	@log=$$($(BIN)/mlflow db upgrade sqlite:///$@.new 2>&1) || { echo "$$log" >&2; exit 1; }
	@mv $@.new $@
