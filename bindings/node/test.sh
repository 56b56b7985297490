#!/usr/bin/env bash
# Builds the Node package in place and runs all its tests; with the word "build" it stops before the tests.
set -euo pipefail
cd "$(dirname "$0")"

missing=0
# On Windows the compiler is none that goes by that name.
[ "${OS:-}" = Windows_NT ] && cc= || cc=cc
for tool in cargo $cc node npm; do
	command -v "$tool" >/dev/null || { echo "missing: $tool"; missing=1; }
done
if command -v node >/dev/null && ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)'; then
	echo "too old: node $(node --version), 20 or newer is needed"; missing=1
fi
[ "$missing" = 0 ] || { echo "get Rust from https://rustup.rs, Node from https://nodejs.org, cc from your system"; exit 1; }

# The compiler of the facade and Node's types; nothing of them is needed by the package itself.
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund
node scripts/build.mjs
[ "${1:-}" != build ] || exit 0

# The limit is a file's as a whole; that of a test is in test/limit.mjs, and names the test.
node --test --test-timeout=900000 test/*.test.mjs
