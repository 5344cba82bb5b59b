# The project's commands. A bare machine with python3 (3.10 or newer), make and git is enough:
# everything else is fetched once, at the locked versions, into .tools/ and .venv/.

PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin

# The tests with a real Airflow often wait: two of these processes run them, and the others run the rest.
PARALLEL ?= -n 4

# Without its bytecode, each process of each Airflow compiles the provider anew.
unexport PYTHONDONTWRITEBYTECODE

export UV_PYTHON_DOWNLOADS := never
export REPOSITORY_URL
# Trust what this machine trusts, such as a company's own authority.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := 1
endif

# The environment holds absolute paths, so the mark that it is ready names the checkout it was made for.
READY := .venv/.ready
ifneq ($(shell test -x $(BIN)/python && cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

# The benchmarks compare with other providers: those have no business in the environment of the tests.
BENCH_READY := .venv-bench/.ready
ifneq ($(shell test -x .venv-bench/bin/python && cat $(BENCH_READY) 2>/dev/null),$(CURDIR))
.PHONY: $(BENCH_READY)
endif

.DEFAULT_GOAL := help
.PHONY: help env demo test test-quick coverage lint format bench docs matrix release-check dist screenshots clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

env: $(READY) ## Build the environment (once; every other target does it by itself)
	@echo "The environment is ready."

demo: $(READY) ## Make images in a real Airflow against the emulator; EXIT=1 ends after the run
	@$(BIN)/python -m dev.demo $(if $(filter-out 0 no false,$(EXIT)),--exit)

test: $(READY) ## Run the whole test suite; ARGS="-k word" passes options on
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

test-quick: $(READY) ## Run the tests that need no Airflow processes
	@$(BIN)/pytest -m "not integration" $(PARALLEL) $(ARGS)

coverage: $(READY) ## Run the same tests and print how much of the package they reach; below 90 % is an error
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(PARALLEL) -m "not integration" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered $(if $(ARGS),,--fail-under=90)

lint: $(READY) ## Style, types, import contracts, dependencies, English, workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry airflow_provider_gptimg
	$(BIN)/python -m dev.prose
	$(BIN)/zizmor --offline --quiet .github

format: $(READY) ## Bring the source into shape, and the code of the examples into the pages
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m dev.page_code

bench: $(BENCH_READY) ## Run the benchmarks; ARGS=triggers runs one of them, ARGS=-h tells which there are
	@.venv-bench/bin/python -m benchmarks $(ARGS)

docs: $(READY) ## Build the documentation, with warnings as errors, into docs/_build/html
	@$(BIN)/sphinx-build -E -a -W --keep-going -n -q -b html docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

matrix: $(READY) ## Test the wheel on every supported Airflow and Python; ARGS=3.1 runs one, ARGS=--all runs all pairs
	@UV=$(abspath $(UV)) $(BIN)/python -m dev.matrix $(ARGS)

release-check: $(READY) $(UV) ## Build the wheel and the sdist of the last commit twice, and check them
	@UV=$(abspath $(UV)) $(BIN)/python -m dev.release

dist: $(READY) $(UV) ## The same, and put them into dist/; wants REPOSITORY_URL=https://…, where the links of the index lead
	@UV=$(abspath $(UV)) $(BIN)/python -m dev.release --keep dist

screenshots: $(READY) ## Take the pictures of the documentation in a real Airflow; needs Chromium
	@$(BIN)/python -m dev.screenshots

clean: ## Remove everything that the other targets made
	rm -rf .venv .venv-bench .matrix .tools .demo .coverage .coverage.* htmlcov dist .hypothesis docs/_build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

SYNC = $(UV) sync --frozen --extra emulator --compile-bytecode

# What is cached is taken without asking the network; only a first build has to download.
$(READY): uv.lock pyproject.toml | $(UV)
	@echo "Building the environment in .venv (the first time takes a few minutes) ..."
	@if [ -f $@ ] && [ "$$(cat $@)" != "$(CURDIR)" ]; then rm -rf .venv; fi
	@$(SYNC) --python "$(PYTHON)" --offline --quiet 2>/dev/null || \
	 $(SYNC) --python "$(PYTHON)" --quiet
	@printf '%s\n' "$(CURDIR)" > $@

BENCH_SYNC = UV_PROJECT_ENVIRONMENT=.venv-bench $(SYNC) --no-default-groups --group bench

$(BENCH_READY): uv.lock pyproject.toml | $(UV)
	@echo "Building the environment of the benchmarks in .venv-bench ..."
	@if [ -f $@ ] && [ "$$(cat $@)" != "$(CURDIR)" ]; then rm -rf .venv-bench; fi
	@$(BENCH_SYNC) --python "$(PYTHON)" --offline --quiet 2>/dev/null || \
	 $(BENCH_SYNC) --python "$(PYTHON)" --quiet
	@printf '%s\n' "$(CURDIR)" > $@

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	 { echo "Python 3.10 or newer is needed; $(PYTHON) is missing or older. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	 { echo "$(PYTHON) lacks its venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Fetching uv $(UV_VERSION) into .tools ..."
	@$(PYTHON) -m venv --clear .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
