#!/usr/bin/env bash
# Installs what a goal of the Makefile needs and the machine lacks, from Debian's own packages, saying what and why.
#   install.sh run|test|bench|sanitize|fuzz|ci|package
# Installs as root; otherwise prints the command to type and ends with exit code 1. Nothing missing: says nothing.
set -u
goal=${1:?usage: install.sh run|test|bench|sanitize|fuzz|ci|package}

# "package[ or package…]  why". The first one is installed when none of them is there.
run_needs='
libc6-dev             the C library to compile against
meson                 describes the build
ninja-build           runs the build
pkg-config|pkgconf    finds the libraries
libluajit2-5.1-dev|libluajit-5.1-dev  LuaJIT, which runs the handlers
liburing-dev          io_uring, which moves the bytes
lua-cjson-dev         JSON for Lua
zlib1g-dev            compressed bodies
libbrotli-dev         files in the coding br
libzstd-dev           files in the coding zstd
libc-ares-dev         names of servers, without blocking
libpcre2-dev          patterns for scripts
libssl-dev            digests and encryption for scripts'
test_needs='
luajit2|luajit        runs the specs
lua-busted            the test framework
lua-socket            raw clients for the wire specs
lua-posix             processes and signals for the specs
lua-filesystem        folders for the specs
lua-cjson             JSON for the specs
curl                  a client of files, for the specs
wget                  another
strace                calls of a worker, for the specs'
# Left out where it cannot be had: its spec is pending then.
browser='
chromium-headless-shell|chromium  a browser, for the specs'
# The same: servers behind the gateway, for the specs of proxying.
origins='
nginx-light|nginx     a server behind the gateway, for the specs
haproxy               another
nodejs                another, with WebSockets and server-sent events
node-ws               WebSockets for that'
bench_needs='
wrk                   the load generator'
# Installed one by one; what cannot be had is left out, and bench/run says so.
peers='
nginx-light|nginx     a peer to measure against
libnginx-mod-http-lua a peer to measure against: Lua inside nginx
haproxy               a peer to measure against
h2o                   a peer to measure against, with mruby
valgrind              counts instructions'
package_needs='
debhelper             makes Debian packages
dpkg-dev              builds them
fakeroot              files of root, in a package that a user builds'
clang_needs='
clang                 the second compiler
libclang-rt-dev|libclang-rt-14-dev|libclang-rt-16-dev|libclang-rt-19-dev  its sanitizers and fuzzer'

compiler=${CC:-gcc}
case "$compiler" in *clang*) compiler_needs='
clang                 the compiler that CC names' ;; *) compiler_needs='
gcc                   the compiler' ;; esac

case "$goal" in
run) needs=$run_needs$compiler_needs ;;
test | sanitize) needs=$run_needs$compiler_needs$test_needs$browser$origins ;;
bench) needs=$run_needs$compiler_needs$test_needs$bench_needs$peers ;;
package) needs=$run_needs$compiler_needs$package_needs ;;
fuzz) needs=$run_needs$clang_needs ;;
ci) needs=$run_needs$compiler_needs$test_needs$browser$origins$clang_needs ;;
*) echo "install.sh: no such goal: $goal" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system: what is needed cannot be looked up here. Going on; the build will name what it misses." >&2
    exit 0
fi

installed=" $(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p' | tr '\n' ' ')"
has() { case "$installed" in *" $1 "*) return 0 ;; *) return 1 ;; esac }

# The first of some alternatives that can be had, or nothing when one of them is installed. LuaJIT's two flavours exclude each other:
# the program follows the library, and what is already there stays.
choose() {
    local one list=${1//|/ }
    for one in $list; do has "$one" && return; done
    case "$1" in
    luajit*) if has libluajit-5.1-dev || has libluajit-5.1-2; then list="luajit luajit2"; fi ;;
    libluajit*) if has luajit; then list="libluajit-5.1-dev libluajit2-5.1-dev"; fi ;;
    libclang-rt-dev*) list=$(clang_runtime) ;;
    esac
    for one in $list; do
        apt-cache show --no-all-versions "$one" >/dev/null 2>&1 && echo "$one" && return
    done
    echo "${list%% *}"
}

# The sanitizers' package carries the number of the clang that Debian installs.
clang_runtime() {
    local version
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
    echo "libclang-rt-${version:-14}-dev"
}

find_missing() {
    missing='' reasons=''
    local alternatives why package
    while read -r alternatives why; do
        [ -n "$alternatives" ] || continue
        package=$(choose "$alternatives")
        [ -n "$package" ] || continue
        missing="$missing $package"
        reasons="$reasons$(printf '  %-24s %s' "$package" "$why")"$'\n'
    done <<<"$needs"
}

# Daemons among the peers must not start serving just because a bench wants them installed.
forbid_services() {
    [ -e /usr/sbin/policy-rc.d ] && return
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# What is installed already is never removed to make room.
# shellcheck disable=SC2086  # a list of packages
install() { apt install -y --no-install-recommends --no-remove $1 >"$log" 2>&1; }

is_optional() { case "$peers$browser$origins" in *"$1"*) return 0 ;; *) return 1 ;; esac }

# Package lists may be absent or old: they are fetched when there are none, and once more when an installation fails.
install_missing() {
    local package required='' optional=''
    if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then apt update >"$log" 2>&1; find_missing; fi
    for package in $missing; do
        if is_optional "$package"; then optional="$optional $package"; else required="$required $package"; fi
    done
    if [ -n "$required" ] && ! install "$required"; then
        echo "The installation failed; fetching the package lists anew and trying once more." >&2
        apt update >"$log" 2>&1
        if ! install "$required"; then
            tail -n 30 "$log" >&2
            echo "apt-get could not install:$required" >&2
            return 1
        fi
    fi
    for package in $optional; do install "$package" || echo "$package cannot be installed here: left out" >&2; done
}

find_missing
[ -n "$missing" ] || exit 0
echo "make $goal needs packages that are not installed:"
printf '%s' "$reasons"
if [ "$(id -u)" -ne 0 ]; then
    {
        echo "Installing them takes root. Type this, then the same make again:"
        if [ "$goal" = bench ]; then
            echo "  sudo $0 bench"
        else
            echo "  sudo apt-get update && sudo apt-get install --no-install-recommends$missing"
        fi
    } >&2
    exit 1
fi
echo "Installing them with apt-get; this can take some minutes."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
case "$goal" in bench | test | sanitize | ci) forbid_services ;; esac
install_missing || exit 1
