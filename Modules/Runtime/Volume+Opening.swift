import BorealisCore
import BorealisCoordinator
import BorealisReplicationPolicy
import BorealisStorageNode
import BorealisTransport
import BorealisVolume
import BorealisWire

// Creating and opening.

extension Volume {
  /// Creates the volume on `fleet` and opens it.
  ///
  /// - Throws: `.conflict` where the volume exists, `.unavailable` where no write quorum answered in time,
  ///   `.invalidArgument` for options outside their ranges.
  public static func create(
    on fleet: StorageFleet, options: VolumeOptions = VolumeOptions(), timeoutMilliseconds: UInt64 = 30_000
  ) throws(VolumeError) -> Volume {
    let pageSize = fleet.configuration.pageSize
    guard pageSize >= 512, pageSize <= 65536, pageSize.nonzeroBitCount == 1 else {
      throw VolumeError(
        .invalidArgument, operation: "create", detail: "the nodes' pageSize must be a power of two in 512...65536")
    }
    let groupPages = Int(clamping: options.groupBytes.value / UInt64(pageSize))
    guard options.extentPages > 0, groupPages >= options.extentPages else {
      throw VolumeError(.invalidArgument, operation: "create", detail: "groupBytes must hold at least one extent")
    }
    let metadata = VolumeMetadata(
      volume: fleet.volume, epoch: .zero, pageSize: pageSize, extentPages: options.extentPages,
      groupPages: groupPages, policy: options.policy.name, allocationLimit: options.allocationLimit)
    let epoch: VolumeEpoch
    let first: GroupConfiguration
    do {
      try options.policy.validate()
      first = try options.policy.firstConfiguration(
        group: ProtectionGroupID(0), over: fleet.topology, geometry: 1, proposedBy: VolumeEpoch(1))
    } catch {
      throw VolumeError(.invalidArgument, operation: "create", detail: "\(error)")
    }
    do {
      try fleet.coordinator.create(metadata)
      epoch = try fleet.coordinator.advanceEpoch(from: .zero)
    } catch {
      throw VolumeError(error.code == .conflict ? .conflict : .unavailable, operation: "create", detail: "\(error)")
    }
    let instance = PeerID.instance(epoch.value)
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    let opening = VolumeOpening(
      VolumeCreation(
        volume: fleet.volume, epoch: epoch, instance: instance, groups: [first], now: SystemClock.now),
      transport: fleet.transport)
    let opened = try opening.run(as: instance, timeoutMilliseconds: timeoutMilliseconds)
    return try Volume(
      metadata: metadata, opened: opened, configuration: writerConfiguration(metadata, options, fleet),
      instance: instance, fleet: fleet, deadline: deadline)
  }

  /// Opens an existing volume and becomes its one writer: fences the old one, recovers (protocol §5.6), replays nothing.
  ///
  /// - Parameters:
  ///   - options: only `policy`, `cacheBytes` and `repair` are used; the shape is the volume's own.
  ///   - lost: nodes whose disks are gone for good and never come back. Needed only after the loss of a zone and one copy
  ///     more, where no write quorum is left: with that word the volume goes on with the three copies that are. Said of a
  ///     node that is not lost, it can lose what was committed there.
  /// - Throws: `.notFound` where there is no volume, `.unavailable` where no read quorum answered in time (the error
  ///   says which group waits for which nodes), `.fenced` where somebody else opened it meanwhile.
  public static func open(
    on fleet: StorageFleet, options: VolumeOptions = VolumeOptions(), lost: [NodeID] = [],
    timeoutMilliseconds: UInt64 = 30_000
  ) throws(VolumeError) -> Volume {
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    for node in lost where fleet.host(node) != nil {
      throw VolumeError(
        .invalidArgument, operation: "open", detail: "\(node) is said to be lost for good, but it runs; stop it first")
    }
    var metadata: VolumeMetadata
    var epoch: VolumeEpoch
    while true {
      do throws(CoordinatorError) {
        guard let found = try fleet.coordinator.load() else {
          throw CoordinatorError(.notFound, "no volume was created here")
        }
        metadata = found
        epoch = try fleet.coordinator.advanceEpoch(from: found.epoch)
        break
      } catch {
        if error.code == .conflict, SystemClock.now < deadline { continue }
        throw VolumeError(error.code == .notFound ? .notFound : .unavailable, operation: "open", detail: "\(error)")
      }
    }
    guard options.policy.name == metadata.policy else {
      throw VolumeError(
        .invalidArgument, operation: "open",
        detail: "the volume was created with policy '\(metadata.policy)', not '\(options.policy.name)'")
    }
    guard fleet.configuration.pageSize == metadata.pageSize else {
      throw VolumeError(
        .invalidArgument, operation: "open",
        detail: "the volume has pages of \(metadata.pageSize) bytes, the nodes \(fleet.configuration.pageSize)")
    }
    let instance = PeerID.instance(epoch.value)
    let opening = VolumeOpening(
      VolumeRecovery(
        volume: fleet.volume, epoch: epoch, instance: instance, nodes: fleet.topology.map(\.node),
        allocationLimit: metadata.allocationLimit,
        rebuild: lost.isEmpty ? nil : VolumeRecovery.Rebuild(lost: lost, policy: options.policy),
        now: SystemClock.now), transport: fleet.transport)
    let opened = try opening.run(as: instance, timeoutMilliseconds: timeoutMilliseconds)
    metadata.epoch = epoch
    return try Volume(
      metadata: metadata, opened: opened, configuration: writerConfiguration(metadata, options, fleet),
      instance: instance, fleet: fleet, deadline: deadline)
  }

  private static func writerConfiguration(
    _ metadata: VolumeMetadata, _ options: VolumeOptions, _ fleet: StorageFleet
  ) -> VolumeWriterConfiguration {
    var configuration = VolumeWriterConfiguration()
    configuration.pageSize = metadata.pageSize
    configuration.extentPages = UInt64(metadata.extentPages)
    configuration.firstExtentPages = UInt64(max(0, options.firstExtentPages))
    configuration.groupPages = UInt64(metadata.groupPages)
    configuration.cacheBytes = Int(clamping: options.cacheBytes.value)
    configuration.allocationLimit = metadata.allocationLimit
    configuration.transactionBytesMax = min(
      configuration.transactionBytesMax, Int(clamping: fleet.configuration.logLimit / 2))
    configuration.sendWindowBytes = min(configuration.sendWindowBytes, fleet.configuration.stagedLimit / 2)
    configuration.readAheadPages = ReadAheadThread.bytes / metadata.pageSize
    configuration.policy = options.policy
    configuration.topology = fleet.topology
    configuration.repair = options.repair
    return configuration
  }
}
