# The few verbs, the same on a desk and in CI. They need python3 (3.11 or newer), make and git.
.DEFAULT_GOAL := help
.PHONY: help demo test drill lint bench docs lock wheel clean

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready

help:
	@echo "make demo   run the main job end to end on this machine"
	@echo "make test   run the tests"
	@echo "make drill  kill a run at 50 and more places"
	@echo "make lint   ruff, mypy, import-linter"
	@echo "make bench  measure what the README claims"
	@echo "make docs   write the manifest's JSON Schema and the drawing of the packages to docs/"
	@echo "make lock   resolve requirements.lock anew"
	@echo "make wheel  build the wheel and try it in an empty environment"
	@echo "make clean  remove what was built"

# The lock is synced with hashes checked; the project itself is linked, without its dependencies. Its modules are compiled as an installer compiles
# a wheel's: where PYTHONDONTWRITEBYTECODE is set every process would do it anew. compileall follows no links.
$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python3 is older than 3.11; name another with PYTHON="; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip -q
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync -q --require-hashes --compile-bytecode requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src tasks flows blocks
	@touch $@

demo: $(READY)
	@$(BIN)/gatehouse demo

# By file: what a file's tests share is started once. xdist's groups have no effect under pytest 9.2 (pytest-xdist issue 1386).
test: $(READY)
	@ls $${GATEHOUSE_TEST_CACHE:-$$HOME/.cache/gatehouse-tests}/vault-* >/dev/null 2>&1 || echo "the first run builds a Vault server with go: some minutes more"
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not drill" --durations=40

drill: $(READY)
	$(BIN)/pytest -m drill -s

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests
	$(BIN)/lint-imports
	$(BIN)/gatehouse policy check

bench: $(READY)
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(READY)
	@$(BIN)/gatehouse check --schema > docs/manifest.schema.json
	@echo docs/manifest.schema.json
	@$(BIN)/python docs/draw_packages.py

# No addresses in the lock: a commit names no download host.
lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -q uv==$(UV_VERSION); }
	@echo 'cloudpickle>=3.1.1' > .venv/overrides.txt
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --all-extras --group dev --override .venv/overrides.txt \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' -q -o requirements.lock

wheel: $(READY)
	GATEHOUSE_TEST_BUNDLED_PIP=1 $(BIN)/python -m pytest tests/test_wheel.py -s

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
