#!/bin/bash
# What <weir/weir.hpp> costs a translation unit: the CPU time of the compiler with it, minus that with just the standard
# headers that it names (its own headers' included). At most 0.15 s. The least of interleaved runs, for all that disturbs
# a run makes it longer.
#   compile_time.sh [ROUNDS]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
rounds=${1:-9} limit_ms=${WEIR_COMPILE_BUDGET_MS:-150}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo '#include <weir/weir.hpp>' >"$scratch/weir.cpp"
compiler=(${CXX:-g++} -std=c++20 -fsyntax-only -I"$root/core/include")
# The headers of weir that the umbrella reaches, and the standard headers that they spell.
mapfile -t reached < <("${compiler[@]}" -M "$scratch/weir.cpp" | tr -s ' \\\n' '\n' | grep "^$root/core/include/" | sort -u)
sed -n 's/^ *# *include *\(<[a-z0-9_./]*>\).*/#include \1/p' "${reached[@]}" | grep -v '<weir/' | sort -u >"$scratch/std.cpp"

ms() { # user and system time of one compilation in ms
  local TIMEFORMAT='%3U %3S' used
  used=$({ time "${compiler[@]}" "$1"; } 2>&1)
  awk '{ printf "%d\n", ($1 + $2) * 1000 }' <<<"$used"
}
least() { sort -n | head -n 1; }
for ((i = 0; i < rounds; i++)); do
  ms "$scratch/std.cpp" >>"$scratch/std"
  ms "$scratch/weir.cpp" >>"$scratch/weir"
done
std=$(least <"$scratch/std") weir=$(least <"$scratch/weir")
echo "measured: weir.hpp ${weir} ms, its standard headers alone ${std} ms: weir adds $((weir - std)) ms (limit ${limit_ms} ms, the least of $rounds)"
((weir - std <= limit_ms))
