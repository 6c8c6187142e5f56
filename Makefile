# `make demo` and `make test` work on a fresh clone: each sets up what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_OPTIONS ?=
TEST_WORKERS ?= 2

.PHONY: demo test check format docs figures bench clean

demo: $(VENV)/installed
	$(BIN)/impasto demo -o demo.png $(DEMO_OPTIONS)

# Two at a time, a thread each: what shares a server or a cluster (xdist_group) stays together.
test: $(VENV)/installed-dev
	scripts/find_browser.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadgroup

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_api.py tests/test_docs.py

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site is site/index.html; it asks no outside address.
docs: $(VENV)/installed-dev
	$(BIN)/python scripts/write_options.py
	$(BIN)/python scripts/write_commands.py
	$(BIN)/zensical build --clean --strict

# Seeded. The figures of the walk take about 20 minutes, the sheets of single flags as long again.
figures: $(VENV)/installed-dev
	$(BIN)/python scripts/draw_figures.py
	$(BIN)/python scripts/draw_triptych.py
	$(BIN)/python scripts/draw_studio.py
	$(BIN)/python examples/artistic_control.py

# The races take hours: see each script for the short ones.
bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/schedule.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/versus_pastiche.py
	$(BIN)/python benchmarks/versus_neural_style.py
	$(BIN)/python benchmarks/versus_first.py

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache site demo.png
