#!/usr/bin/env bash
# Autodial24: try it, test it, or install it on a PBX. Debian 12 and later, Ubuntu 22.04 and later.
#
#   ./install.sh demo                  set up, then watch the dialler do its whole job
#   ./install.sh test                  set up, then run every check and every test
#   ./install.sh setup                 set up for both only
#   ./install.sh production            install on this PBX, or upgrade; asks nothing
#   ./install.sh production --dry-run  show every change of a file, make none
#   ./install.sh uninstall [--purge]   take it away again; --purge: settings and data, too; --dry-run
#
# Idempotent: what is there is kept. For the demo and the tests, Asterisk: the distribution's,
# if it has one; otherwise a root file system of its own, in a cache outside this checkout.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${AUTODIAL24_CACHE:-/var/cache/autodial24}
venv=$cache/venv-$(printf %s "$here" | cksum | cut -d' ' -f1)
export AUTODIAL24_CACHE=$cache
export DEBIAN_FRONTEND=noninteractive
# After "su" without a dash root lacks these, and Asterisk's command is there.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

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
        # A package that was removed is still known, by its settings.
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    step "Installing Debian packages: ${missing[*]}"
    apt-get update -q >"$cache/apt.log" 2>&1 ||
        fail "apt-get update failed (no network?); see $cache/apt.log"
    apt-get install -y -q --no-install-recommends "${missing[@]}" >>"$cache/apt.log" 2>&1 ||
        fail "apt-get could not install ${missing[*]}; see $cache/apt.log"
}

