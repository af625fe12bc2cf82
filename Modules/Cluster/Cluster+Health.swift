import BorealisCapacityScaler
import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import BorealisVolume

// Watching instances, and starting again what has ended.
extension Cluster {
  /// Time between two looks at the sizes of instances.
  static let scalingMilliseconds: UInt64 = 1000
  /// Ticks after which a former writer that does not answer is ended, whether it was seen to be fenced or not.
  static let abandonedTicksMax = 50

  /// One round; false: the cluster has ended.
  func tick() async -> Bool {
    guard !isStopped else { return false }
    for i in members.indices where members[i].state == .available && !members[i].isBeingChecked {
      members[i].isBeingChecked = true
      let (name, generation, engine) = (members[i].identifier, members[i].generation, members[i].engine)
      let timeout = configuration.healthChecks.timeoutMilliseconds
      // Ends within the time limit (contract 5 of ComputeEngine).
      Task { [weak self] in
        var failure: EngineError?
        do throws(EngineError) { try await engine.checkHealth(timeoutMilliseconds: timeout) } catch { failure = error }
        await self?.checked(name, generation, failure)
      }
    }
    noteLag()
    endAbandoned()
    let now = SystemClock.now
    if now >= nextScaling {
      nextScaling = now.advanced(byMilliseconds: Cluster.scalingMilliseconds)
      await scale(now)
    }
    if !isChanging { restartFailed(now) }
    return !isStopped
  }

  private func checked(_ name: InstanceIdentifier, _ generation: UInt64, _ failure: EngineError?) {
    guard let i = members.firstIndex(where: { $0.identifier == name }), members[i].generation == generation else {
      return
    }
    members[i].isBeingChecked = false
    guard members[i].state == .available, !isStopped else { return }
    guard let failure else {
      members[i].lastSeen = SystemClock.wallClock
      members[i].silentChecks = 0
      return
    }
    switch failure.code {
    case .fenced:
      // Not by this cluster: a writer that it replaces is no longer available.
      isTaken = true
      directory.setAvailable(name, false)
      fail(name, failure.detail)
      log.add(.volumeTaken)
    case .terminated: fail(name, failure.detail)
    case .unresponsive, .cannotStart, .unusableStorage, .volume:
      members[i].silentChecks += 1
      if members[i].silentChecks >= configuration.healthChecks.failuresMax { fail(name, failure.detail) }
    }
  }

  /// An instance has failed: it leaves its endpoints at once.
  func fail(_ name: InstanceIdentifier, _ reason: String) {
    guard let i = members.firstIndex(where: { $0.identifier == name }), members[i].state != .failed else { return }
    members[i].state = .failed
    members[i].generation += 1
    members[i].isBeingChecked = false
    members[i].retryAt = .zero
    directory.setAvailable(name, false)
    log.add(.instanceFailed(name, members[i].role, reason: reason))
    if members[i].role == .writer, !isChanging, !isTaken { Task { [weak self] in try? await self?.replaceWriter() } }
  }

  private func restartFailed(_ now: Instant) {
    if let writer = members.first(where: { $0.role == .writer }), writer.state == .failed {
      // Readers can be started when there is a writer to follow.
      if !isTaken, now >= nextFailover { Task { [weak self] in try? await self?.replaceWriter() } }
      return
    }
    for member in members where member.state == .failed && !member.isHeld && now >= member.retryAt {
      let name = member.identifier
      Task { [weak self] in await self?.restart(name) }
      // One at a time.
      return
    }
  }

  /// Starts a reader that has failed again, under its name.
  private func restart(_ name: InstanceIdentifier) async {
    _ = try? await alone { () async throws(ClusterError) in
      guard let member = members.first(where: { $0.identifier == name }), member.state == .failed, !member.isHeld,
        member.role == .reader
      else { return }
      if member.silentChecks == 0 { member.engine.terminate() }
      do throws(ClusterError) {
        let storage = try await attachReader(member.capacity)
        let running = try await startEngine(name, member.zone, member.capacity, storage)
        member.engine.terminate()
        change(name) { member in
          member.engine = running
          member.storage = storage
          member.state = .available
          member.generation += 1
          member.silentChecks = 0
          member.retries = 0
          member.lastSeen = SystemClock.wallClock
          member.caughtUpAt = SystemClock.wallClock
        }
        publish(name)
        log.add(.instanceStarted(name, .reader))
      } catch {
        change(name) { member in
          // Doubling from 0.1 to 5 s.
          member.retryAt = SystemClock.now.advanced(byMilliseconds: min(5000, 100 << min(6, member.retries)))
          member.retries += 1
        }
        log.add(.instanceRestartFailed(name, reason: "\(error)"))
      }
    }
  }

  /// Ends former writers that were out of reach, once they cannot do harm or have had their time.
  private func endAbandoned() {
    for i in abandoned.indices { abandoned[i].ticks += 1 }
    for entry in abandoned where entry.ticks > Cluster.abandonedTicksMax { entry.engine.terminate() }
    abandoned.removeAll { $0.ticks > Cluster.abandonedTicksMax }
  }

  // MARK: Sizes and lag

  /// Loads of all instances, the writer first.
  func currentLoad(_ now: Instant) -> ClusterLoad {
    let sorted = members.filter { $0.role == .writer } + members.filter { $0.role == .reader }
    return ClusterLoad(
      instances: sorted.map { member in
        let statistics = member.engine.statistics
        return InstanceLoad(
          instance: member.identifier, role: member.role, tier: member.tier, capacity: member.capacity,
          connections: statistics.connections,
          idleNanoseconds: statistics.lastUse == 0 ? 0 : now.nanoseconds &- min(now.nanoseconds, statistics.lastUse))
      })
  }
  private func scale(_ now: Instant) async {
    let load = currentLoad(now)
    for instance in load.instances {
      guard let i = members.firstIndex(where: { $0.identifier == instance.instance }), members[i].state == .available
      else { continue }
      let capacity = members[i].scaler.capacity(for: instance, in: load, now: now)
      guard capacity != members[i].capacity else { continue }
      members[i].capacity = capacity
      log.add(.capacityChanged(instance.instance, capacity))
      await members[i].engine.resize(to: capacity)
    }
  }
  private func noteLag() {
    guard let vdl = volume?.vdl else { return }
    let now = SystemClock.wallClock
    for i in members.indices {
      guard case .reader(let reader, _) = members[i].storage, reader.appliedVDL >= vdl else { continue }
      members[i].caughtUpAt = now
    }
  }
  /// How far a reader is behind its writer, in milliseconds; nil for the writer.
  ///
  /// The age of the last mini-transaction that it shows, as long as it does not show all; never more than the time since it
  /// was seen to show all.
  func lagMilliseconds(_ member: Member, vdl: LSN) -> Double? {
    guard case .reader(let reader, _) = member.storage else { return nil }
    guard reader.appliedVDL < vdl else { return 0 }
    let now = SystemClock.wallClock
    let statistics = reader.statistics
    let age = now &- min(now, max(statistics.lastTimestamp, member.caughtUpAt))
    return Double(age) / 1_000_000
  }
}
