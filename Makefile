# hipgw: every session that people, hooks and CI run.  `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
export DEBIAN_FRONTEND := noninteractive
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What a fresh Debian lacks: to build, to run the demo, and to test.
DEBIAN := gcc libc6-dev python3-dev python3-venv libssl3 libnetfilter-queue-dev pkg-config \
	iproute2 iputils-ping iptables iperf3 tcpdump tshark netcat-openbsd openssl procps mandoc
ifeq ($(shell dpkg --print-architecture 2>/dev/null),amd64)
DEBIAN += libipsec-mb1
endif
DEBIAN_BENCH := wireguard-go wireguard-tools ethtool
# A guest whose kernel has ESP and BEET: a program (UML), and a machine emulated in software (QEMU).
DEBIAN_KERNEL := user-mode-linux kmod
DEBIAN_QEMU := qemu-system-x86 qemu-system-common zstd kmod
ASAN_TREE := build/asan
FASTPATH := $(wildcard hipgw/_fastpath/*.py[xdi] hipgw/_fastpath/*.pxd hipgw/_fastpath/c/*)

.PHONY: help setup demo test test-kernel test-kernel-qemu lint types asan fuzz soak soak-asan bench bench-kernel docs record \
	dist clean
help:
	@echo "make demo    two gateways, real traffic: base exchange, ping, iperf3, status"
	@echo "make test    every test (installs what it needs)"
	@echo "make test-kernel       of these, the ones that need a kernel with BEET: in User Mode Linux"
	@echo "make test-kernel-qemu  the same on Debian's 6.12 in QEMU, without KVM: a quarter of an hour"
	@echo "make lint    ruff, cython-lint      make types   mypy --strict"
	@echo "make asan    extension tests under AddressSanitizer"
	@echo "make fuzz    coverage-guided fuzzing, SECONDS=600"
	@echo "make soak    two daemons under traffic and one fault after the other, MINUTES=10"
	@echo "make bench   figures of this machine, against wireguard-go"
	@echo "make bench-kernel      ESP in the kernel, in User Mode Linux: against states made by hand"
	@echo "make dist    sdist and wheel in dist/"

setup: $(STAMPS)/extensions

demo: setup
	@$(BIN)/hipgw lab demo

test: setup asan test-kernel
	@$(BIN)/python -m pytest

test-kernel: setup $(STAMPS)/debian-kernel
	@$(BIN)/python -m tests.kernel.guest uml

test-kernel-qemu: setup $(STAMPS)/debian-qemu
	@$(BIN)/python -m tests.kernel.guest qemu

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint hipgw/_fastpath

types: setup
	@$(BIN)/mypy

asan: $(STAMPS)/asan

fuzz: setup
	@nice -n 19 $(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),600)

soak: setup
	@nice $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10) --json soak.json

# The daemons of the soak, sanitised.
soak-asan: $(STAMPS)/asan
	@cp -r bench $(ASAN_TREE) && cd $(ASAN_TREE) && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=. nice $(CURDIR)/$(BIN)/python -m bench.soak \
		--seconds $(or $(SECONDS),60)

BENCHES := run puzzle senders handover bex flood nfqueue associations
bench: setup $(STAMPS)/debian-bench
	@set -e; for one in $(BENCHES); do $(BIN)/python -m bench.$$one; done

bench-kernel: setup $(STAMPS)/debian-kernel
	@$(BIN)/python -m bench.kernel

dist: setup
	@$(BIN)/python -m build --outdir dist .

docs: setup
	@$(BIN)/python docs/generate.py

record: setup
	@$(BIN)/python docs/record.py

clean:
	rm -rf $(VENV) $(STAMPS) build dist *.egg-info hipgw/_fastpath/*.c hipgw/_fastpath/*.so

define install_debian
	@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null \
		| grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || { echo "make: root is needed once, to install:" $$missing; exit 1; }; \
		echo "installing Debian packages:" $$missing; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	@mkdir -p $(STAMPS) && touch $@
endef

$(STAMPS)/debian: Makefile
	$(call install_debian,$(DEBIAN))

$(STAMPS)/debian-bench: Makefile $(STAMPS)/debian
	$(call install_debian,$(DEBIAN_BENCH))

$(STAMPS)/debian-kernel: Makefile $(STAMPS)/debian
	$(call install_debian,$(DEBIAN_KERNEL))

$(STAMPS)/debian-qemu: Makefile $(STAMPS)/debian
	$(call install_debian,$(DEBIAN_QEMU))

# setuptools is bounded because of the editable mode below: a plain path, which costs an import
# nothing; `hipgw status` would otherwise load a finder first.
$(STAMPS)/venv: pyproject.toml | $(STAMPS)/debian
	@echo "installing Python packages into $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --upgrade 'pip>=25.1' 'setuptools>=77,<85' 'cython>=3.1'
	@$(BIN)/python -m pip install -q --group dev 'netfilterqueue>=1.1'
	@touch $@

$(STAMPS)/extensions: $(STAMPS)/venv setup.py $(FASTPATH)
	@echo "building the Cython extensions"
	@$(BIN)/python -m pip install -q --no-build-isolation --config-settings editable_mode=compat \
		-e '.[nfq]' >$(STAMPS)/build.log 2>&1 || { cat $(STAMPS)/build.log; exit 1; }
	@touch $@

# A copy of the tree, so that the sanitised extensions never meet the fast ones.
$(STAMPS)/asan: $(STAMPS)/extensions $(FASTPATH) $(wildcard tests/twin/*.py tests/unit/fastpath/*.py tests/reference/*.py)
	@echo "extension tests under AddressSanitizer"
	@rm -rf $(ASAN_TREE) && mkdir -p $(ASAN_TREE)
	@cp -r hipgw tests setup.py pyproject.toml README.md LICENSE $(ASAN_TREE)
	@rm -f $(ASAN_TREE)/hipgw/_fastpath/*.so $(ASAN_TREE)/hipgw/_fastpath/*.c
	@cd $(ASAN_TREE) && HIPGW_ASAN=1 $(CURDIR)/$(BIN)/python setup.py -q build_ext --inplace
	@cd $(ASAN_TREE) && LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
		PYTHONPATH=. $(CURDIR)/$(BIN)/python -m pytest -q tests/twin tests/unit/fastpath
	@touch $@
