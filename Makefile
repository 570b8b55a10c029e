# One command for each job; people, the pre-commit hooks, CI and the workflows call the same ones.
#
#   make demo           build, start a real Kafka, send a million records and read every one back
#   make test           all tests: C programs and sanitizers, Python, real Kafka
#   make test-all       the same with the slow tests and with Kafka 3.9 and 2.8
#   make test-soak      the tests that run for many minutes
#   make integration    only the tests with a real Kafka
#   make unit           only the tests that need no Kafka and no other client, for interpreters that those lack
#   make faults         the whole fault matrix, long parts included, and its table
#
#   make dev            the virtual environment for development, extensions built in place
#   make build          rebuild the extensions whose sources changed
#   make lint           style, layers, types and workflows
#   make types          mypy alone
#   make actionlint     the workflows alone (needs Go)
#   make format         let ruff rewrite what it can
#   make hooks          run the checks above before each git commit
#
#   make csrc-test      C programs, with the system's codecs and with those found at run time
#   make csrc-sanitize  the same under ASan, UBSan and TSan; one alone: csrc-asan, csrc-ubsan, csrc-tsan
#   make csrc-clang     the same by clang
#   make asan           unit and wire tests of Python over a core built with ASan and UBSan
#   make fuzz           every fuzz target for SECONDS=60 each, two at a time; findings are in build/fuzz
#   make cross          compile csrc for ARM, Windows and macOS; run the ARM checksum in an emulator
#
#   make docs-config    write docs/config.md from the table of keys
#   make docs-metrics   write the tables of docs/metrics.md
#
#   make bench          the whole table of benchmarks, over an hour, and its page docs/benchmarks.md
#   make bench-micro    the pieces of the core and the calls of the API, timed one by one
#   make instructions   instructions for each record, by callgrind, beside the committed baseline
#   make docs           these pages and the reference, in build/docs/
#   make wheel          sdist, and the wheel built from it, in dist/
#   make wheel-test     repair a wheel and run the demo from it in an empty environment
#   make sdist          the sdist alone
#   make sbom           the bill of materials of what is in dist/, in build/sbom/
#   make release        make a release of TAG=... with that bill (needs gh)
#   make system         Debian packages that the tests use (installed for root, named for others)
#   make clean          remove what was built; distclean: the virtual environment too
#
# ARGS=... is handed on to demo, pytest, bench and instructions. PYTHON=python3.12 and VENV=.venv-3.12 choose another interpreter.

SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
SECONDS ?= 60
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet
PYTEST := $(VENV)/bin/python -m pytest
CSRC := $(MAKE) --no-print-directory -j$(JOBS) -C tests/csrc PYTHON=$(abspath $(VENV))/bin/python
ACTIONLINT := build/bin/actionlint
ACTIONLINT_VERSION := v1.7.12
SOURCES := setup.py $(wildcard csrc/*.[ch] kproducer/_core/*.pyx kproducer/_core/*.pxd)

.PHONY: help demo test test-all test-soak faults integration unit dev build lint types actionlint format hooks cross bench bench-micro \
    instructions docs docs-config docs-metrics wheel wheel-test sdist sbom release system asan fuzz clean distclean csrc-test csrc-sanitize csrc-asan csrc-ubsan csrc-tsan csrc-clang
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

# ---- environment: a stamp for each stage; pip's editable install builds the extensions as well ----

$(VENV)/.made: .ci/venv
	@.ci/venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml setup.py
	@echo "Building kproducer and installing its extra 'demo' (a Java runtime of 60 MB among it)"
	@$(PIP) --quiet --no-build-isolation --editable '.[demo]'
	@touch $@ $(VENV)/.built

$(VENV)/.dev: $(VENV)/.demo
	@echo "Installing what the tests and linters need"
	@$(PIP) --group dev
	@touch $@

$(VENV)/.built: $(SOURCES) | $(VENV)/.demo
	$(VENV)/bin/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/.unit: $(VENV)/.made pyproject.toml setup.py
	@echo "Building kproducer and installing what its unit tests need"
	@$(PIP) --no-build-isolation --editable .
	@$(PIP) --prefer-binary --group unit # an older hypothesis has no Rust in it, which 3.13t lacks
	@touch $@

$(ACTIONLINT): Makefile
	@echo "Building actionlint"
	@GOBIN=$(abspath $(@D)) go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "Installing Atheris, the fuzzer for Python"
	@$(PIP) --group fuzz
	@touch $@

dev: $(VENV)/.dev $(VENV)/.built
build: $(VENV)/.built

# ---- people ----

demo: $(VENV)/.demo $(VENV)/.built
	$(VENV)/bin/kproducer demo $(ARGS)

test: dev csrc-test csrc-sanitize
	$(PYTEST) $(ARGS)

test-all: dev csrc-test csrc-sanitize
	$(PYTEST) -m "not soak and not checker" $(ARGS)

test-soak: dev
	$(PYTEST) -m "soak or checker" $(ARGS)

faults: dev
	$(PYTEST) -m "row and not soak" $(ARGS)

integration: dev
	$(PYTEST) tests/integration $(ARGS)

unit: $(VENV)/.unit
	$(PYTEST) tests/unit tests/wire $(ARGS)

# ---- checks ----

lint: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	PATH="$(abspath $(VENV))/bin:$$PATH" cython-lint kproducer
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/mypy
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory actionlint; \
	    else echo "workflows not checked: Go is missing, by which actionlint is built"; fi

types: dev
	$(VENV)/bin/mypy

actionlint: $(ACTIONLINT)
	$(ACTIONLINT) -shellcheck= -pyflakes=

format: dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

hooks: dev
	$(VENV)/bin/pre-commit install

csrc-test:
	@$(CSRC) all
	@$(CSRC) runtime

csrc-sanitize: csrc-asan csrc-ubsan csrc-tsan

csrc-asan csrc-ubsan csrc-tsan csrc-clang: csrc-%:
	@$(CSRC) $*

asan: dev
	@tests/fuzz/asan.sh $(abspath $(VENV))/bin/python $(ARGS)

fuzz: dev $(VENV)/.fuzz
	@$(CSRC) fuzzers
	$(VENV)/bin/python -m tests.fuzz.run --seconds $(SECONDS) $(ARGS)

cross: dev
	@$(CSRC) cross

docs-config: dev
	$(VENV)/bin/python -m kproducer.config.reference > docs/config.md

docs-metrics: dev
	$(VENV)/bin/python -m kproducer.metrics.reference docs/metrics.md

# ---- products ----

bench: dev
	@$(VENV)/bin/python -m bench $(ARGS); status=$$?; $(VENV)/bin/python -m bench report && exit $$status

# Benchmarks are no tests: only here do their names count, and only as files named on the command line.
bench-micro: dev
	$(PYTEST) --override-ini=addopts=--import-mode=importlib --override-ini=python_functions='bench_*' \
	    --benchmark-columns=min,median,iqr,rounds --benchmark-sort=name bench/micro/bench_*.py $(ARGS)

instructions: dev
	$(VENV)/bin/python -m bench.micro.instructions $(ARGS)

docs: dev
	$(VENV)/bin/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs build/docs

wheel: dev
	$(VENV)/bin/python -m build --no-isolation

wheel-test: dev
	$(PYTEST) tests/house/test_wheels.py -m "slow or not slow" $(ARGS)

sdist: dev
	$(VENV)/bin/python -m build --no-isolation --sdist

sbom:
	$(PYTHON) .ci/sbom.py dist build/sbom

release:
	gh release create $(TAG) --verify-tag --title $(TAG) --notes-file CHANGELOG.md build/sbom/*.cdx.json

system:
	@.ci/system

clean:
	rm -rf build dist kproducer.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f kproducer/_core/*.so $(VENV)/.built $(VENV)/.demo $(VENV)/.dev $(VENV)/.fuzz

distclean: clean
	rm -rf $(VENV)
