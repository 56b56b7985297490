# make demo [LANGUAGE=rust|c|cpp|python|node] [DELIVERY=exactly-once|at-least-once|at-most-once]
#     the main job in that language, killed again and again, then proved
# make test          everything, in five languages; or one part: make test-core, test-c, test-python, test-node, test-relay
# make test-instructions   part of the test: instructions per record, against benches/instructions.txt
# make test-sanitized   the core's tests under ThreadSanitizer, with a standard library made for it: needs nightly Rust
# make lint, make soak SEEDS=n [FIRST=seed], make bench, make install PREFIX=/usr/local (the C and C++ library)
# make compare [QUICK=1] [ROCKSDB=no]   beside SQLite, LMDB, RocksDB and others; writes benches/RESULTS.md

LANGUAGE ?= rust
DELIVERY ?= exactly-once
SEEDS ?= 10000
PREFIX ?= /usr/local

.PHONY: demo test test-instructions test-core test-c test-python test-node test-relay test-sanitized lint soak bench compare install tools

# What the parent of the demo starts; nothing for Rust, which starts itself.
CHILD_rust =
CHILD_c = target/c/bank
CHILD_cpp = target/c/bank-cpp
CHILD_python = target/python/venv/bin/python bindings/python/examples/bank.py
CHILD_node = node bindings/node/examples/bank.mjs

# The log lies in a directory of its own, which is gone when the demo ends, however it ends.
demo: tools
	@$(if $(filter rust c cpp python node,$(LANGUAGE)),true,echo "LANGUAGE is rust, c, cpp, python or node"; exit 1)
	@case $(LANGUAGE) in \
		c|cpp) ffi/test.sh build ;; \
		python) bindings/python/test.sh build ;; \
		node) bindings/node/test.sh build ;; \
	esac
	@cargo build --release --package oncelog --example bank
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && trap 'exit 130' INT TERM HUP \
		&& cargo run --quiet --release --package oncelog --example bank -- "$$directory" "$(DELIVERY)" \
			$(if $(CHILD_$(LANGUAGE)),-- $(CHILD_$(LANGUAGE)))

test: test-core test-instructions test-c test-python test-node test-relay

# As `lint` builds it, so that neither builds it again.
CORE = --package oncelog --package oncelog-benches --features oncelog/sim,oncelog/tracing

test-core: tools
	cargo test $(CORE)
	cargo test --package oncelog --features models --test models

# Instructions per record, against what is known; benches/instructions.sh renew takes the new figures.
test-instructions: tools
	benches/instructions.sh

test-c: tools
	ffi/test.sh

test-python: tools
	bindings/python/test.sh

test-node: tools
	bindings/node/test.sh

# One log, handed from language to language.
test-relay: tools
	ffi/test.sh build
	bindings/python/test.sh build
	bindings/node/test.sh build
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT \
		&& cargo run --quiet --release --package oncelog --example relay -- "$$directory/log" 50 \
			c=target/c/relay cpp=target/c/relay-cpp \
			"python=target/python/venv/bin/python bindings/python/tests/relay.py" \
			"node=node bindings/node/test/relay.mjs"

# Not part of `test`: the standard library and every dependency are compiled anew, which takes minutes. A target
# directory of its own, for nothing of it fits an ordinary build. The simulated tests run one thread and are left out.
SANITIZED = --lib --test threads --test handles --test streaming --test teardown --test reading --test places \
	--test real_disk --test events

test-sanitized: tools
	@cargo +nightly --version >/dev/null 2>&1 || { echo "missing: nightly Rust; rustup toolchain install nightly"; exit 1; }
	@rustup component list --toolchain nightly --installed | grep -q rust-src \
		|| { echo "missing: rust-src; rustup component add rust-src --toolchain nightly"; exit 1; }
	@command -v clang >/dev/null || { echo "missing: clang; get it from your system's packages"; exit 1; }
	RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" CC=clang CFLAGS=-fsanitize=thread \
		CARGO_TARGET_DIR=target/sanitized TSAN_OPTIONS=halt_on_error=1 cargo +nightly test -Zbuild-std \
		--target $$(rustc -vV | sed -n 's/^host: //p') --package oncelog --features sim,tracing $(SANITIZED)

# That Windows still compiles, where its target and a C compiler for it are there; nothing where not.
WINDOWS_TARGET = x86_64-pc-windows-gnu
WINDOWS = if rustup target list --installed 2>/dev/null | grep -qx $(WINDOWS_TARGET) \
		&& command -v x86_64-w64-mingw32-gcc >/dev/null; then \
		cargo clippy --package oncelog --tests --features sim,tracing --target $(WINDOWS_TARGET) -- -D warnings \
		&& cargo clippy --package oncelog-ffi --lib --target $(WINDOWS_TARGET) -- -D warnings; \
	fi

lint: tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --package oncelog --no-default-features -- -D warnings
	@$(WINDOWS)
	RUSTDOCFLAGS="-D warnings" cargo doc --package oncelog --all-features --no-deps
	cargo test --quiet $(CORE) --test tidy

soak: tools
	SEEDS=$(SEEDS) cargo test --release --package oncelog --features sim --test simulation -- two_thousand_seeds --nocapture

# Rust, then each language beside what its programs use today; peers that are not there are left out.
bench: tools
	cargo bench --package oncelog-benches --bench log
	cargo bench --package oncelog-benches --bench scale --features holds
	ffi/bench/compare.sh
	bindings/python/test.sh build
	target/python/venv/bin/pip install --quiet --only-binary :all: lmdb confluent_kafka || true
	target/python/venv/bin/python bindings/python/bench.py
	bindings/node/test.sh build
	npm install --silent --no-audit --no-fund --prefix target/node-peers lmdb better-sqlite3 || true
	NODE_PATH=target/node-peers/node_modules node bindings/node/bench.mjs

# A crate of its own, with a lock file of its own. Neither `test` nor `lint` compiles it, for it brings all the other
# engines along; `benches/compare/compare.sh lint` checks it.
compare: tools
	QUICK=$(QUICK) ROCKSDB=$(ROCKSDB) benches/compare/compare.sh

install: tools
	ffi/install.sh "$(PREFIX)"

tools:
	@missing=0; \
	for tool in cargo rustc cc; do \
		command -v $$tool >/dev/null || { echo "missing: $$tool"; missing=1; }; \
	done; \
	if command -v rustc >/dev/null && ! rustc --version \
		| awk '{ split($$2, v, "."); exit !(v[1] > 1 || v[2] >= 89) }'; then \
		echo "too old: $$(rustc --version), 1.89 or newer is needed"; missing=1; \
	fi; \
	if [ $$missing = 1 ]; then echo "get Rust from https://rustup.rs, cc from your system's packages"; exit 1; fi
