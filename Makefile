# Everything a person or CI runs. Needs Python >= 3.11, a C compiler and the Rust toolchain; the rest is
# installed into .venv by `make setup`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WHEELS := target/wheels
PEER ?= .venv-peer
PEER_CAS ?= .venv-peer-cas
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust python -type f -not -path '*/__pycache__/*' -not -name THIRD_PARTY.txt)
# Deep enough for what people read, quiet enough for logs.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: setup build demo test test-rust test-python interop lint bench bench-cas docs clean

setup: $(VENV)/.setup
build: $(VENV)/.built

$(VENV)/.setup: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ferrocyte needs Python >= 3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip "maturin>=1.9,<2"
	touch $@

# The wheel is built and installed as a user would get it: tests and demo never see the source tree.
$(VENV)/.built: $(VENV)/.setup $(SOURCES)
	rm -rf $(WHEELS)
	$(BIN)/python rust/notices.py python/ferrocyte/data/THIRD_PARTY.txt
	$(BIN)/maturin build --release --locked --quiet --out $(WHEELS)
	$(PIP) --force-reinstall --no-deps $(WHEELS)/ferrocyte-*.whl
	$(PIP) "$$(ls $(WHEELS)/ferrocyte-*.whl)[test]"
	touch $@

demo: build
	$(BIN)/python examples/demo.py demo_output

test: test-rust test-python

# The same examples in every run, as those of the tests in Python; `cargo test` without a seed tries others.
test-rust:
	PROPTEST_RNG_SEED=1 cargo test --locked --quiet --package ferrocyte-core
	cargo run --locked --quiet --package ferrocyte-core --example embed

test-python: build
	$(BIN)/python -m pytest

# Files and requests between the peers, each in an environment of its own, and ours.
interop: build $(PEER)/.setup $(PEER_CAS)/.setup
	FERROCYTE_PEER_PYTHON=$(PEER)/bin/python FERROCYTE_CAS_PEER_PYTHON=$(PEER_CAS)/bin/python \
		$(BIN)/python -m pytest -m interop

# The typed example is checked as users check theirs: against what is installed, without our configuration.
lint: build
	$(PIP) "$$(ls $(WHEELS)/ferrocyte-*.whl)[lint]"
	cargo fmt --all --check
	cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --package ferrocyte-core
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict examples/typed.py --config-file=
	$(BIN)/python -m mypy.stubtest ferrocyte._core

# Ours against CellRank 2.0.7, which lives in an environment of its own.
bench: build $(PEER)/.setup
	$(BIN)/python benches/run.py --peer $(PEER)/bin/python $(BENCH)

$(PEER)/.setup: benches/peer-requirements.txt
	test -x $(PEER)/bin/python || $(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/peer-requirements.txt
	touch $@

# The annotation client against the official one, before a service of their own.
bench-cas: build $(PEER_CAS)/.setup
	$(BIN)/python benches/cas.py --peer $(PEER_CAS)/bin/python $(BENCH)

$(PEER_CAS)/.setup: benches/peer-cas-requirements.txt
	test -x $(PEER_CAS)/bin/python || $(PYTHON) -m venv $(PEER_CAS)
	$(PEER_CAS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/peer-cas-requirements.txt
	touch $@

docs: build
	$(PIP) "$$(ls $(WHEELS)/ferrocyte-*.whl)[docs]"
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) $(WHEELS) demo_output docs/_build
