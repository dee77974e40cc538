# Each target sets up what it needs: .venv with the development tools and, built in place, the
# package. It is made anew when the interpreter, pyproject.toml or a source of the extension changes.
#
#   make test PYTHON=python3.13 PYTEST_ARGS='-k handshake'
#
# All paths are relative: make cannot quote a target, and the checkout's path may have a space in it.
PYTHON ?= python3
PYTEST_ARGS ?= -n auto
BENCH_ARGS ?=
# For each fuzz target; they run at once.
FUZZ_SECONDS ?= 60
# What .venv gets, of the dependency groups in pyproject.toml. `test` suffices for the tests.
GROUP ?= dev

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet
UNAME := $(shell uname -s)

# Names the interpreter and the place, since an environment works with no other.
TAG := $(shell "$(PYTHON)" -c 'import os, sys, sysconfig, zlib; \
    here = zlib.crc32(os.getcwdb()); new = sys.version_info >= (3, 11); \
    print("%s-%08x" % (sysconfig.get_config_var("SOABI"), here) if new else "old")' \
    2>/dev/null || echo absent)

# What the extension is made of. The Python package is used in place and needs no rebuild.
SOURCES := pyproject.toml setup.py \
    $(shell find defs mig ext -name '*.py' -o -name '*.defs' -o -name '*.[ch]')
# tests/mig/facts is kept as it was recorded.
C_FILES := $(shell find ext tests bench -name '*.[ch]' -not -path 'tests/mig/facts/*')

help:
	@echo 'make demo           separate processes hand each other port rights'
	@echo 'make test           the test suite (PYTEST_ARGS=...)'
	@echo 'make bench          medians and ratios against raw sockets (BENCH_ARGS=...)'
	@echo 'make bench-scaling  what a message costs among up to 10,000 ports (BENCH_ARGS=--write)'
	@echo 'make fuzz           the packet decoder under libFuzzer (FUZZ_SECONDS=60, FUZZ_CC=clang)'
	@echo 'make fuzz-mig       the MIG compiler on random interfaces (MIG_FUZZ_EXAMPLES=1000)'
	@echo 'make lint           ruff, clang-format, clang-tidy, mypy, stubtest, compilers, and the linters of the workflows'
	@echo 'make warnings       mach_linux by gcc and clang, every warning an error (a part of lint)'
	@echo 'make format         rewrite to the house style'
	@echo 'make mach-check     the conformance suite of the Mach API, in C'
	@echo 'make mach-check-musl the same with musl, statically linked'
	@echo 'make test-asan      the C and Python suites with the address and UB sanitizers'
	@echo 'make test-tsan      the C and Python suites in which threads meet, with the thread sanitizer'
	@echo 'make mig-parity     the MIG compiler against recorded facts'
	@echo "make header-parity  the Mach headers against recorded facts"
	@echo "make sdk-parity     on a Mac: the Mach headers against the SDK's"
	@echo "make test-macos-binary  the Python suite on the Mac extension's machine code (MACH=...)"
	@echo 'make cross-macos    the wheels for macOS, built and checked on Linux'
	@echo 'make docs           the documentation, in build/docs'
	@echo 'make readme         put the transcript of the demo and the bench table into README.md'
	@echo 'make sdist          the source distribution, in dist/'
	@echo 'make wheels         the wheels of this platform, in dist/ (CIBW_ARCHS=...)'
	@echo 'make sbom           what is in the wheel in dist/, as CycloneDX'
	@echo 'make build          only set up .venv with the package in it'
	@echo 'make clean          remove all that make made'

demo: $(VENV)/built
	@$(PY) -m child_port demo

test: $(VENV)/built
	$(PY) -m pytest $(PYTEST_ARGS)

bench: $(VENV)/built
	@$(PY) -m bench $(BENCH_ARGS)

bench-scaling: $(VENV)/built
	@$(PY) -m bench.scaling $(BENCH_ARGS)

# Clang's libFuzzer; the harness needs no .venv.
fuzz:
	@"$(PYTHON)" tests/fuzz/harness.py --seconds $(FUZZ_SECONDS)

# How many inputs each test of the MIG compiler tries.
MIG_FUZZ_EXAMPLES ?= 1000
fuzz-mig: $(VENV)/tools
	MIG_FUZZ_EXAMPLES=$(MIG_FUZZ_EXAMPLES) $(PY) -m pytest -q --timeout 0 \
	    tests/mig/test_mig_fuzz.py tests/mig/test_mig_fuzz_c.py

lint: $(VENV)/built
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/clang-format --dry-run -Werror $(C_FILES)
	$(PY) -m tools.tidy
	$(MAKE) warnings
	$(PY) -m mypy
	$(PY) -m mypy.stubtest child_port --mypy-config-file pyproject.toml \
	    --allowlist tools/stubtest_allowlist.txt --ignore-unused-allowlist
	$(VENV)/bin/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
	$(VENV)/bin/zizmor --quiet --offline --persona pedantic .github/workflows

