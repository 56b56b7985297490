#!/bin/sh
# Installs oncelog into a directory of its own, moves that, and builds programs against it through pkg-config and CMake.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../../.." && pwd)
work=$top/target/c/cpp/package
rm -rf "$work"
mkdir -p "$work"

fail() {
    echo "package: $*"
    exit 1
}

# run <program>: in a new log.
run() {
    rm -rf "$work/log"
    "$1" "$work/log" || fail "$1 failed"
    rm -rf "$work/log"
}

cd "$work"
# A path may hold anything, in colours cargo's words are others, and who installs may hide what he makes.
mkdir 'a & b'
(umask 077 && CARGO_TERM_COLOR=always "$top/ffi/install.sh" 'a & b' >install.log 2>&1) || { cat install.log; exit 1; }
mv 'a & b' first
grep -q '^Libs.private: .*-lc\b' first/lib/pkgconfig/oncelog.pc ||
    fail "oncelog.pc does not say what liboncelog.a needs"
hidden=$(find first ! -type l \( ! -perm -444 -o -type d ! -perm -555 \))
[ -z "$hidden" ] || fail "not everybody may read $hidden"
licences=share/licenses/oncelog
for file in include/oncelog.h include/oncelog.hpp lib/liboncelog.a lib/pkgconfig/oncelog.pc \
    $licences/LICENSE-MIT $licences/LICENSE-APACHE $licences/NOTICES; do
    [ -f "first/$file" ] || fail "$file was not installed"
done
[ "$(ls "$top"/include/oncelog)" = "$(ls first/include/oncelog)" ] || fail "parts of oncelog.hpp were not installed"

# What is not ours, and cannot be had under the licence that lies beside.
crates=$(cd "$top" &&
    cargo tree --color never --package oncelog-ffi --edges normal --prefix none --format '{p} {l}' |
    sed -e '/Apache-2.0/d' -e 's/ .*//' | sort -u)
[ -n "$crates" ] || fail "cargo tree names no crate"
for crate in $crates; do
    grep -q "^==== .*\b$crate$" "first/$licences/NOTICES" || fail "NOTICES has nothing of $crate"
done

pkg="env PKG_CONFIG_PATH=$work/first/lib/pkgconfig pkg-config"
c++ -std=c++17 "$here/program.cpp" -o by-pkg-config $($pkg --cflags --libs oncelog) -Wl,-rpath,"$work/first/lib"
run ./by-pkg-config
c++ -std=c++17 -fno-exceptions -fno-rtti "$here/program.cpp" -o by-pkg-config-static $($pkg --cflags oncelog) \
    first/lib/liboncelog.a $(sed -n 's/^Libs.private: *//p' first/lib/pkgconfig/oncelog.pc)
run ./by-pkg-config-static

# Both packages find their files wherever they are moved together, and whatever the path holds.
mv first 'moved & far'
moved="$work/moved & far"
for kind in "" --static; do
    # As a shell's words, which is how pkg-config quotes.
    eval "set -- $(PKG_CONFIG_PATH="$moved/lib/pkgconfig" pkg-config --cflags --libs $kind oncelog)"
    c++ -std=c++17 "$here/program.cpp" -o "moved$kind" "$@" -Wl,-rpath,"$moved/lib"
    run "./moved$kind"
done
configure() {
    cmake -S "$here" -B "$1" -DCMAKE_PREFIX_PATH="$moved" -DWANTED="$2" >"$1.log" 2>&1
}
configure build 0.1 || { cat build.log; fail "CMake did not find the package"; }
cmake --build build --parallel 2 >>build.log 2>&1 || { cat build.log; fail "the programs were not built"; }
for program in shared_c shared_cpp static_c static_cpp; do run "build/$program"; done
for wrong in 0.2 0.0 1.0; do
    if configure "wrong-$wrong" "$wrong"; then fail "version $wrong was found, which is another"; fi
done
configure any "" || fail "no version was asked for, and none found"
if configure wrong-part "0.1;COMPONENTS;broker"; then fail "a component was found that is not there"; fi
grep -q 'oncelog has no component broker' wrong-part.log || { cat wrong-part.log; fail "no word of the component"; }
configure without-part "0.1;OPTIONAL_COMPONENTS;broker" || fail "a component that may be missing was missed"
echo "package: found by pkg-config and by CMake, shared and static; other versions and components are refused"
