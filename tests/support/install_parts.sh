#!/bin/sh
# Installs Debian's Chromium, Firefox, WebKitGTK, Node.js, PHP, nginx, Redis, zsh, fish, mmdebstrap and Go (with its App Engine
# library) when they are missing and we may, and what the tests take from npm into the folder $1; otherwise leaves it to
# the tests to say so.
# Whoever is not root and sits at a terminal is asked before the system gets anything.
set -u

wanted=
command -v chromium >/dev/null 2>&1 || [ -n "${CHROMIUM:-}" ] || wanted="$wanted chromium"
# Debian alone has it; elsewhere the tests take all of Chromium.
command -v chromium-headless-shell >/dev/null 2>&1 || [ -n "${CHROMIUM:-}" ] || ! grep -qs '^ID=debian' /etc/os-release ||
  wanted="$wanted chromium-headless-shell"
command -v firefox-esr >/dev/null 2>&1 || command -v firefox >/dev/null 2>&1 || wanted="$wanted firefox-esr"
command -v node >/dev/null 2>&1 || wanted="$wanted nodejs npm"
command -v WebKitWebDriver >/dev/null 2>&1 || wanted="$wanted webkit2gtk-driver"
command -v Xvfb >/dev/null 2>&1 || wanted="$wanted xvfb"
command -v php >/dev/null 2>&1 || wanted="$wanted php-cli"
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx"
command -v redis-server >/dev/null 2>&1 || wanted="$wanted redis-server"
command -v curl >/dev/null 2>&1 || wanted="$wanted curl"
command -v zsh >/dev/null 2>&1 || wanted="$wanted zsh"
command -v fish >/dev/null 2>&1 || wanted="$wanted fish"
command -v go >/dev/null 2>&1 || wanted="$wanted golang-go"
# For tests/container, which root alone can run, and a Debian's apt.
if [ "$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then
  command -v mmdebstrap >/dev/null 2>&1 || wanted="$wanted mmdebstrap"
  command -v setpriv >/dev/null 2>&1 || wanted="$wanted util-linux"
  command -v ip >/dev/null 2>&1 || wanted="$wanted iproute2"
fi
[ -d /usr/share/gocode/src/google.golang.org/appengine ] || wanted="$wanted golang-google-appengine-dev"

install_npm_packages() {
  here=$(dirname "$0")/../js
  cmp -s "$here/package.json" "$1/package.json" && [ -d "$1/node_modules" ] && return
  command -v npm >/dev/null 2>&1 || { echo 'No npm here: the tests that need its packages will say so'; return; }
  echo 'Installing npm packages for the tests'
  mkdir -p "$1" && cp "$here/package.json" "$1/" &&
    (cd "$1" && npm install --no-audit --no-fund --no-package-lock --silent) || rm -f "$1/package.json"
}

install_debian_packages() {
  [ -n "$wanted" ] || return
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, and not to be had by apt-get here:$wanted"
    return
  fi
  if [ "$(id -u)" = 0 ]; then
    as_root=
  elif [ -t 0 ] && command -v sudo >/dev/null 2>&1; then
    printf 'Some tests need these packages of the system:%s\nInstall them with sudo apt-get? [y/N] ' "$wanted"
    read -r answer
    case $answer in
      [Yy]*) as_root=sudo ;;
      *) echo 'Not installed: the tests that need them will say so'; return ;;
    esac
  elif sudo -n true 2>/dev/null; then
    as_root='sudo -n'
  else
    echo "Not installed, and only root may: apt-get install$wanted"
    return
  fi

  echo "Installing with apt-get:$wanted"
  export DEBIAN_FRONTEND=noninteractive
  $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $wanted >/dev/null ||
    echo "apt-get could not install$wanted"
}

install_debian_packages
install_npm_packages "$1"
exit 0
