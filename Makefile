# make test   set up, check style and types, run every test
# Both need Python (3.11 or newer) and make; a network only the first time.

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))

BIN := .venv/bin
INSTALLED := .venv/installed

# Without a GPU, torch is held to the version whose CPU build the tests ran with.
GPU := $(shell nvidia-smi -L 2>/dev/null | head -n 1)
CONSTRAINTS := -c requirements/lock.txt $(if $(GPU),,-c requirements/torch-cpu.txt)

export BENTOML_DO_NOT_TRACK := 1

.PHONY: test format lock clean

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .


$(INSTALLED): pyproject.toml requirements/lock.txt requirements/torch-cpu.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[train,examples,dev]'
	@touch $@

# Write the exact versions anew: of everything for development, and of what a Bento needs to serve.
lock:
	PYTHON=$(PYTHON) sh requirements/lock.sh

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
