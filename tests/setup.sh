#!/bin/sh
# Installs the programs that the tests run beside Python, where that can be done without asking: apt-get, as root or by a
# sudo that needs no password. Says what is missing otherwise; the tests that need it are then skipped.
# With CC_REQUIRE_REAL=1, as in CI, a program that is missing is an error. Running it twice does nothing.
set -u

required=${CC_REQUIRE_REAL:-}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing() { # the packages of the programs that are not there
    command -v ssh > /dev/null || echo openssh-client
    command -v sshd > /dev/null || echo openssh-server
    command -v ksh > /dev/null || echo ksh
    command -v busybox > /dev/null || echo busybox
    command -v tcsh > /dev/null || echo tcsh
    command -v ip > /dev/null || echo iproute2
    command -v chromium > /dev/null || command -v chromium-browser > /dev/null || echo chromium
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" < /dev/null > "$log" 2>&1
}

# An ssh server that is installed on somebody's own computer also begins to listen there. So it is installed only where
# that was asked for, or by root, who in practice is a container.
wanted() {
    for package in $(missing); do
        if [ "$package" != openssh-server ] || [ "$(id -u)" = 0 ] || [ -n "$required" ]; then
            echo "$package"
        fi
    done
}

if [ -n "$(wanted)" ] && command -v apt-get > /dev/null && as_root true 2> /dev/null < /dev/null; then
    packages=$(wanted | tr '\n' ' ')
    log=$(mktemp)
    echo "installing $packages…"
    # shellcheck disable=SC2086 # one word per package is meant
    if ! install_packages $packages; then
        as_root apt-get update -qq < /dev/null > "$log" 2>&1
        install_packages $packages || cat "$log" >&2
    fi
    rm -f "$log"
fi

if [ -n "$(missing)" ]; then
    echo "missing, so some tests cannot run: $(missing | tr '\n' ' ')(names of Debian packages)" >&2
    [ -z "$required" ] || exit 1
fi
exit 0
