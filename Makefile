PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DONE = $(VENV)/.installed
FLOORS = build/floors
FLOOR_TESTS = tests/golden tests/conformance tests/config tests/data tests/layers tests/metrics \
	tests/optim tests/serving tests/training tests/uwac tests/test_promises.py tests/test_runner.py \
	tests/test_zoo.py

.PHONY: demo test test-all floors lint docs browser bench install clean

demo: install
	$(BIN)/tfzoo demo

test: install
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow"

test-all: install
	$(BIN)/pytest -q -n 2 --dist loadfile

floors:
	$(PYTHON) -m venv --clear $(FLOORS)
	$(FLOORS)/bin/python -m pip install --quiet --upgrade pip packaging
	$(FLOORS)/bin/python -m pip install --quiet --no-deps --editable .
	$(FLOORS)/bin/python tools/floors.py > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install --quiet --constraint $(FLOORS)/floors.txt --editable '.[all]'
	$(FLOORS)/bin/python -m pip install --quiet --no-deps tf-agents==0.19.0
	$(FLOORS)/bin/pytest -q -m "not slow" $(FLOOR_TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

browser: install
	$(BIN)/pytest -q -rs -m browser tests/test_browser.py

bench: install
	$(BIN)/tfzoo bench aft

install: $(DONE)

$(DONE): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m pip install --quiet --no-deps tf-agents==0.19.0
	touch $(DONE)

clean:
	rm -rf $(VENV) build dist *.egg-info
