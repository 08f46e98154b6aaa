# The front door: each goal works from nothing. It installs what is missing (t/support/install.sh says what and why), builds, and
# does it. The build itself is Meson's: meson.build. CC=clang, say, chooses the compiler; each has a build folder of its own.

ifneq ($(origin CC),default)
export CC
BUILD ?= build-$(notdir $(firstword $(CC)))
endif
BUILD ?= build
FILE ?= conf/moongate.lua
PREFIX ?= /usr/local
SECONDS = 600
T ?=

.DEFAULT_GOAL := help
.PHONY: help install package run build test check-sanitize fuzz bench clean

help:
	@echo 'make run             serve conf/moongate.lua (FILE=my.lua: another config or app)'
	@echo 'make test            all specs (T=t/http: those of a folder or file)'
	@echo 'make check-sanitize  the specs of the whole program under AddressSanitizer and UBSan'
	@echo 'make fuzz            search for crashes in the parsers for SECONDS=600'
	@echo 'make bench           measure against the floor and the peers (ARGS="--quick": see bench/run --help)'
	@echo 'make build           only build, into build/'
	@echo 'make install         lay it down below PREFIX=/usr/local (DESTDIR=: in a folder, for packages)'
	@echo 'make package         a Debian package, beside this folder'
	@echo 'make clean           remove what was built'

build:
	@t/support/install.sh run
	@t/support/build.sh $(BUILD)

install: build
	@meson configure $(BUILD) --prefix $(PREFIX)
	@meson install -C $(BUILD) --quiet

package:
	@t/support/install.sh package
	@dpkg-buildpackage -b -us -uc
	@ls -l ../moongate_*.deb

run: build
	@exec $(BUILD)/moongate run $(FILE)

test:
	@t/support/install.sh test
	@t/support/build.sh $(BUILD)
	@MG_BUILD=$(BUILD) luajit t/run.lua $(T)

check-sanitize:
	@t/support/install.sh sanitize
	@TARGETS='moongate moongate-fake' t/support/build.sh build-asan -Dsanitize=true
	@MG_BUILD=build-asan luajit t/run.lua $(if $(T),$(T),--suite wire)

fuzz:
	@t/support/install.sh fuzz
	@t/support/fuzz.sh $(SECONDS)

bench:
	@t/support/install.sh bench
	@t/support/build.sh $(BUILD)
	@MG_BUILD=$(BUILD) bench/run $(ARGS)

clean:
	rm -rf build build-asan build-fuzz build-clang build-gcc $(BUILD)
