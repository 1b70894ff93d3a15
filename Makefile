# The commands of this repository; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# Another torch build: an index of pip's, for every install below and in CI alike, e.g.
#   make demo PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
PIP := -m pip --quiet --quiet --disable-pip-version-check
PROJECT := build/demo/digits
DEMO := -c user.name=demo -c user.email=demo@example.invalid # who commits there
VENV := .venv/.complete

.PHONY: demo
demo: export BACKBURN_CACHE = $(CURDIR)/build/cache
demo: $(VENV) ## Bake a project and rehearse its workflows here, with the real act
	@printf '%s\n' '' 'demo 1/3: bake templates/project into $(PROJECT)'
	rm -rf build/demo
	.venv/bin/cookiecutter . --directory templates/project --no-input --output-dir build/demo
	git -C $(PROJECT) init --quiet --initial-branch main
	git -C $(PROJECT) add --all
	git -C $(PROJECT) $(DEMO) commit --quiet --message 'Bake the template'
	@printf '%s\n' '' 'demo 2/3: bless what its nightly is held against on this machine. Once, this installs its environment' \
	  '(torch, Lightning and scikit-learn again, from what pip has) into build/cache'
	.venv/bin/backburn bless reproduce -C $(PROJECT)
	.venv/bin/backburn bless profile -C $(PROJECT)
	git -C $(PROJECT) add references
	git -C $(PROJECT) $(DEMO) commit --quiet --message 'Bless the references of this machine'
	@printf '%s\n' '' 'demo 3/3: rehearse its push, gpu and nightly workflows. Once, this installs its hooks (60 MB)'
	.venv/bin/backburn rehearse push gpu nightly -C $(PROJECT) --toolkit .
	@printf '%s\n' '' 'Now break it: let $(PROJECT)/src/digits/model.py end in `return -loss`, and see' \
	  '  BACKBURN_CACHE=build/cache .venv/bin/backburn rehearse gpu --dirty -C $(PROJECT)' '' \
	  'All of the above on one page: $(PROJECT)/build/rehearsal/report.html'

.PHONY: test
test: $(VENV) browser ## Run the test suite; ARGS go to pytest (ARGS='-m slow' for what CI adds)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

# The tests look at reports in a real browser, which pip does not have. tests/renderers/test_browser.py knows the names.
.PHONY: browser
browser:
	@if type chromium || type chromium-browser || type google-chrome; then exit; fi >/dev/null 2>&1; \
	if type apt-get >/dev/null 2>&1 && [[ $$(id -u) == 0 ]]; then \
	  echo 'Installing a browser for the tests, Debian'\''s chromium (100 MB and what it needs, once)'; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null && exit; \
	fi; \
	echo 'No browser: tests/renderers/test_browser.py will fail. Install one, e.g. apt-get install chromium' >&2

# They start a daemon of their own, in folders of their own; the machine's is not touched.
.PHONY: engine
engine: ## Install what the tests of the pool start beside pip's packages: Docker Engine, busybox, debootstrap, jq, a registry (Debian, root)
	@if type dockerd containerd busybox debootstrap docker-registry jq >/dev/null 2>&1; then exit; fi; \
	echo 'Installing docker.io, busybox-static, debootstrap, docker-registry and jq from Debian (320 MB, once)'; \
	apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
	  docker.io containerd busybox-static debootstrap docker-registry jq >/dev/null

.PHONY: lint
lint: $(VENV) ## Run pre-commit on all files, and the types in the project's own environment
	.venv/bin/pre-commit run --all-files --show-diff-on-failure
	.venv/bin/mypy

.PHONY: venv
venv: $(VENV) ## Make .venv, with all that tests and benchmarks need

# torch first and by its exact version, so that no other package chooses its build.
$(VENV): pyproject.toml constraints.txt
	@printf '%s\n' \
	  'Installing into .venv, from the package registries (once; pip keeps what it downloads):' \
	  '     45 MB   backburn with act and cookiecutter, and the linters and audits of this repository' \
	  '    350 MB   torch (its CPU build), Lightning, scikit-learn. For Linux, PyPI has the CUDA build of' \
	  '             torch, 3 GB: PIP_EXTRA_INDEX_URL chooses another (README, "Another torch").'
	rm -rf .venv && $(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install -c constraints.txt pip
	.venv/bin/python $(PIP) install "$$(grep '^torch==' constraints.txt)"
	.venv/bin/python $(PIP) install -c constraints.txt --group test --editable '.[rehearse,pool]'
	@touch $@

.PHONY: clean
clean: ## Remove all that the commands above made
	rm -rf build .venv .pytest_cache .mypy_cache

.PHONY: help
help: ## List the commands
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14
