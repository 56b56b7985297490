#!/bin/sh
# oncelog beside other engines: compare.sh [lint].
#   lint   only checks the program's own source
# QUICK=1 makes a run of a minute or two, whose results are printed, not kept. ROCKSDB=no leaves RocksDB out: it is
# compiled from source, half an hour of C++ on two cores, unless ROCKSDB_LIB_DIR names where a new one is installed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
features="--features rocksdb"

say() {
    echo "compare: $*"
}

# The bindings of RocksDB are made with libclang: installed where this may be done, else named.
find_clang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return
    # By these names it is looked for: the library alone, without what its -dev package adds, has others.
    for library in /usr/lib/llvm*/lib/libclang.so /usr/lib/*/libclang-*.so /usr/lib*/libclang.so; do
        [ -e "$library" ] && return
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing libclang-dev"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y libclang-dev >/dev/null && return
    fi
    return 1
}

if [ "${ROCKSDB:-yes}" = no ]; then
    features=
elif ! find_clang || ! command -v c++ >/dev/null; then
    say "missing: libclang or a C++ compiler; get them from your system's packages (apt-get install libclang-dev g++)"
    say "or leave RocksDB out: make compare ROCKSDB=no"
    exit 1
fi

# Chronicle Queue is a Java program: built where Java and Maven are, else its rows say that it was left out.
build_chronicle() {
    to=../../target/compare/chronicle
    rm -rf "$to" && mkdir -p "$to" && to=$(cd "$to" && pwd)
    for tool in java javac mvn; do
        command -v $tool >/dev/null || { say "left out: Chronicle Queue, which needs $tool" && return; }
    done
    mvn -q -B -f chronicle/pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$to/lib" && javac -nowarn -cp "$to/lib/*" -d "$to" chronicle/Chronicle.java \
        || say "left out: Chronicle Queue, which could not be built"
}

if [ "${1:-}" = lint ]; then
    cargo fmt --check
    exec cargo clippy --locked --release $features -- -D warnings
fi

build_chronicle
cargo build --quiet --locked --release $features
exec ../../target/compare/release/oncelog-compare
