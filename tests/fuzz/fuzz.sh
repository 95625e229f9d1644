#!/bin/bash
# Fresh fuzzing of one target, after its corpus.
#   fuzz.sh TARGET-PROGRAM CORPUS-DIRECTORY WORK-DIRECTORY
#
#   WEIR_FUZZ_SECONDS  how long (default 30). What is found new is kept in WORK-DIRECTORY/corpus, and the next run goes on
#                      from there: a soak is this with a large number.
# A crash leaves its input in WORK-DIRECTORY; `TARGET-PROGRAM INPUT` repeats it, as far as a schedule can be repeated.
set -uo pipefail
target=$(realpath "$1") corpus=$(realpath "$2") work=$3 seconds=${WEIR_FUZZ_SECONDS:-30}
mkdir -p "$work/corpus" && cd "$work" || exit 1
rm -f crash-* timeout-* leak-* oom-*
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
# The length is bounded: tasks are capped anyway, and short inputs are the ones that can be read.
"$target" -max_len=256 -timeout=60 -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1 corpus "$corpus" >log 2>&1
status=$?
if ((status)); then
  grep -aE 'ORACLE|ERROR|SUMMARY|WARNING' log >&2
  tail -n 60 log >&2
  echo "failed after $(grep -aoE '^#[0-9]+' log | tail -n 1) runs; the input is in $work:" >&2
  ls crash-* timeout-* leak-* oom-* 2>/dev/null >&2
  exit 1
fi
echo "measured: $(basename "$target"): $(sed -n 's/^stat::number_of_executed_units: *//p' log) inputs in $seconds s," \
  "$(sed -n 's/^stat::new_units_added: *//p' log) of them new," \
  "coverage $(grep -aoE 'cov: [0-9]+' log | tail -n 1 | cut -d' ' -f2) edges"
