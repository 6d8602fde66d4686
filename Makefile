# SPDX-License-Identifier: Apache-2.0
#
# The front door: every job is one word. `make help` lists them.

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=

# The program as it is shipped: optimised, with Swift's runtime inside.
RELEASE = -c release --static-swift-stdlib
# Where a target's documentation goes.
DOCS = .build/docs
LIBRARIES = VirtioRing VirtioTesting Linux Backends DiskLayout FuseExport LguestTransport VhostUserTransport VhostUserTesting

.PHONY: help setup build-setup build demo demo-lguest demo-vhost-user test test-unit test-beds \
  test-kernel test-lguest record-lguest record-vhost-user check docs bench fuzz install clean
.DEFAULT_GOAL := build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 17

setup: ## install what building and testing need (Debian packages; as root or with sudo)
	@Scripts/setup.sh test

build-setup:
	@Scripts/setup.sh build

build: build-setup ## the program: .build/release/lgdev
	$(SWIFT) build $(RELEASE) --product lgdev

demo: build ## lgdev runs a guest with all four devices on the lguest module, natively or in QEMU
	@Kernel/tests/setup.sh
	@python3 Kernel/tests/demo.py

demo-lguest: build ## the same guest, and its monitor on this terminal
	@Kernel/tests/setup.sh
	@python3 Kernel/tests/demo.py --monitor

demo-vhost-user: setup build ## real Linux guests use all four devices: User-mode Linux, QEMU
	Tests/Beds/setup.sh .build/beds
	python3 Tests/Beds/demo.py

# Each group runs whatever those before it find.
test: ## all tests: test-unit, test-beds, test-fuse, test-kernel, test-lguest
	@failed=; for group in test-unit test-beds test-fuse test-kernel test-lguest; do $(MAKE) --no-print-directory $$group || failed="$$failed $$group"; done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed"; exit 1; else echo "make test: all groups passed"; fi

test-unit: setup ## unit tests, model tests, proofs, replay of the fuzzers' corpora
	python3 Scripts/test-unit.py

test-beds: setup build ## real front-ends: User-mode Linux, QEMU, DPDK
	python3 Tests/Beds/run.py

test-fuse: setup build ## disks as files: images of the usual tools, a guest that writes meanwhile
	python3 Tests/Beds/run.py fuse fuse-mount fuse-live

test-kernel: ## the lguest module: unit tests, then guests on hosts in QEMU
	@Kernel/tests/setup.sh
	@python3 Kernel/tests/run.py

test-lguest: build ## lgdev runs guests on the lguest module, on hosts in QEMU
	@Kernel/tests/setup.sh
	@python3 Kernel/tests/transport.py

record-lguest: build ## records /dev/lguest anew for the tests that have none: Tests/LguestTransportTests/Recordings
	@Kernel/tests/setup.sh
	@python3 Kernel/tests/recording.py

record-vhost-user: setup build ## records what real front-ends say anew: Tests/VhostUserTransportTests/Recordings
	python3 Tests/Beds/record_orders.py

check: setup ## format, fences, licences, strict memory safety, documentation
	Scripts/check.sh

docs: build-setup ## the libraries' documentation, in .build/docs
	@mkdir -p $(DOCS)
	@for target in $(LIBRARIES); do \
	  echo "docs: $$target"; \
	  $(SWIFT) package --allow-writing-to-directory $(DOCS) generate-documentation --target $$target \
	    --warnings-as-errors --transform-for-static-hosting --hosting-base-path $$target \
	    --output-path $(DOCS)/$$target || exit 1; \
	done

bench: build ## side by side with the peers
	Benchmarks/run.sh

T ?= ring-split
S ?= 60
fuzz: setup ## run a fuzzer: T=ring-split S=60 (seconds)
	Fuzz/run.sh $(T) $(S)

install: build ## PREFIX=/usr/local DESTDIR=
	Scripts/install.sh "$(DESTDIR)" "$(PREFIX)"

clean: ## remove all that was built
	rm -rf .build Benchmarks/.build
