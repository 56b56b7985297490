#!/bin/sh
# Installs the CMake package beside what ffi/install.sh has installed: install.sh PREFIX VERSION SOVERSION, below
# DESTDIR if that is set.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix=$1
version=$2
soversion=$3
to=${DESTDIR:-}$prefix
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}

if [ "$(uname)" = Darwin ]; then
    shared=liboncelog.$version.dylib
    soname=@rpath/liboncelog.$soversion.dylib
else
    shared=liboncelog.so.$version
    soname=liboncelog.so.$soversion
fi
# What a program needs besides the static library, as a list of CMake.
private=$(sed -n 's/^Libs.private: *//p' "$to/lib/pkgconfig/oncelog.pc" | tr -s ' ' ';')

mkdir -p "$to/lib/cmake/oncelog"
for file in oncelog-config oncelog-config-version; do
    sed -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" -e "s|@MINOR@|$minor|g" -e "s|@SHARED@|$shared|g" \
        -e "s|@SONAME@|$soname|g" -e "s|@PRIVATE@|$private|g" \
        "$here/$file.cmake.in" >"$to/lib/cmake/oncelog/$file.cmake"
done
