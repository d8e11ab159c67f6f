# The commands of this project. Each sets up what it needs and skips what is done already; CONTRIBUTING.md says more.
SHELL := /bin/bash
SWIFT := swift
# One optimised build serves the binary and the tests.
BUILD := build -c release
PYTHON := .venv/bin/python
# Packages of their own: the library that functions link, and functions written in Swift.
PACKAGES := $(patsubst %/Package.swift,%,$(wildcard runtime/*/Package.swift functions/*/Package.swift))
SWIFT_FILES = $(shell find Package.swift Sources Tests runtime functions \
    -name '.*' -prune -o -name '*.swift' -print 2>/dev/null)

.DEFAULT_GOAL := build
.PHONY: setup setup-tests build test test-packages demo bench format lint clean
.NOTPARALLEL:

## setup: checks the toolchain and installs missing Debian packages
setup:
	@.ci/setup

setup-tests:
	@.ci/setup tests

## build: leaves .build/release/roost and .build/release/roost-launch
build: setup
	$(SWIFT) $(BUILD) --product roost-launch
	$(SWIFT) $(BUILD) --product roost

## test: all tests; the end-to-end tests, which start real hosts, come last
test: setup-tests build
	$(SWIFT) $(BUILD) --build-tests
	$(SWIFT) test -c release --skip-build --disable-xctest --skip RandomEventsTests
	$(SWIFT) test -c release --skip-build --disable-xctest --filter RandomEventsTests
	@$(MAKE) --no-print-directory lint test-packages
	$(PYTHON) -m pytest -q $(wildcard Tests/EndToEnd Tests/Python)

# Optimised, because some of them train models; and apart from .build, where deploy makes another build.
test-packages:
	@set -e; for package in $(PACKAGES); do \
	    echo "$(SWIFT) test: $$package"; \
	    $(SWIFT) test -c release --disable-xctest --package-path $$package --scratch-path $$package/.build-tests; \
	done

## demo: the main job on real data: deploy, train, sleep, wake, update, roll back
demo: build
	/usr/bin/python3 functions/sentiment/demo/demo.py

## bench: warm invocations and cold starts, beside a plain C server
bench: build
	bench/run

## format: rewrites the Swift files in the project's layout
format:
	@$(SWIFT) format format --in-place --parallel $(SWIFT_FILES)

## lint: fails when a Swift file is not in the project's layout
lint:
	@$(SWIFT) format lint --strict --parallel $(SWIFT_FILES)

## clean: removes everything built; what was installed in .venv stays
clean:
	rm -rf .build $(foreach package,$(PACKAGES),$(package)/.build $(package)/.build-tests)
