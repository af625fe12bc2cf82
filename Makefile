# Everything here needs a Swift toolchain (6.1 or later) and nothing else.
SWIFT ?= swift
SOURCES := $(wildcard Modules Plugins Tests Examples) Package.swift
# One build serves tests, simulator and demo: a release build, since the simulator and the crash harness do real work.
BUILD := -c release -Xswiftc -enable-testing --scratch-path .build
SEEDS ?= 3000

.PHONY: test sim lint format demo bench planted-bugs clean

# Builds everything, runs every test, then the simulator over $(SEEDS) seeds.
test:
	$(SWIFT) build $(BUILD) --build-tests
	$(SWIFT) test $(BUILD) --skip-build
	.build/release/borealis sim --seeds $(SEEDS)
	.build/release/VolumeQuickstart

# The simulator alone: `make sim SEEDS=100000`.
sim:
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --seeds $(SEEDS)

# Layout and documentation comments; `make format` mends the layout.
lint:
	$(SWIFT) format lint --strict -r $(SOURCES)

format:
	$(SWIFT) format -i -r $(SOURCES)

# A volume of six nodes that loses a zone under load, heals, and is taken over by a new writer.
demo:
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis demo

# The figures of Documentation/Performance.md.
bench:
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis bench volume

# Plants each known bug and writes down which checker finds it.
planted-bugs:
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --planted-bugs --output Documentation/PlantedBugs.md

clean:
	$(SWIFT) package clean
