#!/bin/bash
# What <weir/weir.hpp> costs a translation unit: the median of interleaved runs with it, minus the median with just the
# standard headers that it names (its own headers' included). At most 0.15 s.
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

ms() { # wall time of one compilation in ms
  local start=$EPOCHREALTIME
  "${compiler[@]}" "$1"
  local end=$EPOCHREALTIME
  echo $(((${end/./} - ${start/./}) / 1000))
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
for ((i = 0; i < rounds; i++)); do
  ms "$scratch/std.cpp" >>"$scratch/std"
  ms "$scratch/weir.cpp" >>"$scratch/weir"
done
std=$(median <"$scratch/std") weir=$(median <"$scratch/weir")
echo "measured: weir.hpp ${weir} ms, its standard headers alone ${std} ms: weir adds $((weir - std)) ms (limit ${limit_ms} ms, median of $rounds)"
((weir - std <= limit_ms))