# PostgreSQL's programs, for clusters that the tests start; none that runs by itself.
database_server() {
    local none=/etc/postgresql-common/createcluster.d/autodial24.conf
    ! compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || return 0
    mkdir -p "${none%/*}"
    echo "create_main_cluster = false" >"$none"
    debian_packages postgresql
    rm -f "$none"
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

# The first Python that is there, 3.11 or later: $interpreter. Not to be called in $(...).
need_python() {
    for interpreter in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$interpreter" >/dev/null &&
            "$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            return
        fi
    done
    command -v python3 >/dev/null || fail "Python 3.11 or later is needed: apt-get install python3"
    fail "Python 3.11 or later is needed, and this is $(python3 --version):" \
        "apt-get install python3.11 python3.11-venv (Ubuntu 22.04 has them in universe)"
}

python_packages() {
    local wanted=$here/requirements-dev.txt
    need_python
    if ! cmp -s <(cat "$here"/requirements*.txt "$here/pyproject.toml") "$venv/.made-for"; then
        step "Installing Python packages into $venv"
        rm -rf "$venv"
        "$interpreter" -m venv "$venv" || fail "$interpreter -m venv failed: is $interpreter-venv installed?"
        "$venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >"$cache/pip.log" 2>&1 ||
            fail "pip could not install the packages (no network?); see $cache/pip.log"
        "$venv/bin/pip" install -q --disable-pip-version-check --no-deps -e "$here" >>"$cache/pip.log" 2>&1 ||
            fail "the project could not be installed; see $cache/pip.log"
        cat "$here"/requirements*.txt "$here/pyproject.toml" >"$venv/.made-for"
    fi
}

setup() {
    need_debian
    need_disk
    debian_packages python3 python3-venv shellcheck procps
    # Ubuntu 22.04's own is 3.10.
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        debian_packages python3.11 python3.11-venv
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

# --- A PBX ---------------------------------------------------------------------------------

# Another root directory than / is for the tests.
root=${AUTODIAL24_ROOT:-}
opt=$root/opt/autodial24
data=$root/var/lib/autodial24
program=$root/usr/local/bin/autodial

files() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here "$interpreter" -P -m deploy.production "$@" --root "$root/"
}

# A virtual environment for each release: the one in use and the one before it are kept.
release_of_program() {
    find "$here/autodial" "$here/bitrix24" "$here/call_files" "$here/dialplan" "$here/demo" \
        "$here/fastagi_server" "$here/requirements.txt" "$here/requirements-postgresql.txt" \
        "$here/pyproject.toml" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 cat | cksum | cut -d' ' -f1
}

# The driver of a store that several diallers share, once the settings name one.
database_driver() {
    local venv=$1
    [ ! -e "$venv/.postgresql" ] || return 0
    [ "${AUTODIAL24_POSTGRESQL:-no}" = yes ] ||
        grep -qs '^[[:space:]]*url[[:space:]]*=[[:space:]]*["'"']postgresql" "$root/etc/autodial24/autodial.toml" ||
        return 0
    step "PostgreSQL's driver"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements-postgresql.txt" \
        >>"$opt/pip.log" 2>&1 || fail "pip could not install the driver (no network?); see $opt/pip.log"
    touch "$venv/.postgresql"
}

build_program() {
    local venv=$1 copy
    [ ! -e "$venv/.complete" ] || return 0
    "$interpreter" -c 'import ensurepip' 2>/dev/null || debian_packages "$interpreter-venv"
    step "The program: $venv"
    rm -rf "$venv"
    mkdir -p "$opt"
    "$interpreter" -m venv "$venv" || fail "$interpreter -m venv failed: install $interpreter-venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" \
        >"$opt/pip.log" 2>&1 || fail "pip could not install the packages (no network?); see $opt/pip.log"
    # From a copy: what an earlier build left in the checkout does not come along.
    copy=$(mktemp -d)
    cp -r "$here/autodial" "$here/bitrix24" "$here/call_files" "$here/dialplan" "$here/demo" \
        "$here/fastagi_server" "$here/requirements.txt" "$here/requirements-postgresql.txt" \
        "$here/pyproject.toml" "$here/README.md" "$here/LICENSE" "$copy"
    "$venv/bin/pip" install -q --disable-pip-version-check --no-deps "$copy" >>"$opt/pip.log" 2>&1 ||
        fail "the program could not be installed; see $opt/pip.log"
    rm -rf "$copy"
    "$venv/bin/autodial" --version || fail "the program does not start"
    touch "$venv/.complete"
}

has_systemd() {
    [ -d "$root/run/systemd/system" ]
}

systemd() {
    has_systemd || return 0
    systemctl "$@"
}

running() {
    has_systemd && systemctl is-active -q autodial24.service
}

# Does the dialler answer? It has half a minute to migrate its store and to start.
comes_up() {
    local address second
    address=$(files address) || return 1
    for second in $(seq 30); do
        "$opt/venv/bin/python" -m fastagi_server "agi://$address/ping" >/dev/null 2>&1 && return
        sleep 1
    done
    printf '   no answer at %s after %s s\n' "$address" "$second"
    return 1
}

# What an earlier guide had made by hand becomes the release before.
venv_of_before() {
    if [ -d "$opt/venv" ] && [ ! -L "$opt/venv" ]; then
        mv "$opt/venv" "$opt/venv-by-hand"
        ln -s venv-by-hand "$opt/venv"
    fi
    readlink "$opt/venv" || true
}

production() {
    local dry=no
    case "$*" in
    "") ;;
    --dry-run) dry=yes ;;
    *) fail "usage: ./install.sh production [--dry-run]" ;;
    esac
    if [ $dry = yes ]; then
        files install --dry-run
        printf 'The program in %s, linked as %s: would be ' "$opt" "$program"
        if [ "$(readlink "$opt/venv" || true)" = "venv-$(release_of_program)" ]; then
            printf 'left as it is.\n'
        else
            printf 'installed.\n'
        fi
        return
    fi
    umask 022 # the service's user must be able to read the program
    need_debian
    files user >/dev/null || fail "this PBX cannot be used as it is"
    mkdir -p "$cache"
    local venv old kept=$opt/before-upgrade.json needed=no
    venv=$opt/venv-$(release_of_program)
    build_program "$venv"
    database_driver "$venv"
    old=$(venv_of_before)
    ! files needed || needed=yes
    [ "$old" = "$(basename "$venv")" ] || needed=yes
    step "Files"
    files install --keep "$kept" || fail "nothing was changed"
    ln -sfn "$(basename "$venv")" "$opt/venv"
    ln -sfn "$opt/venv/bin/autodial" "$program"
    if [ $needed = yes ] && has_systemd; then
        systemctl daemon-reload || fail "systemd does not read the units: systemctl daemon-reload"
        systemctl enable -q autodial24.socket autodial24.service
        if running; then
            step "The dialler is restarted; calls that ask meanwhile wait at its port"
            systemctl restart autodial24.service || true # whether it came up is asked next
            comes_up || back "$old" "$kept"
        fi
        systemctl try-restart autodial24-board.service || true
    fi
    rm -f "$kept"
    find "$opt" -maxdepth 1 -name 'venv-*' ! -name "$(basename "$venv")" ! -name "${old:-none}" \
        -exec rm -rf {} +
    if grep -q 'put-the-secret-here' "$root/etc/autodial24/autodial.toml"; then
        step "Installed. Nothing runs yet, and nobody is dialled. Next: autodial init"
    else
        step "Checking: autodial doctor"
        "$program" doctor || true
        case $needed in
        no) step "Everything was in place" ;;
        *) step "Installed. What doctor names above is left to do" ;;
        esac
        old=$(files holder)
        if [ $needed = yes ] && [ -n "$old" ] && ! running; then
            printf '   The dialler (%s) still runs the release before: restart it.\n' "$old"
        fi
    fi
}