# mach_linux by itself, by gcc and by clang, each its own warnings; clang is ziglang's where there is none.
# The tests have theirs in tests/mach/Makefile and tests/mach_unit.
WARN := -O2 -Werror
ifeq ($(UNAME),Linux)
warnings: $(VENV)/tools
	$(MAKE) -s -C ext/mach_linux BUILD=../../build/warnings/gcc CC=gcc CFLAGS='$(WARN)'
	if command -v clang > /dev/null; then clang=clang; else clang='../../$(PY) -m ziglang cc'; fi; \
	$(MAKE) -s -C ext/mach_linux BUILD=../../build/warnings/clang CC="$$clang" CFLAGS='$(WARN)'
else
warnings:
endif

format: $(VENV)/tools
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(VENV)/bin/clang-format -i $(C_FILES)

mig-parity: $(VENV)/tools
	$(PY) tests/mig/parity.py $(PARITY_ARGS)

header-parity: $(VENV)/tools
	$(PY) tests/headers/parity.py

# On a Mac: the same comparison with the headers of the whole SDK, which has those that ziglang lacks.
sdk-parity: $(VENV)/tools
	mkdir -p build
	$(PY) tests/headers/parity.py --only-write build/parity.c
	for arch in arm64 x86_64; do \
	    $(CC) -std=gnu11 -arch $$arch -fsyntax-only -Werror=incompatible-pointer-types \
	        -Wno-deprecated-declarations build/parity.c || exit 1; \
	done

# The C suites with sanitizers, and with the address sanitizer the Python suite on an extension that has it
# too. CPython itself is not instrumented, so its own leaks are not looked for; nor is it asked how much
# memory stays in use, since the sanitizer keeps what was freed. (What gcc makes of a memcmp() in place of a
# call, no sanitizer looks at: hence -fno-builtin.)
ASAN := -O1 -g -fno-omit-frame-pointer -fno-builtin -fsanitize=address,undefined \
    -fno-sanitize-recover=undefined
TSAN := -O1 -g -fsanitize=thread
# Those in which threads meet. (That memory is gone once it is freed cannot be asked where the sanitizer's
# own threads map memory of theirs.)
TSAN_SUITES := threads fork interrupts receive notifications no_senders notification_delivery sets order \
    send_once server reply_port bootstrap descriptors destination meanwhile
# CPython is not instrumented, so its own races are not seen; its lock is, as any other.
TSAN_TESTS := $(addprefix tests/,test_concurrency.py test_ext_rights.py test_ext_check_in.py \
    test_ext_server.py test_ext_waits.py test_messages.py test_messages_failures.py test_notifications.py \
    test_port_set.py test_server.py)
ASAN_TESTS := $(filter-out tests/test_readme.py tests/test_repository.py tests/test_install.py \
    tests/test_bench.py tests/test_ext_build.py tests/test_command_line_tools.py,$(wildcard tests/test_*.py))

# mach_linux among hostile peers, at its limits and in close races: programs that are built with $CFLAGS.
UNIT_SUITES := $(PY) -m pytest $(PYTEST_ARGS) tests/mach_unit/test_mach_limits.py -k every_case

test-asan: $(VENV)/built
	$(MAKE) -C ext/mach_linux BUILD=../../build/asan/lib CFLAGS='$(ASAN)'
	$(MAKE) -C tests/mach check BUILD=../../build/asan/mach \
	    CFLAGS='$(ASAN) -I../../ext/mach_linux/include' \
	    LDLIBS='../../build/asan/lib/libmach_linux.a -pthread'
	CFLAGS='$(ASAN)' $(UNIT_SUITES)
	CFLAGS='$(ASAN)' $(PY) setup.py -q build --build-base build/asan/base \
	    --build-lib build/asan/site
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 PYTHONPATH="$(CURDIR)/build/asan/site" \
	    $(PY) -m pytest $(PYTEST_ARGS) -k 'not no_memory_behind' $(ASAN_TESTS)

test-tsan: $(VENV)/built
	$(MAKE) -C ext/mach_linux BUILD=../../build/tsan/lib CFLAGS='$(TSAN)'
	$(MAKE) -C tests/mach check BUILD=../../build/tsan/mach \
	    SUITES='$(TSAN_SUITES)' CFLAGS='$(TSAN) -I../../ext/mach_linux/include' \
	    LDLIBS='../../build/tsan/lib/libmach_linux.a -pthread'
	CFLAGS='$(TSAN)' TSAN_OPTIONS=die_after_fork=0 $(UNIT_SUITES)
	CFLAGS='$(TSAN)' $(PY) setup.py -q build --build-base build/tsan/base \
	    --build-lib build/tsan/site
	rm -f build/tsan/report.*
	LD_PRELOAD="$$($(CC) -print-file-name=libtsan.so)" PYTHONPATH="$(CURDIR)/build/tsan/site" \
	    TSAN_OPTIONS='die_after_fork=0 log_path=build/tsan/report' \
	    $(PY) -m pytest $(PYTEST_ARGS) $(TSAN_TESTS)
	@for report in build/tsan/report.*; do \
	    if test -e "$$report"; then cat "$$report"; exit 1; fi; \
	done

