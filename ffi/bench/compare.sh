#!/bin/sh
# C against Rust: appends in batches of 100 records of 100 bytes at level os, and a scan: compare.sh [turns] [records].
# The two take turns, so that both meet the same machine; the lower quartile of each is printed, with the ratio, since
# others use the machine too.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
turns=${1:-9}
records=${2:-1000000}
built=${CARGO_TARGET_DIR:-target}
libs=$built/library
case $libs in /*) ;; *) libs=$top/$libs ;; esac
out=$top/target/c
mkdir -p "$out"
cargo build --quiet --release --package oncelog-ffi --example bench
cargo build --quiet --profile library --package oncelog-ffi
ln -sf liboncelog.so "$libs/liboncelog.so.0.1"
cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Iinclude ffi/bench/bench.c -o "$out/bench" \
    "-L$libs" -loncelog "-Wl,-rpath,$libs"

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
: >"$directory/figures"
for turn in $(seq "$turns"); do
    for language in c rust; do
        case $language in c) program=$out/bench ;; rust) program=$built/release/examples/bench ;; esac
        "$program" "$directory/log" 3 "$records" | tail -4 | sed "s/^/$language /" >>"$directory/figures"
        rm -rf "$directory/log"
    done
done
quartile() {
    grep "^$1 $2 " "$directory/figures" | awk '{ print $3 }' | sort -n \
        | awk '{ v[NR] = $1 } END { print v[int((NR + 3) / 4)] }'
}
for what in append scan; do
    c=$(quartile c $what)
    rust=$(quartile rust $what)
    echo "$what $c $rust" | awk '{ printf "%s: C %.1f, Rust %.1f ns per record, ratio %.3f\n", $1, $2, $3, $2 / $3 }'
done
