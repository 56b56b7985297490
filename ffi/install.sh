#!/bin/sh
# Builds the C library and installs it: install.sh [PREFIX], /usr/local unless given; below DESTDIR if that is set.
# Headers, liboncelog.a, liboncelog.so with its soname's links, pkg-config and CMake files, licences.
set -eu
# Everybody may read what is installed, whoever installs it and whatever the modes of the sources.
umask 022

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
prefix=${1:-/usr/local}
case $prefix in /*) ;; *) prefix=$(pwd)/$prefix ;; esac
to=${DESTDIR:-}$prefix

version=$(sed -n 's/^#define ONCELOG_VERSION_STRING "\(.*\)"$/\1/p' "$top/include/oncelog.h")
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
if [ "$major" = 0 ]; then soversion=0.$minor; else soversion=$major; fi

cd "$top"
cargo build --profile library --package oncelog-ffi
from=${CARGO_TARGET_DIR:-target}/library
# What a program that links with liboncelog.a needs besides, as the compiler knows it. It names the unwinder that is
# shared; one that is linked with -static has only the other, which does for all.
told=$from/native-static-libs
cargo rustc --color never --quiet --release --package oncelog-ffi --lib --crate-type staticlib -- \
    --print native-static-libs >"$told" 2>&1 || { cat "$told" >&2; exit 1; }
private=$(sed -n -e 's/-lgcc_s/-lgcc_eh/g' -e 's/^note: native-static-libs: //p' "$told")
[ -n "$private" ] || { echo "the compiler does not say what liboncelog.a needs:" && cat "$told"; exit 1; } >&2

licences=$to/share/licenses/oncelog
mkdir -p "$to/include/oncelog" "$to/lib/pkgconfig" "$licences"
install -m 644 include/oncelog.h include/oncelog.hpp "$to/include/"
install -m 644 include/oncelog/*.hpp "$to/include/oncelog/"
install -m 644 LICENSE-MIT LICENSE-APACHE ffi/NOTICES "$licences/"
if [ "$(uname)" = Darwin ]; then
    install -m 644 "$from/liboncelog.a" "$to/lib/"
    strip -S "$to/lib/liboncelog.a"
    install -m 755 "$from/liboncelog.dylib" "$to/lib/liboncelog.$version.dylib"
    ln -sf "liboncelog.$version.dylib" "$to/lib/liboncelog.$soversion.dylib"
    ln -sf "liboncelog.$soversion.dylib" "$to/lib/liboncelog.dylib"
else
    # All of it as one object of which a program sees oncelog_* alone: it may have a zstd of its own, or another library
    # made of Rust. What the compiler left for itself (.llvm*) does not survive that.
    ld -r --whole-archive "$from/liboncelog.a" -o "$from/liboncelog.o"
    objcopy --strip-debug --remove-section='.llvm*' --wildcard --keep-global-symbol='oncelog_*' "$from/liboncelog.o"
    rm -f "$to/lib/liboncelog.a"
    ar rcs "$to/lib/liboncelog.a" "$from/liboncelog.o"
    # Written beside and moved, so that a program that has the old one mapped keeps it.
    install -m 755 "$from/liboncelog.so" "$to/lib/.liboncelog.so.new"
    strip "$to/lib/.liboncelog.so.new"
    mv "$to/lib/.liboncelog.so.new" "$to/lib/liboncelog.so.$version"
    ln -sf "liboncelog.so.$version" "$to/lib/liboncelog.so.$soversion"
    ln -sf "liboncelog.so.$soversion" "$to/lib/liboncelog.so"
fi
sed -e "s|@VERSION@|$version|" -e "s|@LIBS_PRIVATE@|$private|" ffi/oncelog.pc.in \
    > "$to/lib/pkgconfig/oncelog.pc"
if [ -x ffi/cmake/install.sh ]; then
    ffi/cmake/install.sh "$prefix" "$version" "$soversion"
fi
echo "installed oncelog $version in $to"
if [ "$(uname)" = Linux ] && [ -z "${DESTDIR:-}" ]; then
    echo "if programs do not find liboncelog.so.$soversion when they start: run ldconfig as root, or link them with" \
        "-Wl,-rpath,$prefix/lib where that is not one of the system's directories"
fi
