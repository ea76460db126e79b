# Every target does its set-up itself and needs nothing activated. What must pass before a merge is in .ci/run:
# `make test`, then `make docs`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport VIRTUAL_ENV
UV = $(shell scripts/setup.sh --find-uv)
RUN = $(UV) run --no-sync
# Tests at a time. Each gets one thread: more make them no faster.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(RUN) pytest -n $(JOBS) --dist loadfile

.PHONY: help setup demo lint format fast test docs

help:
	@echo "make setup   uv, the environment and the system libraries that are missing"
	@echo "make demo    builds the embedded demonstration dataset into demo/dataset"
	@echo "make lint    ruff, its formatter and mypy; changes nothing"
	@echo "make format  formats the code and mends what ruff can"
	@echo "make fast    the tests that are not marked slow: a minute and a half on two cores"
	@echo "make test    lint and all tests: about six minutes on two cores (JOBS=8 for more)"
	@echo "make docs    the documentation into build/site/index.html; a warning is an error"

setup:
	@scripts/setup.sh

demo: setup
	@$(RUN) mvgen build --dataset demo --angles -45:45:10 --out demo/dataset --workers 2
	@echo
	@echo "The dataset lies in       $(CURDIR)/demo/dataset"
	@echo "Look at its page          $(CURDIR)/demo/dataset/report/index.html"
	@echo "and its contact sheet     $(CURDIR)/demo/dataset/contact_sheet.png"

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: setup
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

fast: setup
	$(PYTEST) -m "not slow"

test: lint
	$(PYTEST)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --clean
