#!/usr/bin/env bash
# The Debian package from end to end: built from what is committed, judged by lintian, installed into a system of its own, run there by its
# own user, and purged without a trace. Needs root, debootstrap and lintian; takes some minutes and the Debian mirror of this machine.
#   t/support/package.sh [SYSTEM]      a folder that debootstrap has made before
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
system=${1:-$work/system}
trap 'umount "$system/proc" 2>/dev/null || true; rm -rf "$work"' EXIT

in_system() { chroot "$system" "$@"; }
check() { echo "== $1"; shift; "$@" || { echo "FAIL"; exit 1; }; }

mkdir "$work/moongate"
git archive HEAD | tar -x -C "$work/moongate"
echo "== build"
(cd "$work/moongate" && dpkg-buildpackage -us -uc >"$work/log" 2>&1) || { tail -n 40 "$work/log"; exit 1; }
check "lintian" lintian --fail-on error,warning "$work"/moongate_*.changes

if [ ! -d "$system/usr" ]; then
    echo "== a system"
    debootstrap --variant=minbase --include=systemd,adduser,logrotate bookworm "$system" >"$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
fi
printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d" # nothing starts by itself in there
chmod 755 "$system/usr/sbin/policy-rc.d"
mountpoint -q "$system/proc" || mount -t proc proc "$system/proc"
cp "$work"/moongate_*_*.deb "$system/tmp/"

check "install" in_system sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /tmp/moongate_*.deb >/tmp/log 2>&1'
check "its user" in_system getent passwd moongate
check "its units" in_system systemd-analyze verify moongate.service moongate.socket
check "its log rotation" in_system sh -c 'logrotate -d /etc/logrotate.d/moongate >/tmp/log 2>&1'
check "serves, reloads and stops as its user" in_system sh -c '
    install -d -m 700 -o moongate -g moongate /run/moongate
    export MOONGATE_RUNTIME_DIR=/run/moongate
    as() { setpriv --reuid=moongate --regid=moongate --clear-groups "$@"; }
    as moongate run --listen 127.0.0.1:0 2>/tmp/log &
    for i in $(seq 100); do grep -q serves /tmp/log && break; sleep 0.1; done
    as moongate status --name moongate && as moongate reload --name moongate && as moongate stop --name moongate && wait'
check "purge" in_system sh -c 'DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq moongate >/tmp/log 2>&1'
check "leaves nothing" in_system sh -c '! ls -d /etc/moongate /var/log/moongate /lib/systemd/system/moongate* /etc/logrotate.d/moongate /usr/share/moongate 2>/dev/null'
echo "== all of it holds"
