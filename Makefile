# `make demo` and `make test` do all set-up themselves and need nothing activated.

SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport VIRTUAL_ENV
UV = $(shell scripts/setup.sh --find-uv)

.PHONY: help setup demo test

help:
	@echo "make setup  uv, the environment and the system libraries that are missing"
	@echo "make demo   builds the embedded demonstration dataset into demo/dataset"
	@echo "make test   ruff, mypy and the tests"

setup:
	@scripts/setup.sh

demo: setup
	@$(UV) run --no-sync mvgen build --dataset demo --angles -45:45:10 --out demo/dataset --workers 2
	@echo
	@echo "The dataset lies in       $(CURDIR)/demo/dataset"
	@echo "Look at its page          $(CURDIR)/demo/dataset/report/index.html"
	@echo "and its contact sheet     $(CURDIR)/demo/dataset/contact_sheet.png"

test: setup
	$(UV) run --no-sync ruff check .
	$(UV) run --no-sync ruff format --check .
	$(UV) run --no-sync mypy
	$(UV) run --no-sync pytest
