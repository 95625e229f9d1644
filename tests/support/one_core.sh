#!/bin/sh
# one_core.sh COMMAND…: runs it with an affinity mask of one CPU, the first that is allowed. 77: there is no taskset.
command -v taskset >/dev/null || exit 77
first=$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')
exec taskset -c "$first" "$@"
