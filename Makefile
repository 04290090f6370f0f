# make demo | make test | make check | make bench | make nightly
# Needs python3 (3.11 or later, with venv), a Rust toolchain, a C compiler and make; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_QUIET := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYO3_PYTHON := $(abspath $(BIN)/python)
SOURCES := $(shell find native python/pxefast -name '*.rs' -o -name '*.py' -o -name '*.toml' -o -name '*.pyi' -o -name '*.pxd') Cargo.toml build.rs pyproject.toml

.PHONY: demo test check rust python lint types fuzz mutants mutants-python mutants-native firmware bench bench-tftp bench-storm bench-caps bench-loss bench-reflection bench-peers conformance nightly clean

demo: $(VENV)/built
	$(BIN)/pxefast demo

# Both suites: the native core without Python, then everything from outside.
test: rust python

rust: $(VENV)/tools
	cargo test --locked --no-default-features --quiet

# A module's tests stay together, in their order; modules run side by side. `pytest` alone runs one after the other.
JOBS ?= $(shell nproc)
python: $(VENV)/built
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

check: lint types test

lint: $(VENV)/built
	cargo fmt --check
	cargo clippy --locked --all-targets --no-default-features --quiet -- -D warnings
	cargo clippy --locked --lib --quiet -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/built
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise pxefast._native

# docs/conformance.md and docs/robustness.md, from the sentences, the rules and the tests that show them.
conformance: $(VENV)/built
	$(BIN)/python -m tests.conformance.generate

firmware: $(VENV)/built
	PXEFAST_REQUIRE_FIRMWARE=1 $(BIN)/python -m pytest tests/firmware

# Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz). SECONDS a target; Rust's, then Python's.
SECONDS ?= 600
fuzz: $(VENV)/built
	cd tests/fuzz && for target in dhcp tftp name transfer; do \
		mkdir -p corpus/$$target && \
		cargo +nightly fuzz run --fuzz-dir . $$target corpus/$$target seeds/$$target -- -max_total_time=$(SECONDS) || exit 1; \
	done
	$(BIN)/python -m pip install --group fuzz
	for target in hive wim xml capture; do \
		$(BIN)/python -m tests.fuzz.run $$target -max_len=16384 -max_total_time=$(SECONDS) || exit 1; \
	done

# Small changes of the product, one at a time, that some test must notice; takes hours (docs/testing.md).
# ARGS="site/protocol.py decide/identity.py" names modules, ARGS=--anew forgets an earlier run.
mutants: mutants-python mutants-native

mutants-python: $(VENV)/built
	$(BIN)/python -m pip install --group mutants
	$(BIN)/python -m tests.mutants.run $(ARGS)

# FILES="native/engine/seq.rs" names other files. The tests of the engine judge the mutants, in a crate of a copy of
# native/engine and native/wire alone: it builds in seconds. What an earlier run caught is left out.
FILES ?= native/engine/*.rs
ENGINE := target/mutants/engine
mutants-native: $(BIN)/cargo-mutants
	rm -rf $(ENGINE)/native && mkdir -p $(ENGINE)/native && cp -R native/engine native/wire $(ENGINE)/native/
	ln -sfn $(abspath tests) $(ENGINE)/tests
	printf '%s\n' 'pub mod engine;' 'pub mod wire;' > $(ENGINE)/native/lib.rs
	printf '%s\n' '[package]' 'name = "engine"' 'version = "0.0.0"' 'edition = "2021"' 'autotests = false' \
		'[lib]' 'path = "native/lib.rs"' '[profile.dev]' 'opt-level = 1' '[workspace]' > $(ENGINE)/Cargo.toml
	$(BIN)/cargo-mutants mutants --dir $(ENGINE) --in-place --no-shuffle --colors never --baseline skip --timeout 60 --iterate \
		$(foreach file,$(FILES),--file '$(file)') --output target/mutants -- --lib engine || [ $$? = 2 ]

$(BIN)/cargo-mutants: $(VENV)/tools
	cargo install --locked --quiet --root $(VENV) cargo-mutants@27.1.0
	touch $@

bench: $(VENV)/built bench-peers
	$(BIN)/python benches/run.py

# One table of TFTP servers under the same load; ARGS="--quick", ARGS="--json FILE" (benches/README.md).
bench-tftp: $(VENV)/built bench-peers
	$(BIN)/python -m benches.tftp $(ARGS)

# Four thousand clients at once; caps; lost packets; forged requests. ARGS="--quick", ARGS="--json FILE".
bench-storm bench-caps bench-loss bench-reflection: bench-%: $(VENV)/built bench-peers
	$(BIN)/python -m benches.tftp.$* $(ARGS)

# Other people's servers, into ~/.cache/pxefast-bench.
bench-peers: $(VENV)/tools
	$(BIN)/python -m benches.tftp.peers

nightly: # everything, in the long form
	PXEFAST_LONG=1 PXEFAST_REQUIRE_FIRMWARE=1 $(MAKE) check
	$(MAKE) fuzz bench

clean:
	rm -rf $(VENV) target

$(VENV)/tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install 'maturin>=1.9.4,<2' 'cython>=3.1,<4'
	touch $@

# A release build, installed so that an edit of a Python file counts at once.
$(VENV)/built: $(VENV)/tools $(SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked --quiet --extras test,check,bench
	touch $@
