#!/bin/sh
# Instructions per record, counted by valgrind: unlike times they are the same on a busy machine.
#   instructions.sh         compares with instructions.txt, fails if a figure has moved by more than 5 %
#   instructions.sh renew   writes instructions.txt anew; a commit that does so says why
# Each workload runs twice; the difference between the two runs leaves out what opening and closing cost. Another compiler
# makes other instructions: then the figures are printed and not judged.
set -eu

# The C library chooses its copy loops by the processor's caches; one of them valgrind counts byte by byte.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824:glibc.cpu.x86_rep_stosb_threshold=1073741824

here=$(cd "$(dirname "$0")" && pwd)
cd "$(dirname "$here")"
known=$here/instructions.txt
program=${CARGO_TARGET_DIR:-target}/release/instructions
compiler="$(rustc --version | cut -d ' ' -f 1,2) on $(uname -m)"

if ! command -v valgrind >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "instructions: installing valgrind"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y valgrind >/dev/null
    else
        echo "instructions: missing: valgrind; get it from your system's packages"
        exit 1
    fi
fi
cargo build --quiet --release --package oncelog-benches --bin instructions

# collected <workload> <times>
collected() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 | awk '/Collected/ { print $4 }'
}

# per_record <workload> <times> <records each time>
per_record() {
    few=$(collected "$1" "$2")
    many=$(collected "$1" $(($2 * 3)))
    echo "$1 $(((many - few) / ($2 * 2 * $3)))"
}

figures=$(
    per_record append-memory 4000 1
    per_record append-os 2000 1
    per_record append-100-os 100 100
    per_record append-raw-os 2000 1
    per_record send 6000 1
    per_record send-many-100 80 100
    per_record send-named 6000 1
    per_record transaction-100 60 100
    per_record scan 4 5000
)
if [ "${1:-}" = renew ]; then
    { echo "# $compiler"; echo "$figures"; } >"$known"
    cat "$known"
    exit 0
fi
if [ "$(head -n 1 "$known")" != "# $compiler" ]; then
    echo "$figures" | awk '{ printf "instructions: %-16s %6d a record\n", $1, $2 }'
    echo "instructions: not judged: this is $compiler, the figures known are those of $(head -n 1 "$known" | cut -c 3-)"
    exit 0
fi
echo "$figures" | awk -v known="$known" '
    BEGIN { while ((getline line < known) > 0) { split(line, word, " "); before[word[1]] = word[2] } }
    {
        moved = before[$1] ? ($2 / before[$1] - 1) * 100 : 100
        verdict = moved > 5 ? "MORE" : moved < -5 ? "FEWER" : "as known"
        printf "instructions: %-16s %6d a record, %+5.1f %%, %s\n", $1, $2, moved, verdict
        if (moved > 5 || moved < -5) bad = 1
    }
    END {
        if (bad) print "instructions: find out why; if it is meant, run benches/instructions.sh renew and commit the file"
        exit bad
    }'
