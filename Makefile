# Everything here needs a Swift toolchain (6.1 or later) and SQLite with its header; the tool and the tests libfuse3, libpq and
# PostgreSQL, too. Each target installs what it needs.
SWIFT ?= swift
SOURCES := $(wildcard Modules Plugins Tests Examples) Package.swift
# Release builds: the simulator and the crash harness do real work. The tests have a build of their own, with the plugins
# that are behind traits.
BUILD := -c release --traits Router --scratch-path .build
TEST_BUILD := -c release -Xswiftc -enable-testing --traits GRDB,Observability,Router --scratch-path .build-tests
# Clusters are tasks: simulator runs, which never suspend, would keep Swift's threads from them for minutes.
CLUSTER_TESTS := ClusterTests|ClusterSeamTests|ControlTests|ObservabilityTests|RouterTests|PostgreSQLTests|MountTests
SEEDS ?= 3000
SQL_SEEDS ?= 500
EXAMPLES := $(sort $(notdir $(wildcard Examples/*)))

.PHONY: setup setup-server tool test sim examples lint format demo bench planted-bugs clean

# Installs SQLite's header where it is missing: all that the quick start needs.
setup:
	@if [ -f /usr/include/sqlite3.h ] || pkg-config --exists sqlite3 2>/dev/null || [ "$$(uname)" = Darwin ]; then exit 0; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -y -q libsqlite3-dev; \
	else echo "SQLite's header is missing: run 'sudo apt-get install libsqlite3-dev', then make again" >&2; exit 1; fi

# Installs what PostgreSQL clusters need besides: libfuse3 and libpq with their headers, fusermount3, which mounts for ordinary
# users, OpenSSL, and PostgreSQL's server, together with which Debian would make and start a cluster that nobody here needs.
# udev lets everybody open /dev/fuse; where there is no udev, as in a container, this does.
setup-server: setup
	@set -e; missing=""; if [ "$$(uname)" = Darwin ]; then exit 0; fi; \
	[ -f /usr/include/fuse3/fuse_lowlevel.h ] || pkg-config --exists fuse3 2>/dev/null || missing="$$missing libfuse3-dev"; \
	command -v fusermount3 >/dev/null || missing="$$missing fuse3"; \
	[ -f /usr/include/postgresql/libpq-fe.h ] || pkg-config --exists libpq 2>/dev/null || missing="$$missing libpq-dev"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing="$$missing postgresql"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "run 'sudo apt-get install$$missing', then make again" >&2; exit 1; fi; \
	apt-get update -q; \
	case "$$missing" in *" postgresql"*) apt-get install -y -q postgresql-common; \
	  echo "create_main_cluster = false" >> /etc/postgresql-common/createcluster.conf;; esac; \
	apt-get install -y -q $$missing
	@if [ "$$(id -u)" = 0 ] && [ -c /dev/fuse ]; then chmod 666 /dev/fuse; fi

# Builds everything, runs every test, then the simulator over $(SEEDS) seeds, and over $(SQL_SEEDS) as a database, then the
# examples.
test: setup-server
	$(SWIFT) build $(TEST_BUILD) --build-tests
	$(SWIFT) test $(TEST_BUILD) --skip-build --skip '$(CLUSTER_TESTS)'
	$(SWIFT) test $(TEST_BUILD) --skip-build --filter '$(CLUSTER_TESTS)'
	.build-tests/release/borealis sim --seeds $(SEEDS)
	.build-tests/release/borealis sim --workload sql --seeds $(SQL_SEEDS)
	@set -e; for name in $(EXAMPLES); do echo "== $$name"; .build-tests/release/$$name; done

# Builds the examples and runs each: it ends by itself, and fails where what it says is not so.
examples: setup-server
	@set -e; for name in $(EXAMPLES); do $(SWIFT) build $(BUILD) --product $$name; done
	@set -e; for name in $(EXAMPLES); do echo "== $$name"; .build/release/$$name; done

# The simulator alone: `make sim SEEDS=100000`.
sim: setup-server
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --seeds $(SEEDS)

# Layout and documentation comments; `make format` mends the layout.
lint:
	$(SWIFT) format lint --strict -r $(SOURCES)

format:
	$(SWIFT) format -i -r $(SOURCES)

# A cluster that runs SQL while readers are added and a node, a zone and the writer are lost.
demo: setup
	$(SWIFT) build $(BUILD) --product ClusterDemo
	.build/release/ClusterDemo

# The command line tool: .build/release/borealis.
tool: setup-server
	$(SWIFT) build $(BUILD) --product borealis

# The figures of Documentation/Performance.md.
bench: setup-server
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis bench volume
	.build/release/borealis bench sqlite

# Plants each known bug and writes down which checker finds it.
planted-bugs: setup-server
	$(SWIFT) build $(BUILD) --product borealis
	.build/release/borealis sim --planted-bugs --output Documentation/PlantedBugs.md

clean:
	$(SWIFT) package clean
