# Everything here needs a Swift toolchain (6.1 or later) and SQLite with its header (`make setup`).
SWIFT ?= swift
SOURCES := $(wildcard Modules Plugins Tests Examples) Package.swift
# One build serves tests, simulator and demo: a release build, since the simulator and the crash harness do real work.
BUILD := -c release -Xswiftc -enable-testing --scratch-path .build
SEEDS ?= 3000
EXAMPLES := $(sort $(notdir $(wildcard Examples/*)))

.PHONY: setup test sim examples run-examples lint format demo bench planted-bugs clean

# Installs SQLite's header where it is missing.
setup:
	@if [ -f /usr/include/sqlite3.h ] || pkg-config --exists sqlite3 2>/dev/null || [ "$$(uname)" = Darwin ]; then exit 0; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q libsqlite3-dev; \
	else echo "SQLite's header is missing: run 'sudo apt-get install libsqlite3-dev', then make again" >&2; exit 1; fi

# Builds everything, runs every test, then the simulator over $(SEEDS) seeds, then the examples.
test: setup
	$(SWIFT) build $(BUILD) --build-tests
	$(SWIFT) test $(BUILD) --skip-build
	.build/release/borealis sim --seeds $(SEEDS)
	$(MAKE) --no-print-directory run-examples

# Builds the examples and runs each: it ends by itself, and fails where what it says is not so.
examples: setup
	@set -e; for name in $(EXAMPLES); do $(SWIFT) build $(BUILD) --product $$name; done
	$(MAKE) --no-print-directory run-examples

run-examples:
	@set -e; for name in $(EXAMPLES); do echo "== $$name"; .build/release/$$name; done

# The simulator alone: `make sim SEEDS=100000`.
sim: setup
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --seeds $(SEEDS)

# Layout and documentation comments; `make format` mends the layout.
lint:
	$(SWIFT) format lint --strict -r $(SOURCES)

format:
	$(SWIFT) format -i -r $(SOURCES)

# A volume of six nodes that loses a zone under load, heals, and is taken over by a new writer.
demo: setup
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis demo

# The figures of Documentation/Performance.md.
bench: setup
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis bench volume
	.build/release/borealis bench sqlite

# Plants each known bug and writes down which checker finds it.
planted-bugs: setup
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --planted-bugs --output Documentation/PlantedBugs.md

clean:
	$(SWIFT) package clean
