#!/bin/sh
# Installs Debian's Chromium, Firefox and Node.js when they are missing and we may, and what the tests take from npm into
# the cache; otherwise leaves it to the tests to say so.
set -u

here=$(cd "$(dirname "$0")" && pwd)
cache=${CHANNEL_EMU_CACHE:-.cache}

install_from_debian() {
  wanted=
  command -v chromium >/dev/null 2>&1 || [ -n "${CHROMIUM:-}" ] || wanted="$wanted chromium"
  command -v firefox-esr >/dev/null 2>&1 || command -v firefox >/dev/null 2>&1 || [ -n "${FIREFOX:-}" ] ||
    wanted="$wanted firefox-esr"
  command -v node >/dev/null 2>&1 || wanted="$wanted nodejs"
  command -v npm >/dev/null 2>&1 || wanted="$wanted npm"
  [ -n "$wanted" ] || return 0

  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, and not to be had by apt-get here:$wanted"
    return 0
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif sudo -n true 2>/dev/null; then
    as_root='sudo -n'
  else
    echo "Not installed, and only root may: apt-get install$wanted"
    return 0
  fi

  echo "Installing$wanted"
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $wanted >/dev/null ||
    echo "apt-get could not install$wanted"
}

install_from_npm() {
  command -v npm >/dev/null 2>&1 || return 0
  cmp -s "$here/../js/package.json" "$cache/node/installed.json" && return 0
  echo "Installing what the tests take from npm into $cache/node"
  mkdir -p "$cache/node"
  cp "$here/../js/package.json" "$cache/node/package.json"
  if (cd "$cache/node" && npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts); then
    cp "$here/../js/package.json" "$cache/node/installed.json"
  else
    echo "npm could not install it"
  fi
}

install_from_debian
install_from_npm
exit 0
