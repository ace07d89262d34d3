# Private services for script/test and script/bench, in one folder that goes away. Sourced.
# shellcheck shell=bash

SERVICES=""
OWN_SERVICES=()

# Each program that the tests use, and the Debian package that has it.
needed_programs() {
  cat <<'TABLE'
dockerd docker.io
redis-server redis-server
initdb postgresql
chromium chromium
gcc gcc
ld libc6-dev
busybox busybox-static
ip iproute2
iptables iptables
promtool prometheus
iperf3 iperf3
mkfs.ext4 e2fsprogs
debootstrap debootstrap
mkfs.ext4 e2fsprogs
TABLE
}

program_there() {
  case $1 in
    initdb) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null ;;
    ld) [ -e /usr/include/stdio.h ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# Install what the tests need, as root; else say what is missing and go on without.
services_install() {
  local program package missing=()
  while read -r program package; do
    program_there "$program" || missing+=("$package")
  done < <(needed_programs)
  [ ${#missing[@]} -gt 0 ] || return 0
  apt_install "${missing[@]}" && return 0
  say "missing: ${missing[*]} (sudo apt install ${missing[*]}); tests that need them are skipped"
}

services_start() {
  SERVICES=$(mktemp -d /tmp/sparkweb-test.XXXXXX)
  chmod 711 "$SERVICES" # PostgreSQL's own user passes through
  trap services_stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [ -z "${SPARKWEB_TEST_DOCKER_HOST:-}" ]; then
    OWN_SERVICES+=(dockerd)
    if SPARKWEB_TEST_DOCKER_HOST=$("$PYTHON" -m tests.support.dockerd start "$SERVICES/dockerd"); then
      export SPARKWEB_TEST_DOCKER_HOST
    else
      unset SPARKWEB_TEST_DOCKER_HOST
    fi
  fi
  if [ -z "${SPARKWEB_TEST_POSTGRES_URL:-}" ]; then
    OWN_SERVICES+=(postgres)
    if SPARKWEB_TEST_POSTGRES_URL=$("$PYTHON" -m tests.support.postgres start "$SERVICES/postgres"); then
      export SPARKWEB_TEST_POSTGRES_URL
    else
      unset SPARKWEB_TEST_POSTGRES_URL
    fi
  fi
}

services_stop() {
  local status=$? service
  trap '' INT TERM HUP
  for service in "${OWN_SERVICES[@]}"; do
    "$PYTHON" -m "tests.support.$service" stop "$SERVICES/$service" >/dev/null 2>&1 || true
  done
  if [ -n "$SERVICES" ]; then rm -rf --one-file-system "$SERVICES"; fi
  exit "$status"
}
