#!/bin/sh
# The C library's tests: test.sh [build | long].
#   build  only makes target/c/{bank,relay} and their C++ twins
#   long   the random caller with 2,000,000 calls, ten minutes of fuzzing
# Checks that a test program is clean with gcc and clang, under AddressSanitizer and UndefinedBehaviorSanitizer, under
# ThreadSanitizer and under valgrind. The sanitizers see the C side and all memory that the library takes or gives back;
# its own loads and stores, and its locks, are seen by valgrind.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
cd "$top"
mode=${1:-short}
libs=${CARGO_TARGET_DIR:-target}/library
case $libs in /*) ;; *) libs=$top/$libs ;; esac
out=$top/target/c
flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -Iinclude"
link="-L$libs -loncelog -lpthread -Wl,-rpath,$libs"
tests="open_close append_read batch reading producer transactions raw consumer misuse completions hooks faults"
forking="fork forked_log forked_walk"
tests="$tests callbacks endings $forking"
# The calls that the random caller and the fuzzer draw.
drawn="ffi/tests/calls.c ffi/tests/seldom_calls.c"

say() {
    echo "ffi: $*"
}

# Compilers and checkers: installed where this may be done, else named.
need() {
    missing=
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    [ -z "$missing" ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing$missing"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $missing >/dev/null && return
    fi
    say "missing:$missing; get them from your system's packages (apt-get install$missing)"
    exit 1
}

# The soname is what programs look for; cargo names the file without it.
build_library() {
    cargo build --quiet --profile library --package oncelog-ffi
    ln -sf liboncelog.so "$libs/liboncelog.so.0.1"
    mkdir -p "$out"
}

build_programs() {
    cc $flags -O2 -Iffi/examples ffi/examples/bank.c ffi/examples/bank_row.c -o "$out/bank" $link
    cc $flags -O2 -Iffi/tests ffi/tests/relay.c -o "$out/relay" $link
    if [ -x ffi/tests/cpp/test.sh ]; then ffi/tests/cpp/test.sh build; fi
}

# compile <name> <compiler and its flags>: all tests as $out/<name>/<test>.
compile() {
    name=$1
    shift
    mkdir -p "$out/$name"
    for test in $tests; do
        "$@" $flags -Iffi/tests "ffi/tests/$test.c" -o "$out/$name/$test" $link
    done
    "$@" $flags -Iffi/tests ffi/tests/random_calls.c $drawn -o "$out/$name/random_calls" $link
    "$@" $flags -Iffi/tests ffi/tests/fuzz_calls.c $drawn -o "$out/$name/fuzz_calls" $link
}

# run <name> <tests>: behind $runner, if that is set. A program takes seconds: one that is still at work after
# $patience of them hangs, and is named rather than waited for.
run() {
    name=$1
    shift
    for test in "$@"; do
        timeout -s ABRT "$patience" $runner "$out/$name/$test" >"$out/$name/$test.log" 2>&1 || {
            code=$?
            [ $code = 124 ] && say "$name $test is still at work after $patience seconds"
            say "$name $test failed with $code:"
            tail -40 "$out/$name/$test.log"
            exit 1
        }
    done
    say "$name: $# programs passed"
}

check_header() {
    # knows <compiler> <language> <standard>: compilers learn new standards under their working names first.
    knows() { echo | "$1" -std="$3" -fsyntax-only -x "$2" - 2>/dev/null; }
    strict="-pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only"
    for compiler in gcc clang; do
        for standard in c99 c11 c17 c2x c23; do
            knows $compiler c $standard || continue
            echo '#include "oncelog.h"' | $compiler -std=$standard $strict -x c -
        done
        for standard in c++17 c++20 c++2b c++23; do
            knows $compiler c++ $standard || continue
            echo '#include "oncelog.h"' | $compiler -std=$standard $strict -x c++ -
        done
    done
    if echo '#include "oncelog.h"' | clang --target=i686-linux -ffreestanding -Iinclude -fsyntax-only -x c - 2>/dev/null
    then
        say "the header compiles for pointers of 32 bits, for which there is no library"
        exit 1
    fi
    # As Microsoft's compiler reads it, which has a word of its own for answers that must be looked at.
    mkdir -p "$out/sal"
    echo '#define _Check_return_ looked_at' >"$out/sal/sal.h"
    echo '#include "oncelog.h"' |
        clang -U__GNUC__ -U__clang__ -D_MSC_VER=1930 -ffreestanding -Iinclude -I"$out/sal" -E - |
        grep -q '^looked_at' || { say "Microsoft's compiler lets answers go unseen"; exit 1; }
    cargo test --quiet --package oncelog-ffi
}

# The random caller and the fuzzer make every call, but for what is set once before all others.
check_drawn() {
    for call in $(sed -n 's/^[a-z].*[ *]\(oncelog_[a-z_]*\)(.*/\1/p' include/oncelog.h); do
        case $call in oncelog_set_allocator | oncelog_set_logger) continue ;; esac
        cat $drawn ffi/tests/calls.h | grep -q "$call[(]" || { say "$call is drawn by no test"; exit 1; }
    done
}

check_library() {
    others=$(nm -D --defined-only "$libs/liboncelog.so" | grep -v ' oncelog_' || true)
    [ -z "$others" ] || { say "symbols that are not oncelog_*: $others"; exit 1; }
    readelf -d "$libs/liboncelog.so" | grep -q 'SONAME.*liboncelog\.so\.0\.1\]' \
        || { say "the soname is wrong"; exit 1; }
    strip -o "$out/stripped.so" "$libs/liboncelog.so"
    size=$(wc -c <"$out/stripped.so")
    [ "$size" -lt 4000000 ] || { say "the stripped library has $size bytes, 4,000,000 are too many"; exit 1; }
    say "liboncelog.so: $size bytes stripped, oncelog_* alone"
}

