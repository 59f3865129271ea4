#!/usr/bin/env bash
# Autodial24: set everything up on a fresh Debian 12 (or later) and run the demo or the tests.
#
#   ./install.sh demo    set up, then watch the dialler do its whole job
#   ./install.sh test    set up, then run every check and every test
#   ./install.sh setup   set up only
#
# Idempotent: what is there is kept. Asterisk: the distribution's, if it has one;
# otherwise a root file system of its own, in a cache outside this checkout.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${AUTODIAL24_CACHE:-/var/cache/autodial24}
venv=$cache/venv-$(printf %s "$here" | cksum | cut -d' ' -f1)
export AUTODIAL24_CACHE=$cache
export DEBIAN_FRONTEND=noninteractive

# The suites of Debian that carry Asterisk 22, best first.
suites="sid forky"
packages="asterisk,asterisk-core-sounds-en-gsm,asterisk-core-sounds-ru-gsm"

step() { printf '\n== %s\n' "$*"; }
fail() {
    printf '\ninstall.sh: %s\n' "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || fail "run me as root, or install sudo: the exchange runs under a user of its own"
    step "Asking sudo for root"
    exec sudo AUTODIAL24_CACHE="$cache" "$here/install.sh" "$@"
}

need_debian() {
    command -v apt-get >/dev/null || fail "this script knows Debian's package tools only (apt-get was not found)"
}

need_disk() {
    mkdir -p "$cache" || fail "cannot make $cache: set AUTODIAL24_CACHE to a directory that can be written"
    local free
    free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge 1500 ] || fail "$cache has $free MB free and 1500 are needed: make room, or set AUTODIAL24_CACHE"
}

debian_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    step "Installing Debian packages: ${missing[*]}"
    apt-get update -q >"$cache/apt.log" 2>&1 ||
        fail "apt-get update failed (no network?); see $cache/apt.log"
    apt-get install -y -q --no-install-recommends "${missing[@]}" >>"$cache/apt.log" 2>&1 ||
        fail "apt-get could not install ${missing[*]}; see $cache/apt.log"
}

# Where this machine fetches Debian's packages from; known once the lists were fetched.
mirrors() {
    # shellcheck disable=SC2016  # apt's own syntax
    apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -E '/debian/?$' || true
}

mirror() {
    local found
    if [ -z "$(mirrors)" ]; then
        apt-get update -q >"$cache/apt.log" 2>&1 ||
            fail "apt-get update failed (no network?); see $cache/apt.log"
    fi
    found=$(mirrors | head -n 1)
    [ -n "$found" ] || fail "no Debian mirror is configured for apt; add one and run 'apt-get update'"
    printf %s "$found"
}

asterisk() {
    if [ -x /usr/sbin/asterisk ]; then
        step "Asterisk: this machine's own, $(/usr/sbin/asterisk -V)"
        return
    fi
    local root=$cache/rootfs suite
    if [ -e "$root/.complete" ]; then
        step "Asterisk: $(chroot "$root" /usr/sbin/asterisk -V) in $root"
        return
    fi
    debian_packages debootstrap
    local from
    from=$(mirror)
    for suite in $suites; do
        step "Asterisk: this distribution has none; making a root file system of Debian $suite (about two minutes)"
        rm -rf "$root.new"
        if debootstrap --variant=minbase --include="$packages" "$suite" "$root.new" "$from" \
            /usr/share/debootstrap/scripts/sid >"$cache/debootstrap.log" 2>&1; then
            # Stock sounds are found by the channel's language: "ru".
            [ -e "$root.new/usr/share/asterisk/sounds/ru" ] ||
                ln -s ru_RU_f_IvrvoiceRU "$root.new/usr/share/asterisk/sounds/ru"
            rm -rf "$root" "$root.new/var/cache/apt/archives"/*.deb
            touch "$root.new/.complete"
            mv "$root.new" "$root"
            printf '   %s\n' "$(chroot "$root" /usr/sbin/asterisk -V)"
            return
        fi
        printf '   that did not work; see %s\n' "$cache/debootstrap.log"
    done
    rm -rf "$root.new"
    fail "no Asterisk could be had: no network, or the mirror lacks $suites; see $cache/debootstrap.log"
}

python_packages() {
    local wanted=$here/requirements-dev.txt
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or later is needed; this is $(python3 --version)"
    if ! cmp -s <(cat "$here/requirements.txt" "$wanted" "$here/pyproject.toml") "$venv/.made-for"; then
        step "Installing Python packages into $venv"
        rm -rf "$venv"
        python3 -m venv "$venv" || fail "python3 -m venv failed: is python3-venv installed?"
        "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >"$cache/pip.log" 2>&1 ||
            fail "pip could not install the packages (no network?); see $cache/pip.log"
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -e "$here" >>"$cache/pip.log" 2>&1 ||
            fail "the project could not be installed; see $cache/pip.log"
        cat "$here/requirements.txt" "$wanted" "$here/pyproject.toml" >"$venv/.made-for"
    fi
}

setup() {
    need_debian
    need_disk
    debian_packages python3 python3-venv shellcheck procps
    asterisk
    python_packages
}

checks() {
    cd "$here"
    step "ruff"
    "$venv/bin/ruff" check .
    "$venv/bin/ruff" format --check .
    step "mypy"
    "$venv/bin/mypy"
    step "PHP"
    find bitrix24_ui -name '*.php' -print0 | xargs -0 -n 1 php -l >"$cache/php.log" ||
        fail "PHP refuses a file; see $cache/php.log"
    step "shellcheck"
    shellcheck install.sh .ci/run
    step "Tests: unit, integration, system (about eight minutes)"
    # A system test mostly waits for phones: more processes than cores.
    AUTODIAL24_SYSTEM=required "$venv/bin/python" -m pytest -n 5 --dist loadfile --no-loadscope-reorder
}

main() {
    case ${1:-} in
    demo | test | setup) ;;
    *) fail "usage: ./install.sh demo | test | setup" ;;
    esac
    need_root "$@"
    setup
    # The highlight on the portal is tried in a real browser, its module in a real PHP.
    [ "$1" != test ] || debian_packages chromium fonts-dejavu-core php-cli
    case $1 in
    demo)
        step "Demo"
        shift
        exec "$venv/bin/autodial" demo "$@"
        ;;
    test) checks ;;
    setup) step "Ready: $venv/bin/autodial --help" ;;
    esac
}

main "$@"
