# make demo [DELIVERY=exactly-once|at-least-once|at-most-once]   the main job, killed again and again, then proved
# make test, make lint, make soak SEEDS=n [FIRST=seed], make bench

DELIVERY ?= exactly-once
SEEDS ?= 10000

.PHONY: demo test lint soak bench tools

# The log lies in a directory of its own, which is gone when the demo ends, however it ends.
demo: tools
	@cargo build --release --package oncelog --example bank
	@directory=$$(mktemp -d) && trap 'rm -rf "$$directory"' EXIT && trap 'exit 130' INT TERM HUP \
		&& cargo run --quiet --release --package oncelog --example bank -- "$$directory" "$(DELIVERY)"

test: tools
	cargo test --workspace --features oncelog/sim

lint: tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps
	cargo test --quiet --package oncelog --features sim --test tidy

soak: tools
	SEEDS=$(SEEDS) cargo test --release --package oncelog --features sim --test simulation -- two_thousand_seeds --nocapture

bench: tools
	cargo bench --package oncelog-benches

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
