#!/bin/sh
# Installs Debian's Chromium and Node.js when they are missing and we may; otherwise leaves it to the tests to say so.
set -u

wanted=
command -v chromium >/dev/null 2>&1 || [ -n "${CHROMIUM:-}" ] || wanted="$wanted chromium"
command -v node >/dev/null 2>&1 || wanted="$wanted nodejs"
[ -n "$wanted" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "Not installed, and not to be had by apt-get here:$wanted"
  exit 0
fi
if [ "$(id -u)" = 0 ]; then
  as_root=
elif sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "Not installed, and only root may: apt-get install$wanted"
  exit 0
fi

echo "Installing$wanted"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $wanted >/dev/null ||
  echo "apt-get could not install$wanted"
exit 0