# What is installed is found by pkg-config, shared and static.
check_install() {
    rm -rf "$out/prefix"
    ffi/install.sh "$out/prefix" >"$out/install.log"
    grep -q 'run ldconfig' "$out/install.log" || { say "the installation does not speak of ldconfig"; exit 1; }
    others=$(nm -g --defined-only "$out/prefix/lib/liboncelog.a" | awk 'NF == 3 && $3 !~ /^oncelog_/ { print $3 }')
    [ -z "$others" ] || { say "symbols of liboncelog.a that are not oncelog_*: $others"; exit 1; }
    pkg="env PKG_CONFIG_PATH=$out/prefix/lib/pkgconfig pkg-config"
    for example in append_read resume_without_duplicates exactly_once broker keep_a_place; do
        cc -std=c99 -Wall -Wextra -Werror -Iffi/examples "ffi/examples/$example.c" -o "$out/$example" \
            $($pkg --cflags --libs oncelog) -Wl,-rpath,"$out/prefix/lib"
        rm -rf "$out/log"
        "$out/$example" "$out/log" >/dev/null
    done
    cc -std=c99 -Iffi/examples ffi/examples/append_read.c -o "$out/static" $($pkg --cflags oncelog) \
        "$out/prefix/lib/liboncelog.a" $($pkg --variable=none oncelog) $(sed -n 's/^Libs.private: //p' \
        "$out/prefix/lib/pkgconfig/oncelog.pc")
    rm -rf "$out/log"
    "$out/static" "$out/log" >/dev/null
    # With nothing shared at all, not even the C library.
    gcc -static -std=c99 -Iffi/examples ffi/examples/append_read.c -o "$out/all-static" \
        $($pkg --static --cflags --libs oncelog)
    if readelf -d "$out/all-static" | grep -q NEEDED; then say "all-static needs a shared library"; exit 1; fi
    rm -rf "$out/log"
    "$out/all-static" "$out/log" >/dev/null
    rm -rf "$out/log"
    say "installed, found by pkg-config; examples ran, shared and static"
}

# readme_lines <language> <file>: the five lines that the README has for it.
readme_lines() {
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" README.md | grep -v '^```' >"$2"
    [ "$(wc -l <"$2")" = 5 ] || { say "the README has no five lines for $1"; exit 1; }
}

# What the README shows compiles as it stands, and says what it sent.
check_readme() {
    readme=$out/readme
    rm -rf "$readme"
    mkdir -p "$readme"
    readme_lines c "$readme/readme_lines.h"
    readme_lines cpp "$readme/readme_lines.hpp"
    cc $flags -I"$readme" ffi/tests/readme.c -o "$readme/c" $link
    c++ -std=c++17 -Wall -Wextra -Werror -Iinclude -I"$readme" ffi/tests/cpp/readme.cpp -o "$readme/cpp" $link
    for language in c cpp; do
        said=$(cd "$readme" && "./$language")
        [ "$said" = hello ] || { say "the README's lines of $language say: $said"; exit 1; }
    done
    say "the README's lines of C and C++ run"
}

fuzz() {
    clang $flags -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -DFUZZER -Iffi/tests \
        ffi/tests/fuzz_calls.c $drawn -o "$out/fuzzer" $link
    mkdir -p "$out/corpus"
    "$out/fuzzer" -max_total_time="$1" -max_len=2048 -timeout=60 -artifact_prefix="$out/" "$out/corpus" \
        >"$out/fuzzer.log" 2>&1 || {
        tail -40 "$out/fuzzer.log"
        exit 1
    }
    say "fuzzer: $(grep -c . "$out/fuzzer.log") lines of progress, $(tail -1 "$out/fuzzer.log")"
}

need cc c++ ar ld objcopy strip readelf nm
build_library
build_programs
[ "$mode" = build ] && exit
need gcc g++ clang valgrind pkg-config cmake

# A file system in memory: what is tested here is the library's surface, not the disk.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
check_header
check_drawn
check_library
check_install
check_readme

runner=
patience=900
export CALLS=100000 INPUTS=200
if [ "$mode" = long ]; then export CALLS=2000000 INPUTS=2000 FORKS=1000; patience=36000; fi
compile gcc gcc -O2
run gcc $tests random_calls fuzz_calls
compile clang clang -O1
run clang $tests random_calls fuzz_calls
compile address clang -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Its allocator, unlike the C library's, is of no use to the forked child of a process with threads.
run address $(echo "$tests" | sed 's/ forked_log//') random_calls fuzz_calls
compile thread clang -O1 -fsanitize=thread
export TSAN_OPTIONS="suppressions=$here/tests/thread.supp"
run thread open_close append_read batch producer transactions raw consumer misuse completions callbacks random_calls
if [ "$mode" != long ]; then CALLS=4000 INPUTS=10; else CALLS=100000; fi
# Threads take turns under valgrind: one that never waits keeps all others from theirs for minutes unless it has to be
# fair. A forked child has no threads and so cannot give back what they held.
runner="valgrind --quiet --fair-sched=try --error-exitcode=9"
run gcc $forking
runner="$runner --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
run gcc $(echo "$tests" | sed "s/ $forking//") random_calls fuzz_calls
runner=
if [ "$mode" = long ]; then fuzz 600; else fuzz 10; fi
if [ -x ffi/tests/cpp/test.sh ]; then ffi/tests/cpp/test.sh; fi
say "all passed"
