import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire

extension StoreWorld {
  // MARK: Crash

  /// Loses power, opens again, and checks: everything durable is there, nothing was invented.
  func crash(_ kind: StorageCrash) throws {
    crashes += 1
    disk.crash(using: &generator, kind)
    disk.heal()
    let before = present
    store = try NodeStore(node: NodeID(5), volume: VolumeID(77), backend: disk, configuration: configuration)
    if store.opening.wasFormatted, !before.isEmpty { problem("formatted anew") }
    if !store.opening.damagedLog.isEmpty { problem("damage after a crash: \(store.opening.damagedLog)") }
    let found = shownModel()
    if found != durable {
      if let match = attempted.first(where: { $0 == found }) {
        for sequence in match.retired.subtracting(durable.retired) { retire(sequence) }
        durable = match
      } else {
        problem("journal or pages are neither before nor after: \(difference(found, durable))")
      }
    }
    attempted.removeAll()
    queuedFacts.removeAll()
    stagedSteps.removeAll()
    stagedRetires.removeAll()
    stagedKeys.removeAll()
    var all: [RecordKey: UInt64] = [:]
    for entry in everything() { all[RecordKey(group: entry.group, lsn: entry.lsn)] = entry.position }
    for key in present.keys where all[key] == nil { problem("lost \(key)") }
    for key in all.keys where issued[key] == nil { problem("invented \(key)") }
    present = all
    tickets.removeAll()
    check()
  }
  private func retire(_ sequence: UInt64) {
    for (key, position) in retiredContents[sequence] ?? [:] where present[key] == position { present[key] = nil }
    retirements += 1
  }

  private func everything() -> [RecordEntry] {
    var entries: [RecordEntry] = []
    for group in Self.groups {
      do { try store.log.records(of: group, after: .zero, through: .max, limit: .max, into: &entries) } catch {
        problem("\(error)")
      }
    }
    return entries
  }

  /// What journal and pages show.
  private func shownModel() -> DurableModel {
    var model = DurableModel()
    model.epoch = store.state.volumeEpoch
    for facts in store.state.segments { model.segments[facts.group] = facts }
    // Retirement shows in what is sealed only; take the model's word where it agrees.
    let sealed = Set(store.log.sealedChunks.map(\.sequence))
    for candidate in [durable] + attempted where candidate.retired.isDisjoint(with: sealed) {
      model.retired.formUnion(candidate.retired)
    }
    var image = [UInt8](repeating: 0, count: Self.pageSize)
    for group in Self.groups {
      for object in 0..<UInt64(2) {
        for index in 0..<UInt64(4) {
          let key = PageKey(group: group, page: PageID(object: ObjectID(object), index: index))
          var versions: [LSN: [UInt8]?] = [:]
          var bound = LSN.max
          while let lsn = store.pages.version(group, key.page, atOrBelow: bound) {
            do {
              let stored = try image.withUnsafeMutableBytes {
                try store.pages.read(group, key.page, atOrBelow: bound, into: $0)
              }
              if stored?.lsn != lsn { problem("\(key) read \(stored.debugDescription) not \(lsn)") }
              versions[lsn] = stored?.isAbsent == true ? .some(nil) : image
            } catch { problem("\(key) at \(lsn): \(error)") }
            if lsn == .zero { break }
            bound = LSN(lsn.value - 1)
          }
          if !versions.isEmpty { model.pages[key] = versions }
        }
      }
    }
    return model
  }
  private func difference(_ found: DurableModel, _ wanted: DurableModel) -> String {
    var text = ""
    if found.epoch != wanted.epoch { text += "epoch \(found.epoch) for \(wanted.epoch); " }
    if found.segments != wanted.segments { text += "segments; " }
    if found.retired != wanted.retired { text += "retired \(found.retired) for \(wanted.retired); " }
    for key in Set(found.pages.keys).union(wanted.pages.keys) where found.pages[key] != wanted.pages[key] {
      let (a, b) = (found.pages[key] ?? [:], wanted.pages[key] ?? [:])
      text += "\(key.page) of \(key.group): \(a.keys.sorted()) for \(b.keys.sorted()); "
    }
    return text
  }

