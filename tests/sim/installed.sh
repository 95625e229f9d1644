#!/bin/bash
# weir-sim as a user finds it: installed into a scratch prefix, through its pkg-config file alone.
#   installed.sh SOURCE BUILD
set -euo pipefail
command -v pkg-config >/dev/null || { echo 'skipped: no pkg-config'; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
DESTDIR=$scratch/root meson install -C "$2" --no-rebuild --quiet
pc=$(find "$scratch/root" -name weir-sim.pc)
libdir=$(dirname "$(dirname "$pc")")
prefix=$(dirname "$(dirname "$(dirname "$(find "$scratch/root" -name sim.hpp)")")")
read -ra flags < <(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" --cflags --libs weir-sim)
${CXX:-g++} -std=c++20 -Wall -Wextra -Werror "$1/tests/sim/example.cpp" -o "$scratch/example" "-L$libdir" "${flags[@]}"
"$scratch/example"
