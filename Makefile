# Two commands do everything on a fresh machine: `make search` and `make test`.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
PACKAGES := searchspace detectors compress launch

.PHONY: search bench check docs test test-slow

search: $(INSTALLED)
	$(VENV)/bin/sparrow search --space quick

bench: $(INSTALLED)
	$(VENV)/bin/python -m benchmarks.throughput --quick --check

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyrefly check --python-interpreter-path $(VENV)/bin/python
	@echo "ignored type errors: $$(grep -rh 'pyrefly: ignore' --include='*.py' $(PACKAGES) | wc -l)"

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not slow" --numprocesses auto --dist loadgroup \
		--max-worker-restart 0

test-slow: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m slow

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --no-compile --constraint constraints.txt --editable ".[deploy,dashboard,mlflow,wandb,video,postgres,test,check,docs,examples]"
	touch $@