ifeq ($(UNAME),Linux)
mach-check:
	$(MAKE) -C ext/mach_linux BUILD=../../build/mach_linux
	$(MAKE) -C tests/mach check BUILD=../../build/mach_check \
	    CFLAGS='-O1 -g -I../../ext/mach_linux/include' \
	    LDLIBS='../../build/mach_linux/libmach_linux.a -pthread'
else
mach-check:
	$(MAKE) -C tests/mach check BUILD=../../build/mach_check
endif

# Against another C library, statically linked: ziglang has musl and a compiler for it.
MUSL := -target $(shell uname -m)-linux-musl
mach-check-musl: $(VENV)/tools
	$(MAKE) -C ext/mach_linux BUILD=../../build/musl/lib CC='../../$(PY) -m ziglang cc $(MUSL)' \
	    AR='../../$(PY) -m ziglang ar' CFLAGS='-O1 -g -Werror'
	$(MAKE) -C tests/mach check BUILD=../../build/musl/mach CC='../../$(PY) -m ziglang cc $(MUSL)' \
	    AR='../../$(PY) -m ziglang ar' CFLAGS='-O1 -g -static -I../../ext/mach_linux/include' \
	    LDLIBS='../../build/musl/lib/libmach_linux.a'

# Each wheel is built twice, in different places, and must be the same.
cross-macos: $(VENV)/tools
	$(PY) -m tools.cross_macos wheels --out build/cross_macos

# A warning is an error.
docs: $(VENV)/built $(VENV)/docs-tools
	$(PY) -m sphinx -q -E -W --keep-going -b html docs build/docs
	@echo 'the documentation is in build/docs/index.html'

# The x86_64 extension for macOS, loaded into this platform's interpreter. MACH is the Mach library under
# it: tests/macos/README.md.
MACH ?= build/macos/mach_linux/libmach_linux.so
test-macos-binary: $(VENV)/tools
	$(MAKE) -C ext/mach_linux BUILD=../../build/macos/mach_linux
	$(MAKE) -C tests/macos/shim BUILD=../../../build/macos/shim
	PYTHONPATH=tests/macos $(PY) -m machorun.environment build/macos/environment \
	    --extension "$$($(PY) -m tools.cross_macos extension --arch x86_64 --out build/macos/cross)" \
	    --shim build/macos/shim/libdarwin.so --mach "$(MACH)"
	build/macos/environment/bin/python -m pytest -p machorun.plugin $(PYTEST_ARGS) tests

readme: $(VENV)/built
	$(PY) tools/render_readme.py

build: $(VENV)/built

sdist: $(VENV)/tools
	$(PY) -m build --sdist --outdir dist .

wheels: $(VENV)/tools
	$(VENV)/bin/cibuildwheel --output-dir dist .

# Of an environment with nothing in it but a wheel that runs here.
sbom: $(VENV)/tools
	rm -rf build/sbom
	"$(PYTHON)" -m venv --without-pip build/sbom/environment
	$(PY) -m pip --quiet --python build/sbom/environment/bin/python install --no-index \
	    --find-links dist child-port
	$(VENV)/bin/cyclonedx-py environment --mc-type library --pyproject pyproject.toml \
	    --output-reproducible -o build/sbom/child_port.cdx.json build/sbom/environment/bin/python

version:
	@"$(PYTHON)" -c "import tomllib; f = open('pyproject.toml', 'rb'); \
	    print(tomllib.load(f)['project']['version'])"

$(VENV)/made-$(TAG):
ifeq ($(TAG),absent)
	@echo 'there is no "$(PYTHON)"; choose an interpreter: make PYTHON=...' >&2; exit 1
else ifeq ($(TAG),old)
	@echo '"$(PYTHON)" is older than Python 3.11; choose another: make PYTHON=...' >&2; exit 1
else
	rm -rf $(VENV)
	"$(PYTHON)" -m venv $(VENV) || { \
	    echo 'the interpreter lacks venv (on Debian: apt-get install python3-venv)' >&2; exit 1; }
	$(PIP) --upgrade 'pip>=25.1'
	touch $@
endif

$(VENV)/tools: $(VENV)/made-$(TAG) pyproject.toml
	$(PIP) --group $(GROUP)
	touch $@

$(VENV)/docs-tools: $(VENV)/made-$(TAG) pyproject.toml
	$(PIP) --group docs
	touch $@

$(VENV)/built: $(VENV)/tools $(SOURCES)
	$(PIP) --no-build-isolation --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) build dist python/*.egg-info
	find python -name '*.so' -exec rm -f {} +

.PHONY: help demo test fuzz fuzz-mig test-asan test-tsan bench bench-scaling lint warnings format mig-parity header-parity sdk-parity mach-check mach-check-musl cross-macos test-macos-binary docs readme build \
    sdist wheels sbom version clean
