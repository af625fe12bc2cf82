# Everything here needs a Swift toolchain (6.1 or later) and nothing else.
SWIFT ?= swift
SOURCES := $(wildcard Modules Plugins Tests Examples) Package.swift

.PHONY: test lint format demo clean

# Builds everything and runs every test.
test:
	$(SWIFT) build --build-tests
	$(SWIFT) test --skip-build

# Layout and documentation comments; `make format` mends the layout.
lint:
	$(SWIFT) format lint --strict -r $(SOURCES)

format:
	$(SWIFT) format -i -r $(SOURCES)

# A volume of six nodes that loses a zone under load.
demo:
	$(SWIFT) run -c release borealis demo

clean:
	$(SWIFT) package clean
