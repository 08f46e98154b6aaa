#!/usr/bin/env bash
# Builds for aarch64 and runs the unit specs of the parsers and the router in an emulator (qemu-user), then the gateway itself. Needs
# gcc-aarch64-linux-gnu, qemu-user-static, meson and the Debian mirror of this machine: the libraries are unpacked, nothing is installed.
#   t/support/aarch64.sh [FOLDER]      keeps libraries and build there
set -eu
cd "$(dirname "$0")/../.."
work=$(realpath -m "${1:-$(mktemp -d)}")
there=$work/system
lib=$there/usr/lib/aarch64-linux-gnu

# Packages of the other architecture, with lists of their own.
foreign_apt() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$work/apt" -o Dir::Cache="$work/cache" \
        -o Dir::State::status=/dev/null -o APT::Sandbox::User=root "$@" >>"$work/log" 2>&1
}

if [ ! -d "$lib" ]; then
    mkdir -p "$work/apt/lists/partial" "$work/cache/archives/partial" "$work/debs" "$there"
    foreign_apt update
    (cd "$work/debs" && foreign_apt download libc6 libgcc-s1 libcrypt1 liburing2 liburing-dev zlib1g zlib1g-dev libbrotli1 libbrotli-dev \
        libzstd1 libzstd-dev libc-ares2 libc-ares-dev libpcre2-8-0 libpcre2-dev libssl3 libssl-dev libluajit2-5.1-2 libluajit2-5.1-dev luajit2 lua-cjson lua-cjson-dev \
        lua-filesystem \
        lua-posix lua-socket lua-system lua-term lua-busted lua-say lua-luassert lua-mediator lua-cliargs lua-penlight)
    for package in "$work"/debs/*.deb; do dpkg -x "$package" "$there"; done
fi

cat >"$work/cross.ini" <<EOF
[binaries]
c = 'aarch64-linux-gnu-gcc'
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
[built-in options]
c_args = ['-isystem', '$there/usr/include', '-isystem', '$there/usr/include/aarch64-linux-gnu']
c_link_args = ['-L$lib', '-Wl,-rpath-link,$lib', '-Wl,-rpath-link,$there/lib/aarch64-linux-gnu']
[properties]
sys_root = '$there'
pkg_config_libdir = '$lib/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
EOF

[ -d "$work/build" ] || meson setup "$work/build" . --cross-file "$work/cross.ini" \
    >"$work/log" || { tail -n 20 "$work/log"; exit 1; }
ninja -C "$work/build" moongate libmoongate-test.so >"$work/log" || { tail -n 40 "$work/log"; exit 1; }

emulated() {
    LUA_PATH="$there/usr/share/lua/5.1/?.lua;$there/usr/share/lua/5.1/?/init.lua;;" LUA_CPATH="$lib/lua/5.1/?.so" \
        timeout 400 qemu-aarch64-static -L "$there" "$@"
}

failed=0
for spec in t/base/*_spec.lua t/http/*_spec.lua t/route/*_spec.lua t/file/mime_spec.lua t/proxy/address_spec.lua; do
    last=$(MG_BUILD=$work/build emulated "$there/usr/bin/luajit" t/support/spec.lua "$spec" 2>&1 | grep successes || true)
    printf '%-32s %s\n' "$spec" "${last:-did not come to its end}"
    case $last in *" / 0 failures / 0 errors"*) ;; *) failed=1 ;; esac
done

MOONGATE_RUNTIME_DIR=$work/run qemu-aarch64-static -L "$there" "$work/build/moongate" run conf/examples/hello.lua --workers 1 --listen "unix:$work/gate.sock" 2>"$work/said" &
gate=$!
for _ in $(seq 100); do grep -q serves "$work/said" && break; sleep 0.2; done
curl -s -m 10 --unix-socket "$work/gate.sock" http://hello/ | grep -q . && echo "the gateway answers" || { cat "$work/said"; failed=1; }
kill "$gate"
wait "$gate" || failed=1
exit "$failed"
