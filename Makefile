# make test | lint | bench | atlas | RECIPE: each sets up .venv from the project's own files first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RECIPES := $(filter-out atlas,$(basename $(notdir $(wildcard build/*.toml))))

# `build` is a folder of recipes and no target's output; clean never removes it.
.PHONY: demo-model demo-sae help setup test test-slow docs vendor licences lint types wheel bench bench-graphs bench-aggregate bench-cooccurrence bench-trace bench-fidelity bench-faithful bench-activations bench-circuits bench-clusters bench-wire bench-calibration bench-qwen compare clean atlas $(RECIPES)

help:
	@echo "make test                    run the tests (sets up $(VENV) first)"
	@echo "make test-slow               run the slow ones: kills at random moments, full disks, clusters"
	@echo "make atlas                   trace the demo model, build out/demo.duckdb and show what is in it"
	@echo "make demo-model              train the demo model again (about ten minutes)"
	@echo "make demo-sae                train its sparse autoencoder again (about six minutes)"
	@echo "make atlas GRAPHS=dir [LABELS=file] [OUT=out/atlas.duckdb]"
	@echo "                             build an atlas from a folder of attribution graphs"
	@echo "make RECIPE [DATA=dir]       build the atlas of a recipe: $(RECIPES)"
	@echo "make compare A=one.duckdb B=other.duckdb [OUT=out/compare.duckdb]"
	@echo "                             set two atlases of one model side by side"
	@echo "make setup | docs | vendor | lint | types | licences | wheel | bench | bench-graphs | bench-aggregate | bench-trace | bench-fidelity | bench-faithful | bench-activations | bench-circuits | bench-clusters | bench-wire | bench-calibration | bench-qwen | clean"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) from constraints.txt (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
ifdef REQUIRE_HASHES
	@# The list is whole but for torch, of which the package index has the build that fits the machine.
	@$(PIP) --no-deps --require-hashes --requirement .ci/requirements.txt
	@$(PIP) --constraint constraints.txt torch
	@$(PIP) --no-deps --no-build-isolation --editable .
else
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(PIP) --constraint constraints.txt --editable '.[all,dev]'
endif
	@# Kernels are compiled once and kept beside the code; otherwise the first commands would each do it.
	@$(BIN)/python -c "import atlas.graphs.scan, atlas.aggregate.kernels.numba_kernel.cooccurrence, atlas.importers.pickle_stream.machine"
	@touch $@

# In memory where that can be had: no test needs its files after a power cut. PYTEST_DEBUG_TEMPROOT moves them elsewhere.
TEMPROOT := $(if $(PYTEST_DEBUG_TEMPROOT),$(PYTEST_DEBUG_TEMPROOT),$(if $(wildcard /dev/shm/.),/dev/shm,$(or $(TMPDIR),/tmp)))
PYTEST := PYTEST_DEBUG_TEMPROOT='$(TEMPROOT)' $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test: setup
	$(PYTEST) -m "not wheel and not slow"

test-slow: setup
	$(PYTEST) -m slow
	HYPOTHESIS_PROFILE=thorough $(PYTEST) -m "not slow" tests/test_kernel.py tests/test_pages.py

vendor:
	cd build/explorer && npm ci --silent --no-audit --no-fund --ignore-scripts && node vendor.mjs

docs: setup
	@$(PIP) --constraint constraints.txt mkdocs-material
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --config-file .ci/mkdocs.yml
	@echo "the documents are in out/docs/index.html"

licences: setup
	$(BIN)/python .ci/licences

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

bench-cooccurrence: setup
	$(BIN)/python tests/bench/bench_cooccurrence.py

bench-trace: setup
	$(BIN)/python tests/bench/bench_trace.py

bench-fidelity: setup
	$(BIN)/python tests/bench/bench_fidelity.py

bench-activations: setup
	$(BIN)/python tests/bench/bench_activations.py

bench-faithful: setup
	$(BIN)/python tests/bench/bench_faithful.py $(if $(MODEL),--model '$(MODEL)' --corpus '$(CORPUS)') -o out/faithful

bench-calibration: setup
	$(BIN)/python tests/bench/bench_calibration.py

bench-circuits: setup
	$(BIN)/python tests/bench/bench_circuits.py

bench-clusters: setup
	$(BIN)/python tests/bench/bench_clusters.py

bench-wire: setup
	$(BIN)/python tests/bench/bench_wire.py

bench: setup bench-graphs bench-aggregate bench-cooccurrence bench-trace bench-fidelity bench-faithful bench-circuits bench-clusters bench-wire bench-calibration
	$(BIN)/python tests/bench/bench_atlas.py

DEMO_OUT := $(if $(filter file undefined,$(origin OUT)),out/demo.duckdb,$(OUT))
OUT ?= out/atlas.duckdb
export GRAPHS DATA

# Without GRAPHS: the demo, from the model that ships with the project.
ifeq ($(strip $(GRAPHS)),)
atlas: demo
	@$(BIN)/atlas check '$(DEMO_OUT)' | tail -n 1
	@$(BIN)/atlas tour '$(DEMO_OUT)'
else
atlas: setup
	$(BIN)/atlas build build/atlas.toml $(if $(LABELS),--set labels.files='$(LABELS)') -o '$(OUT)'
endif

$(RECIPES): setup
	$(BIN)/atlas build build/$@.toml $(if $(filter file,$(origin OUT)),,-o '$(OUT)')

compare: setup
	@test -n '$(A)' -a -n '$(B)' || { echo "make compare needs two atlases: make compare A=out/medical-v6.duckdb B=out/llama31-8b.duckdb [OUT=file]"; exit 2; }
	$(BIN)/atlas compare '$(A)' '$(B)' -o '$(if $(filter file,$(origin OUT)),out/compare.duckdb,$(OUT))'

bench-qwen: setup
	$(BIN)/python tests/bench/bench_qwen.py $(if $(DATA),--folder '$(DATA)')

demo-sae: setup
	$(BIN)/python build/demo/train_sae.py build/demo

demo-model: setup
	$(BIN)/python build/demo/train_demo.py build/demo
	$(BIN)/python build/demo/demo_prompts.py build/demo/prompts.jsonl

clean:
	rm -rf $(VENV) dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
