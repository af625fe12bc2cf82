// The umbrella: `import Borealis` gives the volume, its seams and the parts that need nothing from outside.
@_exported public import BorealisCapacityScaler
@_exported public import BorealisCluster
@_exported public import BorealisClusterModel
@_exported public import BorealisComputeEngine
@_exported public import BorealisCoordinator
@_exported public import BorealisCore
@_exported public import BorealisEndpointResolver
@_exported public import BorealisFileStorageBackend
@_exported public import BorealisFileSystem
@_exported public import BorealisReplicationPolicy
@_exported public import BorealisRuntime
@_exported public import BorealisSQLite
@_exported public import BorealisStorageBackend
@_exported public import BorealisStorageNode
@_exported public import BorealisTransport
@_exported public import BorealisVolume
@_exported public import BorealisWire
