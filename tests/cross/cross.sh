#!/bin/bash
# Builds weir for aarch64 with Debian's cross compiler and runs its unit tests under qemu's user emulation.
#   cross.sh [--must] BUILD_DIRECTORY      --must: a missing tool is a failure, not a skip
#
# What this shows: the aarch64 code compiles without a warning, and behaves. What it does not: weak memory. qemu on x86-64
# gives the emulated program the host's order, which is stronger than ARM's; for that there are the model suite and the
# disassembly suite. membarrier(2), affinity, /proc and cgroups are the host's own under qemu, so the code that asks for
# them runs; `left-out` names the tests that qemu 7.2 itself cannot run, each with its reason.
set -uo pipefail
must=
[ "${1-}" = --must ] && must=yes && shift
build=${1:?usage: cross.sh [--must] BUILD_DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
jobs=$(nproc)

missing=()
for tool in aarch64-linux-gnu-g++ qemu-aarch64 meson ninja; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
[ -f /usr/src/googletest/googletest/src/gtest-all.cc ] || missing+=("GoogleTest's sources (package googletest)")
queue=
for place in concurrentqueue/moodycamel concurrentqueue; do
  [ -f "/usr/include/$place/concurrentqueue.h" ] && queue=$place
done
[ -n "$queue" ] || missing+=("concurrentqueue.h (package libconcurrentqueue-dev)")
if ((${#missing[@]})); then
  printf -v said '%s, ' "${missing[@]}"
  if [ -n "$must" ]; then
    echo "failed: the aarch64 build: missing ${said%, }" >&2
    exit 1
  fi
  echo "skipped: the aarch64 build: missing ${said%, }"
  exit 77
fi

# Of the build machine's headers moodycamel's alone: /usr/include as a whole would hide what the sysroot lacks.
mkdir -p "$build/include"
ln -sfn "/usr/include/${queue%%/*}" "$build/include/${queue%%/*}"
build=$(cd "$build" && pwd)

step() { # step NAME COMMAND...: runs it and tells how long it took
  local name=$1 start=$SECONDS
  shift
  "$@" || { echo "failed: $name" >&2; exit 1; }
  took+="${took:+, }$name $((SECONDS - start)) s"
}
took=

configure() {
  [ -f "$build/meson/build.ninja" ] && meson configure "$build/meson" -Dunity_tests=true 2>/dev/null && return
  rm -rf "$build/meson"
  # Only what runs here: no hwloc, no benches, no tools, and of the tests the unit suite.
  CXX='' CXXFLAGS='' meson setup "$build/meson" "$root" --cross-file "$here/aarch64.ini" -Dauto_features=disabled \
    -Dtests=enabled -Dunity_tests=true -Dcpp_args="-idirafter$build/include" >"$build/configure.log" 2>&1 || {
    tail -n 30 "$build/configure.log" >&2
    return 1
  }
}

compile() {
  ninja -C "$build/meson" -j "$jobs" tests/unit/unit >"$build/compile.log" 2>&1 || {
    grep -E 'error|FAILED' "$build/compile.log" | head -n 30 >&2
    return 1
  }
  # GoogleTest compiled from source warns; weir must not.
  if grep -E '(core|tests)/[^:]*:[0-9]+:[0-9]+: warning:' "$build/compile.log" | grep -v '/usr/' >&2; then
    echo "weir warns on aarch64" >&2
    return 1
  fi
  local leaked
  leaked=$(ninja -C "$build/meson" -t deps | grep -E '^ +/usr/include/' | grep -v 'concurrentqueue' | sort -u)
  if [ -n "$leaked" ]; then
    echo "headers of the build machine leaked in:" "$leaked" >&2
    return 1
  fi
}

run() {
  local filter='' name why
  while read -r name why; do
    case $name in '' | \#*) continue ;; esac
    echo "left out under qemu: $name: $why"
    filter+=":$name"
  done <"$here/left-out"
  # Emulated code is some ten times slower; a test that hangs is still named by the watchdog.
  WEIR_TEST_TIMEOUT=${WEIR_TEST_TIMEOUT:-100} qemu-aarch64 -L /usr/aarch64-linux-gnu "$build/meson/tests/unit/unit" \
    --gtest_brief=1 --gtest_filter="-${filter#:}"
}

step configure configure
step compile compile
step run run
echo "measured: aarch64 under qemu: $took"
