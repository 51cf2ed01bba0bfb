# make test | lint | bench | atlas | RECIPE: each sets up .venv from the project's own files first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RECIPES := $(filter-out atlas,$(basename $(notdir $(wildcard build/*.toml))))

# `build` is a folder of recipes and no target's output; clean never removes it.
.PHONY: help setup test lint types wheel bench bench-graphs bench-aggregate clean atlas $(RECIPES)

help:
	@echo "make test                    run the tests (sets up $(VENV) first)"
	@echo "make atlas GRAPHS=dir [LABELS=file] [OUT=out/atlas.duckdb]"
	@echo "                             build an atlas from a folder of attribution graphs"
	@echo "make RECIPE [DATA=dir]       build the atlas of a recipe: $(RECIPES)"
	@echo "make lint | types | wheel | bench | bench-graphs | bench-aggregate | clean"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) from constraints.txt (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

test: setup
	$(BIN)/python -m pytest -m "not wheel"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

wheel: setup
	$(BIN)/python -m pytest -m wheel

bench-aggregate: setup
	$(BIN)/python tests/bench/bench_aggregate.py

bench-graphs: setup
	$(BIN)/python tests/bench/bench_graphs.py

bench: setup bench-graphs bench-aggregate
	$(BIN)/python tests/bench/bench_atlas.py

OUT ?= out/atlas.duckdb
export GRAPHS DATA

atlas: setup
	@test -n "$(GRAPHS)" || { echo "make atlas: say which graphs, as in: make atlas GRAPHS=dir [LABELS=file] [OUT=out/atlas.duckdb]" >&2; exit 2; }
	$(BIN)/atlas build build/atlas.toml $(if $(LABELS),--set labels.files='$(LABELS)') -o '$(OUT)'

$(RECIPES): setup
	$(BIN)/atlas build build/$@.toml $(if $(filter file,$(origin OUT)),,-o '$(OUT)')

clean:
	rm -rf $(VENV) dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
