#!/bin/sh
# The tests of oncelog.hpp: test.sh [build].
#   build  only makes target/c/{bank-cpp,relay-cpp}
# All tests are compiled by g++ and clang++, as C++17, C++20 and C++23, with and without exceptions, and run under
# AddressSanitizer and UndefinedBehaviorSanitizer, under ThreadSanitizer, and optimised; examples run; an installation
# is used through pkg-config and through CMake.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
cd "$top"
libs=${CARGO_TARGET_DIR:-target}/library
case $libs in /*) ;; *) libs=$top/$libs ;; esac
out=$top/target/c
work=$out/cpp
warn="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Iinclude"
link="-L$libs -loncelog -pthread -Wl,-rpath,$libs"
bare="-fno-exceptions -fno-rtti"

say() {
    echo "cpp: $*"
}

missing=
for tool in c++ $([ "${1:-}" = build ] || echo g++ clang++ cmake nm pkg-config); do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
[ -z "$missing" ] || { say "missing:$missing; get them from your system's packages (apt-get install$missing)"; exit 1; }

cargo build --quiet --profile library --package oncelog-ffi
# The soname is what programs look for; cargo names the file without it.
ln -sf liboncelog.so "$libs/liboncelog.so.0.1"
mkdir -p "$work"
c++ -std=c++17 -O2 $warn ffi/examples/bank.cpp -o "$out/bank-cpp" $link
c++ -std=c++17 -O2 $warn ffi/tests/cpp/relay.cpp -o "$out/relay-cpp" $link
[ "${1:-}" = build ] && exit

# A file system in memory: what is tested here is the header, not the disk.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then export TMPDIR=/dev/shm; fi
export TSAN_OPTIONS="suppressions=$top/ffi/tests/thread.supp"

# check <name> <compiler and its flags>: compiles all tests and runs them.
check() {
    name=$1
    shift
    "$@" $warn ffi/tests/cpp/all.cpp -o "$work/$name" $link && "$work/$name" >"$work/$name.log" 2>&1 || {
        say "$name failed: $*"
        tail -60 "$work/$name.log" 2>/dev/null
        return 1
    }
    say "$name: $(tail -1 "$work/$name.log")"
}

# The other half of the combinations compiles alone: what differs from those that run is what the compiler sees.
compile_rest() {
    g++ -std=c++17 $bare $warn -fsyntax-only ffi/tests/cpp/all.cpp
    g++ -std=c++20 $warn -fsyntax-only ffi/tests/cpp/all.cpp
    clang++ -std=c++17 $warn -fsyntax-only ffi/tests/cpp/all.cpp
    clang++ -std=c++20 $bare $warn -fsyntax-only ffi/tests/cpp/all.cpp
    for compiler in g++ clang++; do
        # By its final name, or the one before.
        for standard in c++23 c++2b; do
            echo | $compiler -std=$standard -fsyntax-only -x c++ - 2>/dev/null || continue
            $compiler -std=$standard $warn -fsyntax-only ffi/tests/cpp/all.cpp
            break
        done
        for part in include/oncelog/*.hpp; do
            echo "#include \"$part\"" | $compiler -std=c++17 $warn -I. -fsyntax-only -x c++ -
        done
    done
    # <windows.h> makes macros of these two names.
    for compiler in g++ clang++; do
        { sed -n '/^#include </p' include/oncelog/*.hpp | sort -u &&
            printf '#define min(a, b) bad\n#define max(a, b) bad\n#include <oncelog.hpp>\n'; } |
            $compiler -std=c++17 $warn -fsyntax-only -x c++ -
    done
    for careless in 'engine.flush()' 'engine.producer()' 'engine.producer().value().send("t", oncelog::Record())' \
        'if (engine.has_room(1)) {}' \
        'while (engine.partition("t", 0).value().read(0).value().next()) {}' \
        'if (engine.producer().value().try_send("t", oncelog::Record())) {}'; do
        if printf '#include <oncelog.hpp>\nvoid careless(oncelog::Engine &engine) { %s; }' "$careless" |
            g++ -std=c++17 $warn -fsyntax-only -x c++ - 2>/dev/null; then
            say "$careless: a result that nobody looks at, or that asks two questions, must not compile"
            return 1
        fi
    done
    say "every combination compiles, and every header alone; results must be looked at"
}

run_alone() {
    g++ -std=c++17 -O1 $warn ffi/tests/cpp/allocator.cpp -o "$work/allocator" $link
    say "allocator: $("$work/allocator")"
    # What an exception passes by on its way is lost, which a sanitizer sees.
    g++ -std=c++17 -g -fsanitize=address $warn ffi/tests/cpp/short_of_memory.cpp -o "$work/short_of_memory" $link
    say "short of memory: $("$work/short_of_memory")"
    g++ -std=c++17 -g -fsanitize=address $warn ffi/tests/cpp/endings.cpp -o "$work/endings" $link
    [ "$("$work/endings" | grep -c '^a log was closed at an end$')" = 2 ] || { say "endings failed"; return 1; }
    for example in append_read resume_without_duplicates exactly_once broker keep_a_place; do
        c++ -std=c++17 $warn "ffi/examples/$example.cpp" -o "$work/$example" $link
        rm -rf "$work/log"
        "$work/$example" "$work/log" >"$work/$example.log"
    done
    rm -rf "$work/log"
    say "examples ran"
}

# What a module with hidden symbols watches, a program drains, and what it throws, a program catches.
run_modules() {
    for compiler in g++ clang++; do
        hidden="$compiler -std=c++17 -fvisibility=hidden -fvisibility-inlines-hidden $warn"
        $hidden -shared -fPIC ffi/tests/cpp/modules/module.cpp -o "$work/libmodule-$compiler.so" $link
        $hidden ffi/tests/cpp/modules/program.cpp -o "$work/modules-$compiler" \
            -L"$work" "-lmodule-$compiler" $link -Wl,-rpath,"$work"
        rm -rf "$work/modules-log"
        "$work/modules-$compiler" "$work/modules-log"
        # By name it is found wherever the runtime compares names; elsewhere it must be one and the same.
        nm -DC "$work/libmodule-$compiler.so" | grep -q ' [VWu] typeinfo for oncelog::Exception$' \
            || { say "$compiler: the type of oncelog::Exception is hidden"; return 1; }
    done
    rm -rf "$work/modules-log"
    say "modules with hidden symbols are heard"
}

# Two jobs at a time.
first() {
    check address-g++-17 g++ -std=c++17 -g -fsanitize=address,undefined -fno-sanitize-recover=all
    check thread-clang++-20 clang++ -std=c++20 -g -fsanitize=thread
    compile_rest
}
second() {
    check address-clang++-17-bare clang++ -std=c++17 -g $bare -fsanitize=address,undefined -fno-sanitize-recover=all
    check thread-g++-20-bare g++ -std=c++20 -g $bare -fsanitize=thread
    check fast-g++-17 g++ -std=c++17 -O2
    run_alone
    run_modules
}
first &
one=$!
second &
two=$!
wait "$one"
wait "$two"
ffi/tests/cpp/package/test.sh
say "all passed"
