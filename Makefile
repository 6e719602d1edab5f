# Two commands do everything on a fresh Debian 12 machine:
#   make demo   sets up, then runs the pipeline from STAC query to super-resolved product and report
#   make test   sets up, then tests
# Each target says what it does and does nothing when it is already done.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PACKAGES := otb-bin libotb-apps libotb-dev otb-qgis python3-gdal gdal-bin python3-venv python3-dev \
            pybind11-dev g++ make
SYSTEM_PYTHON := /usr/bin/python3
DEBIAN_PACKAGES := /usr/lib/python3/dist-packages
PYTHON := .venv/bin/python
PYTHON_KERAS2 := .venv-keras2/bin/python
PYTHON_DOCS := .venv-docs/bin/python
# Two workers on two cores: more threads than these would wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
PYTEST := -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder
TEST_REQUIREMENTS := $(addprefix requirements/,test.txt openvino.txt dask.txt xarray.txt)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

QGIS_PACKAGES := qgis python3-qgis otb-qgis

.PHONY: help qgis setup test test-slow test-all test-keras2 demo bench soak docs lint clean

help:
	@echo "make demo         set up, then run the whole chain on simulated scenes (results in demo/)"
	@echo "make test         set up, then run the everyday tests under TensorFlow 2.18 and Keras 3"
	@echo "make test-slow    set up, then run the slow tests alone: half an hour"
	@echo "make test-all     all tests, with as many examples of each search as take hours"
	@echo "make test-keras2  set up, then run the everyday tests of networks under TensorFlow 2.14 and Keras 2"
	@echo "make setup        what all of these need: Debian packages, environments .venv and .venv-keras2, the OTB binding"
	@echo "make qgis         set up, then QGIS: its OTB provider and this project's algorithms, in your profile"
	@echo "make bench        set up, then measure (results in benchmarks/RESULTS.md)"
	@echo "make soak         set up, then feed readers with damage and disturb programs for an hour; it goes on where it was"
	@echo "make docs         build the site into site/, in an environment of its own, .venv-docs"
	@echo "make lint         check the style and the type hints of the code"
	@echo "make clean        remove what the build and the demo made (environments stay)"

setup: .setup/native .setup/test .setup/programs .setup/venv-keras2

.setup/debian: Makefile
	@mkdir -p .setup
	@if dpkg -s $(PACKAGES) >/dev/null 2>&1; then echo "Debian packages: present"; else \
	  echo "Debian packages: installing $(PACKAGES)"; \
	  $(SUDO) apt-get update -qq; \
	  apt-get install -qq --simulate otb-bin >/dev/null 2>&1 || { echo "OTB: expected among this system's packages, as in \
Debian 12; elsewhere use the otbtf image (docker/README.md)" >&2; exit 1; }; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	fi
	@touch $@

# The environments see the project and native/ (otbApplication, otbtf) through a .pth file and, of Debian's Python
# packages, osgeo alone: others, such as the matplotlib that QGIS brings, would mix with theirs.
# $(call make_environment,folder,requirements)
define make_environment
@echo "Environment $(1): installing $(2)"
@if grep -qs "include-system-site-packages = true" $(1)/pyvenv.cfg; then rm -rf $(1); fi
@[ -x $(1)/bin/python ] || $(SYSTEM_PYTHON) -m venv $(1)
@$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(2))
@packages=$$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
  ln -sfn $(DEBIAN_PACKAGES)/osgeo "$$packages/osgeo"; \
  printf '%s\n' '$(CURDIR)' '$(CURDIR)/native' > "$$packages/super_resolution.pth"; \
  rm -f "$$packages/native.pth"
@touch $@
endef

.setup/venv: requirements/keras3.txt requirements/runtime.txt .setup/debian
	$(call make_environment,.venv,requirements/keras3.txt)

.setup/programs: pyproject.toml .setup/venv
	@echo "Programs sr-dsen2 and so on: in .venv/bin"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.setup/test: $(TEST_REQUIREMENTS) .setup/venv
	$(call make_environment,.venv,requirements/test.txt)

.setup/venv-keras2: requirements/keras2.txt requirements/runtime.txt $(TEST_REQUIREMENTS) .setup/debian
	$(call make_environment,.venv-keras2,requirements/keras2.txt requirements/test.txt)

.setup/venv-docs: requirements/docs.txt
	@echo "Environment .venv-docs: installing $<"
	@mkdir -p $(@D)
	@[ -x $(PYTHON_DOCS) ] || $(SYSTEM_PYTHON) -m venv .venv-docs
	@$(PYTHON_DOCS) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.setup/native: .setup/debian $(wildcard native/src/* native/Makefile native/CMakeLists.txt)
	@echo "OTB binding and applications: building native/"
	@$(MAKE) --no-print-directory -C native
	@touch $@

test: setup
	@echo "Everyday tests, TensorFlow 2.18 and Keras 3"
	@$(ONE_THREAD) $(PYTHON) $(PYTEST)

test-slow: setup
	@echo "Slow tests, TensorFlow 2.18 and Keras 3: takes half an hour"
	@$(ONE_THREAD) $(PYTHON) $(PYTEST) -m slow

test-all: setup
	@echo "All tests, TensorFlow 2.18 and Keras 3: takes hours"
	@$(ONE_THREAD) $(PYTHON) $(PYTEST) -m "slow or not slow" --hypothesis-profile full

test-keras2: setup
	@echo "Everyday tests of networks, TensorFlow 2.14 and Keras 2"
	@$(ONE_THREAD) $(PYTHON_KERAS2) $(PYTEST) -m "keras and not slow"

demo: .setup/native .setup/venv
	@echo "From STAC query to product and report, on simulated scenes: results in demo/"
	@$(PYTHON) demo.py --output demo

# QGIS may come from elsewhere than Debian: what counts is that it is there.
qgis: .setup/native .setup/venv
	@if command -v qgis_process.bin qgis_process >/dev/null; then echo "QGIS: present"; else \
	  echo "Debian packages: installing $(QGIS_PACKAGES)"; \
	  $(SUDO) apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(QGIS_PACKAGES) >/dev/null; \
	fi
	@$(SYSTEM_PYTHON) qgis/set_up.py

bench: setup
	@echo "Measurements: results in benchmarks/RESULTS.md"
	@$(PYTHON) -m benchmarks

# Goes on where it was; what is done is in benchmarks/output/soak.
soak: setup
	$(PYTHON) -m benchmarks.soak

docs: .setup/venv-docs
	NO_MKDOCS_2_WARNING=1 $(PYTHON_DOCS) -m mkdocs build --strict

lint: .setup/test
	@echo "Style (ruff) and type hints (mypy)"
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy

clean:
	$(MAKE) --no-print-directory -C native clean
	rm -rf demo site .setup/native
