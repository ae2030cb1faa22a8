# shellcheck shell=bash
# Sourced by whoever needs Node's packages: installs them once for all checkouts, outside of them, and links them beside the modules
# that import them, where Node looks for them.

# In: who says so, and the directory of the modules.
install_npm() {
  local who=$1 modules=$2 from cache hash installed
  from=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  cache=${SHOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shop-orders}/npm
  hash=$(cd "$from" && sha256 .npmrc package.json package-lock.json | sha256 | cut -c1-16)
  installed=$cache/$hash
  [[ -e $installed/.whole ]] || install_npm_anew "$who" "$from" "$cache" "$installed" || return 1
  ln -sfn "$installed/node_modules" "$modules/node_modules"
}

install_npm_anew() {
  local who=$1 from=$2 cache=$3 installed=$4 major work
  major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p') || true
  if ((${major:-0} < 20)) || ! command -v npm >/dev/null; then
    echo "$who: needs Node.js 20 or later with npm (Debian: apt-get install nodejs npm)" >&2
    return 1
  fi
  mkdir -p "$cache" && work=$(mktemp -d "$cache/work.XXXXXX") || return 1
  echo "$who: installing Node's packages, about 10 s"
  # Chained, since nothing ends by itself inside a condition.
  if ! (
    cp "$from"/{.npmrc,package.json,package-lock.json} "$work" &&
      cd "$work" &&
      npm ci --ignore-scripts --prefer-offline --loglevel=error &&
      touch .whole
  ) >"$work.log" 2>&1; then
    cat "$work.log" >&2
    rm -rf "$work" "$work.log"
    return 1
  fi
  rm -f "$work.log"
  # Another one may have been faster, and be in use.
  [[ -e $installed ]] || mv "$work" "$installed"
  rm -rf "$work"
}

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