# An upgrade that does not come up: the program, all files and the store as they were.
back() {
    local old=$1 kept=$2 store copy
    step "The new release does not come up; the one before is put back"
    [ -n "$old" ] || fail "there is none before it: see 'journalctl -u autodial24'"
    systemctl stop autodial24.socket autodial24.service || true
    ln -sfn "$old" "$opt/venv"
    files restore --keep "$kept" || true # it names what it could not put back
    systemctl daemon-reload || true
    # A new release copies an older store before it changes it. The old program cannot read the new one.
    store=$(files store)
    copy=$(find "$(dirname "$store")" -maxdepth 1 -name "$(basename "$store").before-*" \
        -newer "$kept" 2>/dev/null | head -n 1)
    if [ -n "$copy" ]; then
        "$program" restore "$copy" ||
            fail "the store could not be put back: autodial restore $copy, then systemctl start autodial24"
    fi
    systemctl reset-failed autodial24.service autodial24.socket || true
    if systemctl start autodial24.socket && systemctl start autodial24.service && comes_up; then
        fail "upgrade undone; 'journalctl -u autodial24' says why the new release did not start"
    fi
    fail "the release before does not start either: see 'journalctl -u autodial24'"
}

uninstall() {
    local dry=no purge=no word
    for word in "$@"; do
        case $word in
        --dry-run) dry=yes ;;
        --purge) purge=yes ;;
        *) fail "usage: ./install.sh uninstall [--purge] [--dry-run]" ;;
        esac
    done
    if [ $dry = yes ]; then
        files uninstall "$@"
        printf 'The program in %s and %s would be removed%s.\n' "$opt" "$program" \
            "$([ $purge = no ] || printf ', and %s with the store' "$data")"
        return
    fi
    systemd disable -q --now autodial24.service autodial24.socket autodial24-board.service || true
    local holder
    holder=$(files holder)
    [ -z "$holder" ] || fail "the dialler still runs ($holder): stop it first"
    step "Files"
    files uninstall "$@" || fail "some files are still there"
    systemd daemon-reload || true
    rm -rf "$opt/venv" "$opt"/venv-* "$opt/before-upgrade.json" "$opt/pip.log" \
        "$cache/apt.log"
    rm -f "$program"
    rmdir --ignore-fail-on-non-empty "$opt" "$cache" 2>/dev/null || true
    if [ $purge = yes ]; then
        rm -rf "$data" "$root/etc/autodial24"
        step "Everything of ours is gone. In the portal remain the webhook and the external lines."
        printf '   Until its next restart Asterisk keeps the values of our globals in its memory.\n'
    else
        step "Removed. Kept: /etc/autodial24, $data, /etc/asterisk/autodial-globals.conf (--purge)"
    fi
}

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$here/install.sh"
}

main() {
    case ${1:-} in
    demo | test | setup) ;;
    production | uninstall)
        [ -n "$root" ] || need_root "$@"
        need_python
        "$@"
        return
        ;;
    "" | -h | --help)
        usage
        return
        ;;
    *) fail "usage: ./install.sh demo | test | setup | production | uninstall" ;;
    esac
    need_root "$@"
    setup
    # The highlight on the portal is tried in a real browser (libatomic1 is for what drives it), its
    # module in a real PHP, the manual page with groff.
    [ "$1" != test ] || debian_packages chromium fonts-dejavu-core groff-base libatomic1 php-cli
    [ "$1" != test ] || database_server
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
