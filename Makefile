# Two commands do everything on a fresh machine: `make search` and `make test`.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: search test test-slow

search: $(INSTALLED)
	$(VENV)/bin/sparrow search

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not slow" --numprocesses auto --dist loadgroup \
		--max-worker-restart 0

test-slow: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m slow

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --constraint constraints.txt --editable ".[deploy,test]"
	touch $@
