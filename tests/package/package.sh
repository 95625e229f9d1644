#!/bin/bash
# Installs weir into a scratch prefix and builds and runs a consumer against it.
#   package.sh pkg-config|cmake|subproject SOURCE BUILD
# Exit status 77 (skipped) when the tool of that way is not installed.
set -euo pipefail
way=$1 source=$2 build=$3
consumer=$source/tests/package/consumer
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

install_weir() {
  DESTDIR=$scratch/root meson install -C "$build" --no-rebuild --quiet
  weir_h=$(find "$scratch/root" -path '*/weir/weir.hpp')
  include=$(dirname "$(dirname "$weir_h")")
  prefix=$(dirname "$include")
  library=$(find "$prefix" -name 'libweir.so' -o -name 'libweir.a' | head -n 1)
  libdir=$(dirname "$library")
}

# Public headers must stand on the standard library alone, and weir.pc must not ask for more than threads and hwloc.
no_leaks() {
  if grep -rn 'concurrentqueue\|moodycamel::' "$include" "$libdir/pkgconfig/weir.pc"; then
    echo 'the inject queue leaks out of the library'; exit 1
  fi
}

case $way in
  pkg-config)
    command -v pkg-config >/dev/null || exit 77
    install_weir
    no_leaks
    if [ -f "$libdir/libweir.so" ]; then python3 "$source/tests/package/exported.py" "$include" "$libdir/libweir.so"; fi
    flags=$(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --define-variable=prefix="$prefix" --cflags --libs weir)
    # shellcheck disable=SC2086
    ${CXX:-g++} -std=c++20 -Wall -Wextra -Werror "$consumer/main.cpp" -o "$scratch/shared" $flags
    LD_LIBRARY_PATH=$libdir "$scratch/shared"
    if [ -f "$libdir/libweir.a" ] && [ -f "$libdir/libweir.so" ]; then
      flags=$(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --static --define-variable=prefix="$prefix" --cflags --libs weir)
      # shellcheck disable=SC2086
      ${CXX:-g++} -std=c++20 "$consumer/main.cpp" -o "$scratch/static" ${flags/-lweir/-l:libweir.a}
      "$scratch/static"
    fi
    ;;
  cmake)
    command -v cmake >/dev/null || exit 77
    install_weir
    cmake -S "$consumer" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >"$scratch/log" ||
      { cat "$scratch/log"; exit 1; }
    cmake --build "$scratch/build" >"$scratch/log" || { cat "$scratch/log"; exit 1; }
    LD_LIBRARY_PATH=$libdir "$scratch/build/consumer"
    ;;
  subproject)
    mkdir -p "$scratch/consumer/subprojects"
    cp "$consumer"/* "$scratch/consumer"
    ln -s "$source" "$scratch/consumer/subprojects/weir"
    env -u MESON_TESTTHREADS meson setup "$scratch/build" "$scratch/consumer" --force-fallback-for=weir >"$scratch/log" ||
      { cat "$scratch/log"; exit 1; }
    # Who embeds weir gets the library and nothing of its workshop.
    if ninja -C "$scratch/build" -t targets all | grep -v 'meson.build' | grep -E 'weir/(tests|bench|tools)/'; then
      echo 'a subproject builds tests, benchmarks or tools'; exit 1
    fi
    ninja -C "$scratch/build" consumer >"$scratch/log" || { cat "$scratch/log"; exit 1; }
    "$scratch/build/consumer"
    ;;
  *)
    echo "unknown way: $way"; exit 2
    ;;
esac
