#!/bin/sh
# under_quota.sh PERCENT COMMAND…: runs it in a cgroup of its own that gets so many percent of one CPU, below the group of
# the caller. 77: no such group may be made here.
percent=$1
shift
dir=

# mount TYPE OPTION: where a hierarchy of that type with that word among its options is mounted.
mount() {
  awk -v type="$1" -v word="$2" '{
    for (i = 7; i < NF && $i != "-"; ++i);
    n = split($(i + 3), options, ",")
    for (k = 1; k <= n; ++k) if ($(i + 1) == type && (word == "" || options[k] == word)) { print $5; exit }
  }' /proc/self/mountinfo
}
# A child that outlives the command by a moment still counts as in the group.
leave() {
  [ -n "$dir" ] || return
  tries=0
  until rmdir "$dir" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "under_quota.sh: $dir was left behind, with the processes: $(tr '\n' ' ' <"$dir/cgroup.procs")" >&2; return; }
    sleep 0.1
  done
}
# make PARENT: a group in it whose name no killed run has left behind.
make() {
  dir=$(mktemp -d "$1/weir-test-XXXXXX" 2>/dev/null)
}
trap leave EXIT
trap 'exit 130' INT TERM

place=$(mount cgroup cpu)
group=$(sed -n 's/^[0-9]*:\([^:]*,\)\{0,1\}cpu\(,[^:]*\)\{0,1\}://p' /proc/self/cgroup)
if [ -n "$place" ] && make "$place$group"; then
  echo 100000 >"$dir/cpu.cfs_period_us" && echo $((percent * 1000)) >"$dir/cpu.cfs_quota_us" || exit 77
else
  place=$(mount cgroup2 '')
  group=$(sed -n 's/^0:://p' /proc/self/cgroup)
  [ -n "$place" ] && make "$place$group" || exit 77
  echo "$((percent * 1000)) 100000" 2>/dev/null >"$dir/cpu.max" || exit 77
fi
sh -c 'echo $$ >"$0/cgroup.procs" || exit 77; exec "$@"' "$dir" "$@"
