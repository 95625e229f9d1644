#!/bin/sh
# Builds the peers that are not written in C++, without a network.
#   build.sh check go|rust                     says why it cannot be built here, and fails; says nothing when it can
#   build.sh go|rust SOURCE OUTPUT SCRATCH     compiles SOURCE to OUTPUT; everything else goes to SCRATCH
set -eu
crates=${WEIR_CARGO_REGISTRY:-/usr/share/cargo/registry} # where Debian's librust-*-dev put their sources

crate_version() {
  find "$crates" -maxdepth 1 -name "$1-[0-9]*" 2>/dev/null | sort -V | sed -n "\$s|.*/$1-||p"
}

case "$1 $2" in
  'check go')
    command -v go >/dev/null || { echo 'there is no go (golang-go)'; exit 1; }
    minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 19 ] || { echo "go is older than 1.19: $(go env GOVERSION)"; exit 1; }
    exit ;;
  'check rust')
    { command -v cargo && command -v rustc; } >/dev/null || { echo 'there is no cargo or no rustc'; exit 1; }
    for crate in tokio rayon libc; do
      [ -n "$(crate_version $crate)" ] || { echo "$crates has no $crate (librust-$crate-dev)"; exit 1; }
    done
    exit ;;
esac

source=$2 output=$(realpath "$3") scratch=$4
mkdir -p "$scratch"
scratch=$(realpath "$scratch")
case $1 in
  go)
    cd "$source"
    GOCACHE=$scratch/cache GOPATH=$scratch/path GO111MODULE=on GOPROXY=off GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0 \
      go build -buildvcs=false -trimpath -o "$output" . ;;
  rust)
    # A copy, for cargo writes its lock file beside the manifest.
    rm -rf "$scratch/source"
    cp -r "$source" "$scratch/source"
    cd "$scratch/source"
    BENCH_TOKIO_VERSION=$(crate_version tokio) BENCH_RAYON_VERSION=$(crate_version rayon) CARGO_HOME=$scratch/home \
      cargo build --quiet --release --offline --target-dir "$scratch/target" \
      --config 'source.crates-io.replace-with="system"' --config "source.system.directory=\"$crates\""
    cp "$scratch/target/release/weir-bench-peer-rust" "$output" ;;
  *) echo "build.sh: what is $1?" >&2; exit 2 ;;
esac
