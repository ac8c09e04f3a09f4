#!/bin/sh
# Install a system package that the project needs, as root on Debian and Ubuntu; elsewhere print what is missing.
set -eu
package=$1

runs() { # Ubuntu's chromium is a stub that requires snap
    for name in "$@"; do "$name" --version >/dev/null 2>&1 && return; done
    return 1
}

playwrights() {
    .venv/bin/python -c 'from playwright.sync_api import sync_playwright as p
with p() as p: open(p.chromium.executable_path)' 2>/dev/null
}

present() {
    case $package in
    python3-venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ;;
    chromium) runs chromium chromium-browser google-chrome || playwrights ;;
    *) command -v "$package" >/dev/null ;;
    esac
}

present && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing $package …" >&2
    if [ "$package" = chromium ] && grep -q '^ID=ubuntu' /etc/os-release; then
        .venv/bin/playwright install --with-deps chromium >/dev/null || true
    else
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    fi
fi
present && exit 0
echo "Missing: $package. Install it, for example: sudo apt-get install $package" >&2
[ "$package" != chromium ] || echo "If that does not provide one that runs: .venv/bin/playwright install --with-deps chromium" >&2
exit 1