  // MARK: Steady state

  /// Compares every look-up with the model.
  func check() {
    problems += store.checkInvariants()
    let found = shownModel()
    if found != durable { problem("model differs: \(difference(found, durable))") }
    do {
      for group in Self.groups {
        let wanted = present.keys.filter { $0.group == group }.sorted()
        var entries: [RecordEntry] = []
        let after = LSN(generator.below(nextLSN))
        let through = after.advanced(by: generator.below(200))
        let limit = 1 + generator.index(30)
        try store.log.records(of: group, after: after, through: through, limit: limit, into: &entries)
        let slice = wanted.filter { $0.lsn > after && $0.lsn <= through }.prefix(limit)
        if entries.map(\.lsn) != slice.map(\.lsn) { problem("range (\(after), \(through)] of \(group)") }
        for entry in entries where present[RecordKey(group: group, lsn: entry.lsn)] != entry.position {
          problem("\(entry.lsn) stands at \(entry.position)")
        }
        entries.removeAll()
        try store.log.records(of: group, after: .zero, through: .max, limit: .max, into: &entries)
        if entries.map(\.lsn) != wanted.map(\.lsn) {
          problem("all of \(group): \(entries.count) for \(wanted.count)")
        }
        var bytes: [UInt8] = []
        let half = entries[(entries.count / 2)...]
        if !half.isEmpty {
          let count = try store.log.read(half, limit: 4096, into: &bytes)
          if bytes != half.prefix(count).flatMap({ issued[RecordKey(group: group, lsn: $0.lsn)] ?? [] }) {
            problem("batch of \(count) reads wrong")
          }
        }
        for entry in entries where generator.chance(1, in: 4) {
          bytes.removeAll()
          try store.log.read(entry, into: &bytes)
          if bytes != issued[RecordKey(group: group, lsn: entry.lsn)] { problem("\(entry.lsn) reads wrong") }
        }
        let page = page()
        entries.removeAll()
        try store.log.records(of: group, page: page, after: after, through: .max, into: &entries)
        let ofPage = wanted.filter { $0.lsn > after && headers[$0]?.page == page }
        if entries.map(\.lsn) != ofPage.map(\.lsn) { problem("page \(page) of \(group) above \(after)") }
        let last = try store.log.last(of: group, atOrBelow: through)
        if last?.lsn != wanted.last(where: { $0.lsn <= through })?.lsn { problem("last at or below \(through)") }
        for _ in 0..<5 {
          let lsn = LSN(generator.below(nextLSN + 3))
          if try store.log.contains(group, lsn) != (present[RecordKey(group: group, lsn: lsn)] != nil) {
            problem("contains \(group) \(lsn)")
          }
        }
      }
    } catch { problem("look-up failed: \(error)") }
  }

  // MARK: Steps

  /// Does one random thing.
  ///
  /// Faults: whether calls fail now and then, and crashes.
  func step(faults: Bool) throws {
    steps += 1
    let crashChance: UInt64 = faults && generator.chance(1, in: 12) ? 4 : 0
    if faults, generator.chance(1, in: 25) {
      let operation: StorageOperationKind = [.write, .sync, .reserve, .truncate][generator.index(4)]
      let effect: StorageFault.Effect =
        operation == .write && generator.chance(1, in: 2)
        ? .tear(sectors: nil) : operation == .sync && generator.chance(1, in: 2) ? .failAndForget : .fail(.injected)
      disk.inject(
        StorageFault("step", file: nil, operation: operation, skipping: generator.index(3), times: 1, effect: effect))
    }
    var isAlive = true
    switch generator.index(10) {
    case 0...2: stage()
    case 3...4: isAlive = flush(crashChance: crashChance)
    case 5...6: isAlive = background(crashChance: crashChance)
    case 7: store.retryBackground()
    default: stageBackground()
    }
    if !isAlive || (faults && generator.chance(1, in: 200)) {
      try crash([.random, .random, .dropAll, .keepAll][generator.index(4)])
    } else if generator.chance(1, in: 30) {
      check()
    }
  }
}
