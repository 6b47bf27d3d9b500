# make demo         index the shipped collection and search it
# make test         the whole test suite (a part of it: make test ARGS=tests/index)
# make interop      the tests beside MTEB and PyTerrier, which it installs into the same environment
# make lint types   what ruff, clang-format, import-linter and mypy say
# make wheel-check  build the sdist, from it the wheel, install that alone and use it; then the
#                   checkout, plain and editable, and start the benchmarks in its root
# make soak         the long form of tests/soak: rebuilds, kills and hostile text by the hundred
# make sanitize     the tests of the kernels, and of damage, with address and UB sanitizers (Linux, GCC)
# make arm-check    compare all sets of kernel loops with the scalar one: those of this machine, and
#                   those of ARM in an emulator (Debian: the packages are installed if you are root)
# make clean        remove all that the above made
#
# They share the environment .venv, made on first use with the versions of constraints.txt.
# Needed beforehand: Python 3.11 or newer with venv, and a C++17 compiler.

PYTHON ?= python3
# Where Linux finds a torch without CUDA; when it cannot be reached, pip goes on without it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# The folders index, encoders, eval and data must never be importable by these names.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

INSTALL := install -qq --constraint constraints.txt
TORCH := --no-deps --retries 0 --timeout 15 --extra-index-url $(TORCH_INDEX) torch
SEARCH := .venv/bin/lsr search demo/arxiv-cs
SANITIZE := build/sanitize
CPP := index/kernels encoders/kernels lsr/native tests/native
PARALLEL := -n auto --dist loadfile

.PHONY: demo test soak interop lint types wheel-check sanitize arm-check clean

demo: .venv/.installed demo/arxiv-cs/manifest.json
	$(SEARCH) "why do language models make up facts" -k 3
	$(SEARCH) "depth from a single camera image" -k 3
	$(SEARCH) "robots that walk over rough ground" -k 1 --explain

demo/arxiv-cs/manifest.json: | .venv/.installed
	.venv/bin/lsr index arxiv-cs -o demo/arxiv-cs

# A file's tests stay in one process: they share what is dear to make.
test: .venv/.dev
	.venv/bin/pytest $(PARALLEL) $(ARGS)

interop: .venv/.interop
	.venv/bin/pytest tests/integrations

soak: .venv/.dev
	LSR_SOAK=1 .venv/bin/pytest tests/soak $(ARGS)

lint: .venv/.dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/clang-format --dry-run -Werror $(wildcard $(addsuffix /*.cpp,$(CPP)) $(addsuffix /*.h,$(CPP)))
	.venv/bin/lint-imports --no-logo

types: .venv/.dev
	.venv/bin/mypy

# The environment. A step leaves a stamp and runs again when what it reads has changed.

.venv/.tools: constraints.txt
	@echo "environment: build tools and torch"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip $(INSTALL) --upgrade pip
	@.venv/bin/pip $(INSTALL) cmake nanobind ninja scikit-build-core
	@.venv/bin/pip $(INSTALL) $(TORCH)
	@touch $@

.venv/.installed: .venv/.tools pyproject.toml CMakeLists.txt lsr/version.py $(wildcard */kernels/* lsr/native/*)
	@echo "environment: lsr-engine, editable, and what it needs"
	@.venv/bin/pip $(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.installed
	@echo "environment: the dev group"
	@.venv/bin/pip $(INSTALL) --group dev
	@touch $@

.venv/.interop: .venv/.dev
	@echo "environment: the interop group"
	@.venv/bin/pip $(INSTALL) --group interop
	@touch $@

# The wheel is built from the sdist, so the sdist is known to be complete.
wheel-check: .venv/.tools
	@rm -rf dist build/wheel-check
	.venv/bin/python -c "from scikit_build_core.build import build_sdist; build_sdist('dist')"
	.venv/bin/pip wheel -qq --no-build-isolation --no-deps --wheel-dir dist dist/*.tar.gz
	.venv/bin/python .ci/check_dist.py dist
	$(PYTHON) -m venv build/wheel-check
	@build/wheel-check/bin/pip $(INSTALL) --upgrade pip
	@build/wheel-check/bin/pip $(INSTALL) $(TORCH)
	build/wheel-check/bin/pip $(INSTALL) dist/*.whl
	build/wheel-check/bin/pip check
	.ci/use_installed build/wheel-check
	for editable in "" --editable; do \
	  build/wheel-check/bin/pip $(INSTALL) $$editable '.[bench]' && \
	  env -u PYTHONSAFEPATH build/wheel-check/bin/python -m benchmarks.search --help && \
	  env -u PYTHONSAFEPATH build/wheel-check/bin/python -c "import lsr.kernels" || exit; \
	done

# A second environment holds an lsr of its own and borrows all else from .venv through a .pth
# file: .pth files inside a folder added so are not read, which hides .venv's editable lsr.
# libstdc++ is preloaded because the sanitizer looks up __cxa_throw once, when it starts;
# --capture=sys lets its report through, which pytest would hold and lose when the process ends.
sanitize: RUNTIMES = $(foreach lib,asan ubsan stdc++,$(shell $(CXX) -print-file-name=lib$(lib).so))
sanitize: SITE = import site; print(site.getsitepackages()[0])
sanitize: .venv/.dev
	@rm -rf $(SANITIZE)/venv
	@$(PYTHON) -m venv --without-pip $(SANITIZE)/venv
	@site=$$($(SANITIZE)/venv/bin/python -c "$(SITE)") && \
	  .venv/bin/python -c "$(SITE)" > "$$site/borrowed.pth"
	.venv/bin/pip --python $(SANITIZE)/venv/bin/python install -qq --no-build-isolation --no-deps \
	  -C build-dir=$(SANITIZE)/cmake -C cmake.define.LSR_SANITIZE=ON -C install.strip=false .
	LD_PRELOAD="$(RUNTIMES)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
	  $(SANITIZE)/venv/bin/python .venv/bin/pytest $(PARALLEL) --capture=sys \
	  tests/index tests/encoders/test_kernels.py tests/encoders/test_bert.py \
	  tests/encoders/test_heads.py tests/encoders/test_wordpiece.py

arm-check: .venv/.tools
	.ci/arm_check

clean:
	rm -rf .venv build dist demo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
