# make demo, make test: each sets up what it needs (.venv by uv; Debian packages by apt when root).
.DEFAULT_GOAL := help
.PHONY: help demo retail test lint format bench docs changelog lock clean

PY := .venv/bin/python

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1	\2/' | expand -t 20

demo: setup-run  ## the main job on real flights: sources in, a chosen, priced, signed model out
	@$(PY) examples/flights/prepare.py
	@cd examples/flights && ../../.venv/bin/headrace run
	@printf '%s\n' '' 'here, in this clone: . .venv/bin/activate && cd examples/flights, and as ROWS.csv data/new_flights.csv'

retail: setup-dev ## five sources in five systems, servers included: checked, run, explained
	@$(PY) examples/retail/demo.py

test: setup-dev  ## every test, on real servers
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q $(ARGS)

lint: setup-dev  ## ruff, strict types, layers, changelog entries
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) scripts/changelog.py --check

format: setup-dev ## rewrite with ruff
	@.venv/bin/ruff check --fix-only
	@.venv/bin/ruff format

bench: setup-dev ## every figure of benchmarks/RESULTS.md, measured anew
	@$(PY) -m benchmarks

docs: setup-dev  ## build the documentation into site/
	@.venv/bin/zensical build --clean --strict

changelog: setup-dev ## fold changes/ into CHANGELOG.md
	@$(PY) scripts/changelog.py

lock: setup-dev  ## pin the environment anew
	@scripts/lock.sh --upgrade

clean:           ## delete what the build and the examples made
	@rm -rf site dist .mypy_cache .ruff_cache .pytest_cache .hypothesis examples/*/.headrace examples/*/data

.PHONY: setup-run setup-dev
setup-run:
	@scripts/setup.sh run
setup-dev:
	@scripts/setup.sh dev
