#!/bin/sh
# Is a part of the system that the project needs here? Install it as root on Debian and Ubuntu, else say what is missing.
set -eu
package=$1

present() {
    case $package in
    python3-venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ;;
    *) command -v "$package" >/dev/null ;;
    esac
}

present && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing $package …" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
fi
present && exit 0
echo "Missing: $package. Install it, for example: sudo apt-get install $package" >&2
exit 1
