// swift-tools-version: 6.1
import PackageDescription

// Arrows point one way: value types <- wire <- seams <- machines <- runtime <- umbrella <- tools and examples.
// Modules/ depends on nothing but the toolchain; Plugins/ hold what needs more, each on its own.
let package = Package(
  name: "borealis",
  products: [
    .library(name: "Borealis", targets: ["Borealis"]),
    .library(name: "BorealisSimulation", targets: ["BorealisSimulation"]),
    .library(name: "BorealisConformance", targets: ["BorealisConformance"]),
    .library(name: "BorealisGRDB", targets: ["BorealisGRDB"]),
    .library(name: "BorealisMount", targets: ["BorealisMount"]),
    .library(name: "BorealisObservability", targets: ["BorealisObservability"]),
    .library(name: "BorealisRouter", targets: ["BorealisRouter"]),
    .library(name: "BorealisPostgreSQL", targets: ["BorealisPostgreSQL"]),
    .executable(name: "borealis", targets: ["BorealisCommandLine"]),
  ],
  traits: [
    // Off unless asked for (`--traits GRDB`): then GRDB is not even fetched, which is most of a quick start's time.
    .trait(name: "GRDB", description: "BorealisGRDB: GRDB applications on a cluster"),
    .trait(name: "Observability", description: "BorealisObservability: swift-log and swift-metrics"),
    .trait(name: "Router", description: "BorealisRouter: endpoints as TCP addresses and DNS names (swift-nio)"),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
  ],
  targets: [
    .target(name: "CBorealisSystem", path: "Modules/CSystem"),
    .target(name: "BorealisCore", dependencies: ["CBorealisSystem"], path: "Modules/Core"),
    .target(name: "BorealisWire", dependencies: ["BorealisCore"], path: "Modules/Wire"),
    .target(
      name: "BorealisStorageBackend", dependencies: ["BorealisCore"], path: "Modules/StorageBackend"),
    .target(
      name: "BorealisReplicationPolicy", dependencies: ["BorealisCore", "BorealisWire"],
      path: "Modules/ReplicationPolicy"),
    .target(
      name: "BorealisTransport", dependencies: ["BorealisCore", "BorealisWire"],
      path: "Modules/Transport"),
    .target(name: "BorealisCoordinator", dependencies: ["BorealisCore"], path: "Modules/Coordinator"),
    .target(
      name: "BorealisStorageNode",
      dependencies: ["BorealisCore", "BorealisWire", "BorealisStorageBackend"],
      path: "Modules/StorageNode"),
    .target(
      name: "BorealisVolume",
      dependencies: ["BorealisCore", "BorealisWire", "BorealisReplicationPolicy"],
      path: "Modules/Volume"),
    .target(
      name: "BorealisRuntime",
      dependencies: [
        "BorealisCore", "BorealisWire", "BorealisStorageBackend", "BorealisReplicationPolicy",
        "BorealisTransport", "BorealisCoordinator", "BorealisStorageNode", "BorealisVolume", "CBorealisSystem",
      ], path: "Modules/Runtime"),
    .target(
      name: "BorealisFileSystem", dependencies: ["BorealisCore", "BorealisVolume", "BorealisRuntime"],
      path: "Modules/FileSystem"),
    .target(name: "BorealisClusterModel", dependencies: ["BorealisCore"], path: "Modules/ClusterModel"),
    .target(
      name: "BorealisEndpointResolver", dependencies: ["BorealisCore", "BorealisClusterModel"],
      path: "Modules/EndpointResolver"),
    .target(
      name: "BorealisCapacityScaler", dependencies: ["BorealisCore", "BorealisClusterModel"],
      path: "Modules/CapacityScaler"),
    .target(
      name: "BorealisComputeEngine", dependencies: ["BorealisCore", "BorealisClusterModel", "BorealisRuntime"],
      path: "Modules/ComputeEngine"),
    .target(
      name: "BorealisCluster",
      dependencies: [
        "BorealisCore", "BorealisClusterModel", "BorealisEndpointResolver", "BorealisCapacityScaler",
        "BorealisComputeEngine", "BorealisReplicationPolicy", "BorealisRuntime", "BorealisStorageBackend",
        "BorealisStorageNode", "BorealisCoordinator", "BorealisVolume", "BorealisWire",
      ], path: "Modules/Cluster"),
    .target(
      name: "BorealisSimulation",
      dependencies: [
        "BorealisCore", "BorealisWire", "BorealisStorageBackend", "BorealisReplicationPolicy",
        "BorealisStorageNode", "BorealisVolume",
      ], path: "Modules/Simulation"),
    .target(
      name: "BorealisConformance",
      dependencies: [
        "BorealisCore", "BorealisWire", "BorealisStorageBackend", "BorealisReplicationPolicy", "BorealisClusterModel",
        "BorealisEndpointResolver", "BorealisCapacityScaler", "BorealisComputeEngine", "BorealisRuntime",
        "BorealisVolume",
      ], path: "Modules/Conformance"),
    .target(
      name: "BorealisFileStorageBackend", dependencies: ["BorealisCore", "BorealisStorageBackend", "CBorealisSystem"],
      path: "Plugins/FileStorageBackend"),
    .systemLibrary(
      name: "CBorealisSQLite", path: "Plugins/CSQLite", pkgConfig: "sqlite3",
      providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite3"])]),
    .target(
      name: "BorealisSQLite",
      dependencies: [
        "BorealisCore", "BorealisVolume", "BorealisRuntime", "BorealisFileSystem", "BorealisClusterModel",
        "BorealisComputeEngine", "CBorealisSQLite",
      ], path: "Plugins/SQLite"),
    .target(
      name: "BorealisGRDB",
      dependencies: [
        "BorealisSQLite", .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["GRDB"])),
      ], path: "Plugins/GRDB"),
    .systemLibrary(
      name: "CBorealisFUSE", path: "Plugins/CFUSE", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
    .target(
      name: "BorealisMount",
      dependencies: [
        "BorealisCore", "BorealisVolume", "BorealisRuntime", "BorealisFileSystem", "CBorealisFUSE",
      ], path: "Plugins/Mount"),
    .target(name: "BorealisSQLShell", dependencies: ["BorealisSQLite", "CBorealisSQLite"], path: "Plugins/SQLShell"),
    .target(
      name: "Borealis",
      dependencies: [
        "BorealisCore", "BorealisWire", "BorealisStorageBackend", "BorealisReplicationPolicy", "BorealisTransport",
        "BorealisCoordinator", "BorealisStorageNode", "BorealisVolume", "BorealisRuntime",
        "BorealisFileSystem", "BorealisFileStorageBackend", "BorealisSQLite", "BorealisClusterModel",
        "BorealisEndpointResolver", "BorealisCapacityScaler", "BorealisComputeEngine", "BorealisCluster",
      ], path: "Modules/Borealis"),
    .target(
      name: "BorealisControl",
      dependencies: ["Borealis", "BorealisRuntime", "BorealisSQLite", "BorealisSQLShell"], path: "Plugins/Control"),
    .target(
      name: "BorealisObservability",
      dependencies: [
        "BorealisCluster", "BorealisClusterModel", "BorealisVolume",
        .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Observability"])),
        .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Observability"])),
      ], path: "Plugins/Observability"),
    .target(
      name: "BorealisRouter",
      dependencies: [
        "BorealisCluster", "BorealisClusterModel", "BorealisComputeEngine", "BorealisCore", "BorealisEndpointResolver",
        .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Router"])),
        .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["Router"])),
      ], path: "Plugins/Router"),
    .systemLibrary(
      name: "CBorealisPQ", path: "Plugins/CPQ", pkgConfig: "libpq",
      providers: [.apt(["libpq-dev"]), .brew(["libpq"])]),
    .target(
      name: "BorealisPostgreSQL",
      dependencies: [
        "BorealisCore", "BorealisVolume", "BorealisRuntime", "BorealisFileSystem", "BorealisClusterModel",
        "BorealisComputeEngine", "CBorealisPQ", "CBorealisSystem",
      ], path: "Plugins/PostgreSQL"),
    .target(name: "BorealisDemo", dependencies: ["Borealis", "BorealisRuntime"], path: "Plugins/Demo"),
    .target(name: "CBorealisBench", path: "Plugins/CommandLineSupport"),
    .executableTarget(
      name: "BorealisCommandLine",
      dependencies: [
        "Borealis", "BorealisControl", "BorealisDemo", "BorealisMount", "BorealisPostgreSQL", "BorealisRouter",
        "BorealisRuntime", "BorealisSimulation",
        "BorealisSQLite",
        "BorealisSQLShell", "CBorealisBench",
        "CBorealisSQLite",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Plugins/CommandLine"),
    .executableTarget(name: "Quickstart", dependencies: ["Borealis"], path: "Examples/Quickstart"),
    .executableTarget(name: "ReadScaling", dependencies: ["Borealis"], path: "Examples/ReadScaling"),
    .executableTarget(name: "FailoverDrill", dependencies: ["Borealis"], path: "Examples/FailoverDrill"),
    .executableTarget(name: "SwapThePolicy", dependencies: ["Borealis"], path: "Examples/SwapThePolicy"),
    .executableTarget(name: "TestYourApp", dependencies: ["Borealis"], path: "Examples/TestYourApp"),
    .executableTarget(name: "ClusterDemo", dependencies: ["BorealisDemo"], path: "Examples/ClusterDemo"),
    .executableTarget(
      name: "PostgresFirstHour", dependencies: ["Borealis", "BorealisMount", "BorealisPostgreSQL", "BorealisRouter"],
      path: "Examples/PostgresFirstHour"),
    .executableTarget(name: "VolumeQuickstart", dependencies: ["Borealis"], path: "Examples/VolumeQuickstart"),
    .testTarget(name: "TidyTests", path: "Tests/TidyTests"),
    .testTarget(
      name: "CoreTests", dependencies: ["BorealisCore"], path: "Tests/CoreTests"),
    .testTarget(
      name: "WireTests", dependencies: ["BorealisCore", "BorealisWire"], path: "Tests/WireTests",
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "StorageBackendTests",
      dependencies: [
        "BorealisCore", "BorealisStorageBackend", "BorealisFileStorageBackend", "BorealisConformance",
      ], path: "Tests/StorageBackendTests"),
    .testTarget(
      name: "ReplicationPolicyTests",
      dependencies: ["BorealisCore", "BorealisWire", "BorealisReplicationPolicy", "BorealisConformance"],
      path: "Tests/ReplicationPolicyTests"),
    .testTarget(
      name: "StorageNodeTests",
      dependencies: ["BorealisCore", "BorealisWire", "BorealisStorageBackend", "BorealisStorageNode"],
      path: "Tests/StorageNodeTests"),
    .testTarget(
      name: "VolumeTests",
      dependencies: ["BorealisCore", "BorealisWire", "BorealisReplicationPolicy", "BorealisVolume"],
      path: "Tests/VolumeTests"),
    .target(name: "CBorealisAllocationCounter", path: "Tests/AllocationCounter"),
    .testTarget(
      name: "RuntimeTests",
      dependencies: ["Borealis", "BorealisRuntime", "BorealisWire", "CBorealisAllocationCounter"],
      path: "Tests/RuntimeTests"),
    .testTarget(
      name: "FileSystemTests",
      dependencies: ["Borealis", "BorealisFileSystem", "BorealisRuntime", "BorealisVolume", "BorealisCore"],
      path: "Tests/FileSystemTests"),
    .testTarget(
      name: "MountTests",
      dependencies: [
        "Borealis", "BorealisMount", "BorealisCommandLine", "BorealisFileSystem", "BorealisRuntime", "BorealisVolume",
        "BorealisCore",
      ], path: "Tests/MountTests"),
    // A program of its own, which the tests start: whoever serves a mount must not wait for it.
    .executableTarget(name: "CBorealisMountProbe", path: "Tests/MountProbe"),
    .testTarget(
      name: "SQLiteTests",
      dependencies: [
        "Borealis", "BorealisSQLite", "BorealisFileSystem", "BorealisRuntime", "BorealisVolume", "BorealisCore",
        "CBorealisSQLite",
      ], path: "Tests/SQLiteTests"),
    .testTarget(name: "ClusterTests", dependencies: ["Borealis"], path: "Tests/ClusterTests"),
    .testTarget(name: "ControlTests", dependencies: ["Borealis", "BorealisControl"], path: "Tests/ControlTests"),
    .testTarget(
      name: "ShellTests",
      dependencies: [
        "Borealis", "BorealisCommandLine", "BorealisSQLite", "BorealisSQLShell", "BorealisRuntime", "BorealisVolume",
        "BorealisCore", "CBorealisSQLite",
      ], path: "Tests/ShellTests"),
    .testTarget(
      name: "GRDBTests",
      dependencies: [
        "Borealis", "BorealisGRDB", "BorealisSQLite", "BorealisFileSystem", "BorealisRuntime", "BorealisVolume",
        "BorealisCore", .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["GRDB"])),
      ], path: "Tests/GRDBTests"),
    .testTarget(
      name: "ClusterSeamTests", dependencies: ["Borealis", "BorealisConformance"], path: "Tests/ClusterSeamTests"),
    .testTarget(
      name: "ObservabilityTests",
      dependencies: [
        "Borealis", "BorealisObservability",
        .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Observability"])),
        .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Observability"])),
        .product(name: "MetricsTestKit", package: "swift-metrics", condition: .when(traits: ["Observability"])),
      ], path: "Tests/ObservabilityTests"),
    .testTarget(
      name: "RouterTests",
      dependencies: [
        "Borealis", "BorealisCore", "BorealisRouter",
        .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Router"])),
        .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["Router"])),
      ], path: "Tests/RouterTests"),
    .testTarget(
      name: "PostgreSQLTests",
      dependencies: [
        "Borealis", "BorealisPostgreSQL", "BorealisMount", "BorealisCommandLine", "BorealisComputeEngine",
        "BorealisClusterModel", "BorealisRuntime",
        "BorealisFileSystem", "BorealisConformance", "BorealisCore",
      ], path: "Tests/PostgreSQLTests"),
    .testTarget(
      name: "SimulationTests",
      dependencies: [
        "BorealisCore", "BorealisSimulation", "BorealisReplicationPolicy", "BorealisStorageNode",
        "BorealisVolume",
      ], path: "Tests/SimulationTests"),
    .testTarget(
      name: "CrashTests", dependencies: ["BorealisCommandLine"], path: "Tests/CrashTests"),
  ],
  cLanguageStandard: .c11
)

for target in package.targets where target.type != .system && !target.name.hasPrefix("CBorealis") {
  target.swiftSettings = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  ]
}
