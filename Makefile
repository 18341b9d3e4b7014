# `make run` starts Lumen, `make test` proves it; `make help` lists the rest.
# Needs git, make and Python 3.11 or newer with venv and pip. Everything else is set up in .venv.

PORT ?= 8080
HOST ?= 127.0.0.1
ARGS ?=
VENV = .venv
PYTHON = $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test check format pictures bench prove lock clean venv-run venv-test

help: ## list the targets
	@echo 'make run PORT=8080       start Lumen on this machine'
	@echo 'make test ARGS="-k key"  set up what the tests need and run them (ARGS go to pytest)'
	@echo 'make check               lint and type-check; changes nothing'
	@echo 'make format              format the code and sort its imports'
	@echo 'make pictures            take the pictures of every page anew, for documents and help'
	@echo 'make bench ARGS="..."      measure the gateway: two processors and a C compiler, ten minutes'
	@echo 'make prove ARGS="..."      prove what is promised of coins, under faults and crashes: ten minutes'
	@echo 'make lock                pin the requirements of pyproject.toml anew, with hashes'
	@echo 'make clean               remove .venv and caches (never data/)'

run: venv-run
	@exec $(PYTHON) app.py serve --host '$(HOST)' --port '$(PORT)'

# Compiled tests are kept, or every process would compile them all anew.
test: venv-test
	@$(PYTHON) -m tests.e2e.chromium
	@env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder $(ARGS)

check: venv-test
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

format: venv-test
	$(PYTHON) -m ruff check --select I --fix
	$(PYTHON) -m ruff format

pictures: venv-test
	@$(PYTHON) -m tests.e2e.chromium
	@$(PYTHON) -m tests.e2e.pictures

bench: venv-test
	@$(PYTHON) -m bench.gateway $(ARGS)

prove: venv-test
	@$(PYTHON) -m prove $(ARGS)

# uv resolves for every platform at once; it is needed here only. No index address may end up in a lock.
LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	@command -v uv >/dev/null 2>&1 || { echo 'make lock needs uv on the PATH (pip install uv).' >&2; exit 1; }
	echo 'setuptools>=77' | $(LOCK) --quiet --output-file requirements.txt pyproject.toml -
	echo 'setuptools>=77' | $(LOCK) --quiet --output-file requirements-dev.txt --extra dev pyproject.toml -
	@if grep -l '://' requirements.txt requirements-dev.txt; then echo 'a lock names a host' >&2; exit 1; fi

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

venv-run:
	@sh .ci/venv '$(VENV)' requirements.txt

venv-test:
	@sh .ci/venv '$(VENV)' requirements-dev.txt
