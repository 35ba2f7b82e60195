# What a developer or an administrator types. Each target says what it needs.
SHELL := /bin/bash
CARGO ?= cargo
# Packages the tests use beyond those of the build.
TEST_PACKAGES := qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-daemon-driver-qemu \
	libvirt-clients genisoimage openssh-server sudo iproute2 nftables iptables ipset iputils-ping \
	busybox-static syslinux syslinux-common mtools dosfstools fdisk cpio kmod zstd xz-utils shellcheck openssl \
	libxml2-utils python3-venv lld novnc spice-html5 node-xterm chromium mariadb-server-core mariadb-client-core postgresql slapd ldap-utils \
	glusterfs-server glusterfs-client
SHELL_SCRIPTS := $(wildcard packaging/up/*.sh packaging/up/test/*.sh packaging/guest/*.sh)
GUEST_SCRIPTS := packaging/guest/rootfs/init packaging/guest/rootfs/sbin/shutdown $(filter-out %/modules %.awk,$(wildcard packaging/guest/rootfs/lib/guest/*))
GUEST_OUT ?= target/guest
# What is run on each database server, too.
BACKEND_TESTS := test_pyone.py test_pyone_vm.py test_pyone_vnet.py test_pyone_quota.py test_restart.py test_done.py test_pyone_search.py
FUZZ_SECONDS ?= 60
# Of make sim.
SIM_SEEDS ?= 10000
SIM_STEPS ?= 3000
# Of make up-test: debian-12 debian-13 ubuntu-24.04; container plain vm.
SYSTEM ?= debian-12
MACHINE ?= container

.PHONY: help up down up-test build test test-packages lint guest guest-test bench lab fuzz sim mutants conformance

help:
	@echo 'sudo make up      set this machine up as a cloud of one host, with a VM that answers'
	@echo 'sudo make down    take all of that away again'
	@echo 'make up-test      both, twice, on a fresh system of its own (as root; SYSTEM, MACHINE: see the script)'
	@echo 'make build        the release binary'
	@echo 'make test         format, lints, all tests, the lab too (as root: installs the packages they need)'
	@echo 'make lint         format and lints only'
	@echo 'make guest        the small guest image, into $(GUEST_OUT)'
	@echo 'make guest-test   boot that image on every kind of disk and machine'
	@echo 'make bench lab fuzz sim mutants conformance'

up:
	@packaging/up/up.sh

down:
	@packaging/up/down.sh

# A machine that lacks what it needs is a skip (77) in the script, which says so loudly.
up-test:
	@packaging/up/test/run.sh $(SYSTEM) $(MACHINE) || { status=$$?; [ $$status -eq 77 ] || exit $$status; }

build:
	$(CARGO) build --release --locked

# Cargo's tests come last, so that its closing lines are the last ones.
test: test-packages lint
	$(CARGO) build --locked --bin plerion
	tests/run.sh -n 3 --dist loadfile
	for backend in postgresql mysql; do TEST_BACKEND=$$backend tests/run.sh -n 3 --dist loadfile $(BACKEND_TESTS) || exit 1; done
	$(MAKE) --no-print-directory lab
	$(CARGO) test --workspace --locked

# The tests start database servers and directories of their own: no cluster is made, and no service has anything to serve.
# Without root the tests that lack a package say that they are skipped.
test-packages:
	@missing=$$(for p in $(TEST_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ $$(id -u) -ne 0 ]; then echo "not installed (run as root to install):" $$missing; exit 0; fi; \
	mkdir -p /etc/postgresql-common; \
	[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	[ -e /etc/ldap/slapd.d ] || echo 'slapd slapd/no_configuration boolean true' | debconf-set-selections; \
	apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $$missing

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v shellcheck >/dev/null; then \
	    shellcheck -x $(SHELL_SCRIPTS) && shellcheck -s dash -e SC1091 $(GUEST_SCRIPTS); \
	else echo 'shellcheck is not installed: shell scripts are not checked'; fi

guest:
	packaging/guest/build.sh $(GUEST_OUT)

guest-test: guest
	packaging/guest/test.sh $(GUEST_OUT)

# The figures of the whole, as a table. The benchmarks of single parts: cargo bench -p plerion-store (…-template, …-api,
# …-scheduler).
bench:
	$(CARGO) build --release --locked --bin plerion --bin plerion-bench
	python3 tests/with_databases.py target/release/plerion-bench $(BENCH_OPTIONS)
	@if [ $$(id -u) -eq 0 ]; then PLERION_BINARY=$(CURDIR)/target/release/plerion lab/run.sh -q -s test_share.py measure_actions.py; \
	else echo 'own share of a boot, actions beside virsh: not measured, it needs root (make lab)'; fi

# Each runner belongs to the part it tests; a target without one says so and fails.
lab:
	@if [ -x lab/run.sh ]; then exec lab/run.sh; else echo 'there is no lab/run.sh'; exit 1; fi

# Needs: rustup toolchain install nightly; cargo install cargo-fuzz
fuzz:
	@set -e; cd fuzz; for target in fuzz_targets/*.rs; do \
	    name=$$(basename $$target .rs); mkdir -p corpus/$$name; \
	    echo "== $$name, $(FUZZ_SECONDS) s"; \
	    $(CARGO) +nightly fuzz run $$name corpus/$$name seeds/$$name -- -max_total_time=$(FUZZ_SECONDS); \
	done

# The long run of the simulator: fails when a row of the life cycle or a fault was met fewer than 100 times.
sim:
	$(CARGO) run --release --locked -p plerion-sim --example sim -- \
	    --seeds $(SIM_SEEDS) --steps $(SIM_STEPS) --coverage-min 100

# Which checks, conditions and values of crates/world no test misses. Needs Python packages: takes them from PyPI. MUTANTS: see tests/mutants/run.py --help
mutants:
	tests/mutants/run.sh $(MUTANTS)

conformance:
	@if [ -x tests/conformance/run.sh ]; then exec tests/conformance/run.sh; else echo 'there is no tests/conformance/run.sh'; exit 1; fi
