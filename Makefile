# Everything sets itself up: Python 3.11 or later, pip and make are all that must be there.
#   make demo      a living portfolio in the browser       make test     the tests
#   make help      the rest

PYTHON ?= python3
PORT ?=
FOR ?=
VEHICLES ?= 80
TEST_PROCESSES ?= 4
TESTS ?=

VENV_PYTHON := .venv/bin/python
UV := .tools/bin/uv
# Debian keeps servers where an ordinary user's PATH does not look.
MOSQUITTO := $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin" command -v mosquitto 2>/dev/null)
BROKER := $(if $(MOSQUITTO),,.venv-broker/.ready)
# The charge point that is not ours, for the tests; it stands on a library for Node.js.
THIRD_PARTY := tests/third_party/node_modules/.ready
NPM := $(shell command -v node >/dev/null 2>&1 && command -v npm 2>/dev/null)
NODE_VENV := $(if $(NPM),,.venv-node/.ready)
TRANSLATIONS := $(patsubst %.po,%.mo,$(shell find aggregator fleet grid compute_market -name '*.po' -not -path '*/node_modules/*'))
LOCK := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11
# uv does not read pip's configuration; a mirror that was set up for pip shall serve it too.
WITH_MIRROR := UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}}"; \
	if [ -n "$$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi;
step = @printf '%s\n' "--- $(1)" >&2

.DEFAULT_GOAL := help
.PHONY: help ready third-party demo up down test check bench fmt lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: ready ## run the demonstration; FOR=180 ends it after 180 s, PORT=8001, VEHICLES=200
	@exec $(VENV_PYTHON) manage.py run_platform --demo --vehicles $(VEHICLES) $(if $(FOR),--for $(FOR)) $(if $(PORT),--port $(PORT))

up: ready ## run the platform with an empty database; PORT=8000
	@exec $(VENV_PYTHON) manage.py run_platform --empty $(if $(PORT),--port $(PORT))

down: ready ## stop what `make up` runs
	@$(VENV_PYTHON) manage.py stop_platform

test: ready third-party ## run the tests; TESTS=tests/unit runs some of them
	@$(VENV_PYTHON) -m tests.run --processes $(TEST_PROCESSES) $(TESTS)

check: ready ## formatting, lint, types, import contracts, sizes, migrations, lock files, translations
	@$(VENV_PYTHON) -m tests.checks

bench: ready ## run every benchmark; each prints one line of JSON
	@for file in benchmarks/[a-z]*.py; do \
		[ -e "$$file" ] || continue; \
		PYTHONPATH=. $(VENV_PYTHON) "$$file" || exit 1; \
	done

fmt: ready ## format the code and sort the imports
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

lock: .tools/.ready ## resolve the dependencies anew within pyproject.toml's bounds
	@$(WITH_MIRROR) $(LOCK) --upgrade --group pyproject.toml:tools -o requirements-tools.lock
	@$(WITH_MIRROR) $(LOCK) --upgrade --group pyproject.toml:broker -o requirements-broker.lock
	@$(WITH_MIRROR) $(LOCK) --upgrade --group pyproject.toml:node -o requirements-node.lock
	@$(WITH_MIRROR) $(LOCK) --upgrade pyproject.toml --group embedded --group dev -o requirements.lock
	@$(WITH_MIRROR) $(LOCK) pyproject.toml --constraints requirements.lock -o requirements-production.lock

clean: ## remove everything that make has made
	rm -rf .venv .venv-broker .venv-node tests/third_party/node_modules .tools .run .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find aggregator fleet grid compute_market common tests -name __pycache__ -prune -exec rm -rf {} +
	find aggregator fleet grid compute_market -name '*.mo' -delete

ready: .venv/.ready .venv/.kernels $(BROKER) $(TRANSLATIONS)

# Numba keeps compiled functions by their own source alone: one that calls a changed one would go on with the old.
.venv/.kernels: $(wildcard aggregator/core/dispatch/fleet/*.py) .venv/.ready
	@rm -f aggregator/core/dispatch/fleet/__pycache__/*.nb[ci]
	@touch $@

# Without it the tests that need it are left out and say so; in continuous integration they fail.
third-party: .tools/.ready
	@$(MAKE) --no-print-directory $(THIRD_PARTY) || { [ -z "$$CI" ] && echo \
		"The third-party charge point could not be installed: its tests are left out." >&2; }

.tools/.ready: requirements-tools.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or later. Install one and name it: make PYTHON=python3.12 …" >&2; exit 1; }
	$(call step,setting up the installer)
	@rm -rf .tools && $(PYTHON) -m venv --without-pip .tools
	@$(PYTHON) -m pip --python .tools/bin/python install -qq --disable-pip-version-check --no-warn-script-location \
		--require-hashes --requirement requirements-tools.lock || { \
		echo "pip could not install uv. Is pip there ($(PYTHON) -m pip --version), and can it reach its index?" >&2; exit 1; }
	@touch $@

.venv/.ready: requirements.lock .tools/.ready
	$(call step,installing the dependencies)
	@[ -x $(VENV_PYTHON) ] || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv; }
	@$(WITH_MIRROR) $(UV) pip sync --quiet --python $(VENV_PYTHON) --require-hashes requirements.lock
	@touch $@

.venv-broker/.ready: requirements-broker.lock .tools/.ready
	$(call step,installing the MQTT broker (Mosquitto is not on this machine))
	@[ -x .venv-broker/bin/python ] || { rm -rf .venv-broker && $(PYTHON) -m venv --without-pip .venv-broker; }
	@$(WITH_MIRROR) $(UV) pip sync --quiet --python .venv-broker/bin/python --require-hashes requirements-broker.lock
	@touch $@

.venv-node/.ready: requirements-node.lock .tools/.ready
	$(call step,installing Node.js for the tests (it is not on this machine))
	@[ -x .venv-node/bin/python ] || { rm -rf .venv-node && $(PYTHON) -m venv --without-pip .venv-node; }
	@$(WITH_MIRROR) $(UV) pip sync --quiet --python .venv-node/bin/python --require-hashes requirements-node.lock
	@touch $@

$(THIRD_PARTY): tests/third_party/package-lock.json $(NODE_VENV)
	$(call step,installing the third-party charge point for the tests)
	@cd $(dir $<) && PATH="$(CURDIR)/.venv-node/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

%.mo: %.po .venv/.ready
	@.venv/bin/pybabel --quiet compile --input-file $< --output-file $@
