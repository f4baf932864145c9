# make book: environment, chapters, HTML. make test: everything that is checked. `make help` lists the rest.
# Needs Python >= 3.11, git and make; uv installs itself into .tools, everything else into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help env book pdf offline run test quick test-pages alone lint format requirements bench clean

UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
PYTHON ?= python3
JOBS ?= 2
PROFILE ?= book

# Without byte code every kernel compiles torch again, which doubles the time of everything.
export UV_COMPILE_BYTECODE := 1
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
# One thread a kernel and two kernels side by side: fastest on two cores, and equal bits each time.
export OMP_NUM_THREADS := 1
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH VIRTUAL_ENV

help:
	@echo "make book          the environment, every chapter, the book as HTML"
	@echo "make pdf           the book as one PDF (needs Chromium);  make offline: a zip with the site and the notebooks"
	@echo "make test          style, types, tests, chapters against their stored outputs"
	@echo "make quick         style, types and the tests of what changed since main, in less than 90 s"
	@echo "make alone         every chapter in an empty folder, against the built wheel (profile smoke)"
	@echo "make run           only execute the chapters that changed (PROFILE=smoke for seconds each)"
	@echo "make env           only the environment"
	@echo "make test-pages    only the pages, in headless Chromium (part of make test)"
	@echo "make lint          style and types;  make format mends the style"
	@echo "make requirements  write requirements.txt again from uv.lock"
	@echo "make bench         measure speed and memory against other libraries"
	@echo "make gpu           train every method on a GPU: agreement with the CPU, speed, memory (8 minutes)"
	@echo "make english       the parser of free English, with spaCy (an environment of its own)"
	@echo "make kill          kill each kind of work at random moments, begin it again, and compare (half an hour)"
	@echo "make hard          odd inputs of every kind, thousands of them, other ones each time (a quarter of an hour)"
	@echo "make mutate        change single places of the library, and see which the tests notice (half an hour)"
	@echo "make colab         install and run under the versions that Colab ships (some GB, for as long as it lasts)"
	@echo "make clean         remove what was built (not the environment)"

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V), but 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	@echo "== uv $(UV_VERSION) into .tools"
	@$(PYTHON) -m venv .tools && .tools/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)

# The stamp is as old as the last installation: nothing to do while the lock stays.
.venv/.installed: uv.lock pyproject.toml press/pyproject.toml | $(UV)
	@echo "== The locked environment into .venv (some GB, once; byte-compiled)"
	@$(UV) sync --frozen --extra test --extra photos --python $(PYTHON)
	@touch $@

env: .venv/.installed

run: env
	@$(BIN)/wsss run --profile $(PROFILE) --jobs $(JOBS)

book: env
	@$(BIN)/wsss run --profile book --jobs $(JOBS)
	@$(BIN)/wsss build
	@$(BIN)/wsss check --only links --only externals --only images

pdf: book
	@$(BIN)/python -m press.publish.pdf

offline: book
	@$(BIN)/python -m press.publish.offline

test: env
	@JOBS=$(JOBS) .ci/steps

quick: env
	@JOBS=$(JOBS) .ci/quick

alone: env
	@$(BIN)/python -m press.run.without_clone

# Every page in headless Chromium, from file:// and without a network: complete, quiet, accessible; controls move.
test-pages: env
	@$(BIN)/python -m pytest tests/pages -n $(JOBS) -rs

lint: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-logo

format: env
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

requirements: env
	@.ci/requirements > requirements.new && mv requirements.new requirements.txt

# The peers bring their own OpenCV, so they live in an environment of their own.
bench: $(UV)
	@UV_PROJECT_ENVIRONMENT=.venv-bench $(UV) sync --frozen --no-default-groups --extra bench --python $(PYTHON)
	@for file in benchmarks/bench_*.py; do echo "== $$file"; .venv-bench/bin/python "$$file" || exit 1; done

# spaCy and its model, of which the book's environment is free; the recorded accuracy of triads is measured there.
.PHONY: english
english: $(UV)
	@UV_PROJECT_ENVIRONMENT=.venv-english $(UV) sync --frozen --extra test --extra english --python $(PYTHON)
	@.venv-english/bin/python -m pytest tests/methods/test_english.py tests/experiments/studies/test_english_study.py

.PHONY: gpu kill mutate hard
gpu: env
	@$(BIN)/python benchmarks/gpu.py

kill: env
	@$(BIN)/python tests/kill.py

mutate: env
	@$(BIN)/python tests/mutate.py --seed 7 --record

# `make test` tries 25 examples a test, the same each time.
EXAMPLES ?= 500
hard: env
	@WSSS_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/faults -n $(JOBS)

# Environments of their own in a temporary folder; needs the Pythons that .ci/colab/*.txt name.
.PHONY: colab
colab: env
	@UV=$(abspath $(UV)) $(BIN)/python .ci/colab/prove.py

clean:
	rm -rf _build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find wsss_lib press tests book -name __pycache__ -type d -prune -exec rm -rf {} +
