# shellcheck shell=bash
# Sourced: need_packages NAME… installs what Debian has and this machine lacks; says so and fails when it cannot.
need_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "no dpkg here: taking it that the counterparts of these are installed: $*"
    return 0
  fi
  local p have missing=()
  have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null)
  for p in "$@"; do
    grep -qxF "$p installed" <<<"$have" || missing+=("$p")
  done
  ((${#missing[@]})) || return 0
  echo "installing ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "missing packages, and neither root nor sudo. As root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null >/dev/null || {
    echo "could not install: ${missing[*]}" >&2
    return 1
  }
}
