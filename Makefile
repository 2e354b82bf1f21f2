# Every command sets up what it needs in .venv, once. Python: make PYTHON=python3.12 setup
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
LOAD_VENV := .venv-load
PEERS_VENV := .venv-peers
# A process for each core with one thread each; the tests of a file share what they prepare, and
# the slowest files, those of the app, come first.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder
# FAISS for the GPU instead of the CPU: make setup GPU=1 (never both in one environment)
STAMP := $(VENV)/.installed$(if $(GPU),-gpu)
# The transductive run that the demo ends with.
DEMO_RUN = $$(ls -dt logs/sweeps/demo_transfer-*/1_* | head -1)

# Starting takes three times as long where Python may keep no bytecode, as in many containers.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint format types bench peers calibrate results docs findings lock clean

help: ## what each target does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; name yours: make PYTHON=python3 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(if $(GPU),grep -v '^faiss-cpu' requirements.lock | $(BIN)/uv pip install --quiet -r - && $(BIN)/uv pip install --quiet -e '.[gpu]',$(BIN)/uv pip install --quiet -r requirements.lock)
	$(BIN)/uv pip install --quiet --no-deps --editable .
	$(BIN)/python -c "import missrec.app.train" # bytecode: pip makes it of all packages, uv of none
	@touch $@

demo: setup ## two baselines and a model from scratch, then pre-trained and transferred; what it recommends
	$(BIN)/python src/train.py -m experiment=demo_most_popular,demo_text,demo
	$(BIN)/python src/train.py -m experiment=demo_transfer transfer=inductive,transductive
	$(BIN)/python src/recommend.py run="$(DEMO_RUN)"
	@echo "explore it on http://127.0.0.1:8000: $(BIN)/python src/serve.py run=$(DEMO_RUN)"

test: setup ## the whole test suite
	$(PYTEST)

test-fast: setup ## the suite without tests that train or start processes
	$(PYTEST) -m "not slow"

lint: setup ## ruff: rules, format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## ruff: fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy --strict
	$(BIN)/mypy

bench: setup $(BENCH_VENV)/.installed $(LOAD_VENV)/.installed ## speed and memory, as ratios measured in one run; half an hour
	$(BIN)/python src/prepare.py data=scientific_mm_subset
	$(BIN)/python bench/start.py
	$(BIN)/python bench/train.py
	$(BIN)/python bench/train.py --model missrec_released
	$(BIN)/python bench/million.py
	$(BIN)/python bench/prefixes.py
	$(BIN)/python bench/interests.py
	$(BIN)/python bench/evaluate.py
	$(BIN)/python bench/retrieve.py
	$(BIN)/python bench/data.py
	$(BIN)/python bench/serve.py
	$(BIN)/python bench/serve_faults.py
	$(BIN)/python bench/faults.py
	$(BIN)/python bench/readers.py --number 5000
	$(BIN)/python bench/recommend.py

peers: $(PEERS_VENV)/.installed ## docs/metrics.md: one example by the metrics of other libraries; needs a network
	$(PEERS_VENV)/bin/python bench/peer_metrics.py

findings: ## what libraries do that one would not guess, shown again; needs a network
	@ran=0; failed=0; for script in findings/*.sh; do \
		ran=$$((ran + 1)); begun=$$(date +%s); said=$$("$$script" 2>&1) && how=pass || how=FAIL; \
		echo "$$how $$(($$(date +%s) - begun)) s  $$script"; \
		[ $$how = pass ] || { failed=$$((failed + 1)); echo "$$said" | sed 's/^/    /'; }; \
	done; \
	echo "$$((ran - failed)) passed, $$failed failed"; [ $$failed = 0 ]

calibrate: setup ## how often the paired test errs between seeds of one system; half an hour
	$(BIN)/python src/train.py -m experiment=demo 'seed=range(1,34)' trainer.max_epochs=5 \
		hydra.sweep.dir=logs/calibrate callbacks.progress_bar=null callbacks.interpretation=null
	$(BIN)/python bench/calibrate.py

results: setup ## the tables and figures of the docs, from the record and the runs in logs/
	$(BIN)/python bench/results.py --runs logs

docs: setup ## the site of the docs into site/; no network, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# RecBole brings a hundred packages that are no part of ours, so it has an environment of its own.
$(BENCH_VENV)/.installed: requirements.lock pyproject.toml | setup
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH_VENV)
	grep -E '^(torch|numpy|pandas|scipy)==' requirements.lock | $(BIN)/uv pip install --quiet --python $(BENCH_VENV)/bin/python -c - "recbole>=1.2.1"
	@touch $@

# So does locust, which goes with other versions than RecBole.
$(LOAD_VENV)/.installed: requirements.lock pyproject.toml | setup
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOAD_VENV)
	$(BIN)/uv pip install --quiet --python $(LOAD_VENV)/bin/python -c requirements.lock "locust>=2.40"
	@touch $@

# And the libraries whose metrics are compared, which want older packages than ours.
$(PEERS_VENV)/.installed: bench/peer_metrics.txt | setup
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS_VENV)
	$(BIN)/uv pip install --quiet --python $(PEERS_VENV)/bin/python -r bench/peer_metrics.txt
	@touch $@

lock: ## pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header \
		--annotation-style line --extra dev --extra cpu --upgrade pyproject.toml -o requirements.lock

clean: ## remove .venv and caches; data/ and logs/ stay
	rm -rf $(VENV) $(BENCH_VENV) $(LOAD_VENV) $(PEERS_VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
