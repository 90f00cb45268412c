PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DONE = $(VENV)/.installed

.PHONY: demo test test-all lint bench install clean

demo: install
	$(BIN)/tfzoo demo

test: install
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow"

test-all: install
	$(BIN)/pytest -q -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
