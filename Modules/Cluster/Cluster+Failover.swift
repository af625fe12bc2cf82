import BorealisCore
public import BorealisClusterModel
import BorealisComputeEngine
import BorealisRuntime
import BorealisVolume

extension Cluster {
  /// Moves the writer's role to a reader: transactions under way end first, as far as they do in time.
  ///
  /// - Parameter target: who shall write; nil: the one that a failure would promote.
  /// - Returns: what happened, and when.
  /// - Throws: `.refused` where there is no reader that could take over, `.notFound`.
  @discardableResult
  public func failover(to target: InstanceIdentifier? = nil) async throws(ClusterError) -> FailoverReport {
    let now = SystemClock.wallClock
    return try await alone { () async throws(ClusterError) in
      if let target {
        let i = try index(of: target)
        guard members[i].role == .reader else { throw .refused("'\(target)' is the writer already") }
        guard members[i].state == .available else { throw .refused("'\(target)' is \(members[i].state.rawValue)") }
      } else if candidates.isEmpty {
        throw .refused("there is no reader that could take over; add one first")
      }
      return try await moveWriter(.planned, to: target, failedAt: now, detectedAt: now)
    }
  }

  /// Replaces a writer that has failed, unless that was done meanwhile.
  func replaceWriter() async throws(ClusterError) {
    try await alone { () async throws(ClusterError) in
      guard let old = members.first(where: { $0.role == .writer }), old.state == .failed, !isTaken else { return }
      let cause: FailoverReport.Cause =
        old.isHeld ? .zoneLost : old.silentChecks > 0 ? .writerUnresponsive : .writerEnded
      _ = try await moveWriter(cause, to: nil, failedAt: old.lastSeen, detectedAt: SystemClock.wallClock)
    }
  }

  /// Readers that could be promoted, the first one first.
  var candidates: [InstanceIdentifier] {
    let able = members.filter { $0.role == .reader && $0.state == .available }
    return FailoverChoice.order(
      able.map { FailoverChoice.Candidate($0.identifier, tier: $0.tier, capacity: $0.capacity) }
    ).map(\.instance)
  }

  private func moveWriter(
    _ cause: FailoverReport.Cause, to target: InstanceIdentifier?, failedAt: UInt64, detectedAt: UInt64
  ) async throws(ClusterError) -> FailoverReport {
    guard let old = members.first(where: { $0.role == .writer }) else { throw .refused("the cluster has no writer") }
    let oldEpoch = lastEpoch
    // First: who hears of it, as a router does, finds the endpoints changed.
    directory.setAvailable(old.identifier, false)
    log.add(.failoverBegan(cause, from: old.identifier))
    if cause == .planned {
      change(old.identifier) { $0.state = .changing }
      _ = await old.engine.drain(timeoutMilliseconds: configuration.healthChecks.drainMilliseconds)
    } else if old.silentChecks > 0 {
      // It may still run, and the cluster cannot reach it: the epoch alone keeps it from committing.
      abandoned.append((old.engine, 0))
    } else {
      old.engine.terminate()
    }
    var tried: [InstanceIdentifier] = []
    while true {
      let next = target ?? candidates.first { !tried.contains($0) } ?? old.identifier
      do throws(ClusterError) {
        let fencedAt = try await promote(next, isRestart: next == old.identifier)
        var report = FailoverReport(
          cause: cause, oldWriter: old.identifier.name, newWriter: next.name, oldEpoch: oldEpoch, newEpoch: lastEpoch,
          failedAt: failedAt, detectedAt: detectedAt, fencedAt: fencedAt, promotedAt: SystemClock.wallClock,
          endpointMovedAt: 0)
        if next != old.identifier {
          change(old.identifier) { $0.role = .reader }
          publish(old.identifier)
        }
        publish(next)
        report.endpointMovedAt = SystemClock.wallClock
        failovers.append(report)
        log.add(.failoverCompleted(report))
        await followNewWriter(former: old.identifier)
        return report
      } catch {
        if isStopped { throw .stopped }
        tried.append(next)
        // An engine that failed at it: the next one may be able to. Storage that failed would fail for all.
        if case .engine = error, next != old.identifier, target == nil { continue }
        log.add(.failoverStalled(reason: "\(error)"))
        change(old.identifier) { $0.state = .failed }
        nextFailover = SystemClock.now.advanced(byMilliseconds: 500)
        throw error
      }
    }
  }

  /// Makes an instance the writer; the time at which the volume was its own, in nanoseconds since 1970.
  private func promote(_ name: InstanceIdentifier, isRestart: Bool) async throws(ClusterError) -> UInt64 {
    let i = try index(of: name)
    let (running, zone, capacity) = (members[i].engine, members[i].zone, members[i].capacity)
    change(name) { member in
      member.state = isRestart ? .failed : .changing
      member.generation += 1
    }
    if !isRestart { directory.setAvailable(name, false) }
    let new = try await openVolume(cacheOf: capacity)
    let fencedAt = SystemClock.wallClock
    adopt(new)
    var promoted = running
    do throws(ClusterError) {
      if isRestart {
        promoted = try await startEngine(name, zone, capacity, .writer(new))
      } else {
        do throws(EngineError) { try await running.attach(.writer(new)) } catch { throw .engine(error) }
      }
    } catch {
      new.close()
      volume = nil
      fail(name, "it could not be promoted: \(error)")
      throw error
    }
    let engine = promoted
    change(name) { member in
      member.engine = engine
      member.role = .writer
      member.state = .available
      member.storage = .writer(new)
      member.generation += 1
      member.silentChecks = 0
      member.isBeingChecked = false
      member.lastSeen = SystemClock.wallClock
    }
    return fencedAt
  }

  /// Has the readers follow the writer of now; a former writer that still works becomes one of them.
  private func followNewWriter(former: InstanceIdentifier) async {
    for member in members where member.role == .reader && (member.state == .available || member.identifier == former) {
      guard !isStopped else { return }
      guard member.state != .failed else { continue }
      await reattach(member.identifier)
    }
  }
  /// Gives a running reader the stream of the writer of now; where that fails it counts as failed.
  private func reattach(_ name: InstanceIdentifier) async {
    guard let member = members.first(where: { $0.identifier == name }) else { return }
    do throws(ClusterError) {
      let storage = try await attachReader(member.capacity)
      do throws(EngineError) { try await member.engine.attach(storage) } catch { throw .engine(error) }
      change(name) { member in
        member.storage = storage
        member.state = .available
        member.generation += 1
        member.isBeingChecked = false
        member.silentChecks = 0
      }
      publish(name)
      log.add(.readerFollows(name))
    } catch { fail(name, "it could not follow the new writer: \(error)") }
  }

  /// Changes a member, where it still is one.
  func change(_ name: InstanceIdentifier, _ body: (inout Member) -> Void) {
    if let i = members.firstIndex(where: { $0.identifier == name }) { body(&members[i]) }
  }
}
