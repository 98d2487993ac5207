# `make quickstart` and `make test` create their virtual environment in .venv the first time.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
LIGHTNING ?= .lightning
READY = $(VENV)/ready

.PHONY: quickstart test test-slow test-lightning check docs clean

quickstart: $(READY)
	$(BIN)/resnet-tl fit -c quickstart

# A file's tests stay in one of the two processes: they share what they have trained.
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# Resume and freezing on the oldest and the newest Lightning that pyproject.toml allows, each in an environment of its own.
test-lightning: $(READY)
	$(BIN)/python tests/lightning_versions.py $(LIGHTNING)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site: open site/index.html, or serve it (its search needs that): python3 -m http.server -d site
docs: $(VENV)/ready-docs
	NO_MKDOCS_2_WARNING=1 NO_ALBUMENTATIONS_UPDATE=1 $(BIN)/mkdocs build --strict

# Removes generated files; runs/ stays.
clean:
	rm -rf $(VENV) $(LIGHTNING) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -e '.[dev]'
	touch $@

$(VENV)/ready-docs: $(READY)
	$(BIN)/python -m pip install -e '.[docs]'
	touch $@
