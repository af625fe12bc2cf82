import BorealisCore
import BorealisStorageBackend

/// The background job under way: what must be done when its outcome is known.
struct BackgroundJob: Sendable {
  var kind: BackgroundOutcome.Kind
  /// Facts that it makes durable: the first so many that wait.
  var facts = 0
  var sealed: SealedChunk?
  var retired: [UInt64] = []
  /// Facts that become durable with the retirement.
  var retiringFacts: [JournalFact] = []
}

extension NodeStore {
  /// Pages copied by one step of the journal's compaction: half a megabyte of entries.
  private static var pagesPerStep: Int { 16384 }

  private func isWaiting(_ kind: BackgroundOutcome.Kind) -> Bool { waiting >> UInt16(kind.rawValue) & 1 == 1 }

  /// The kind of work to do next.
  private var nextKind: BackgroundOutcome.Kind? {
    guard job == nil else { return nil }
    if journal.isFrameInDoubt || journal.isHeaderInDoubt {
      // Nothing else may touch the disk: what it relies on may or may not be durable.
      return isWaiting(.repair) ? nil : .repair
    }
    func can(_ kind: BackgroundOutcome.Kind, _ wanted: Bool) -> Bool { wanted && !isWaiting(kind) }
    if can(.facts, !facts.isEmpty) { return .facts }
    if can(.reserve, log.wantsReserve) { return .reserve }
    let compacts = can(
      .compaction, journal.wantsCompaction(limit: configuration.journalLimit, pages: pages.table.slotCount))
    // Turn about, so that neither starves the other.
    if compacts, lastKind != .compaction { return .compaction }
    if can(.seal, log.chunkToJournal != nil || log.chunkToSeal != nil) { return .seal }
    if can(.pages, pages.hasStaged || !retires.isEmpty) { return .pages }
    if compacts { return .compaction }
    if can(.release, pages.wantsRelease) { return .release }
    return nil
  }

  /// Whether `nextBackgroundJob` has something to do.
  package var hasBackgroundWork: Bool { nextKind != nil }

  /// The next job, by urgency: facts, room for the log, sealing, pages, compaction, giving space back.
  ///
  /// - Parameter retiring: facts as they are once the staged chunks are retired; they go into the same journal append,
  ///   and nowhere if this is not the job that retires.
  package mutating func nextBackgroundJob(retiring: [JournalFact] = []) -> [StorageOperation]? {
    guard let kind = nextKind else { return nil }
    var new = BackgroundJob(kind: kind)
    var operations: [StorageOperation] = []
    switch kind {
    case .facts, .repair:
      new.facts = facts.count
      operations = journal.beginAppend(facts.map { .fact($0) })
    case .reserve: operations = log.beginReserve()
    case .seal:
      // In two jobs: the index, and once a flush has made that durable the journal entry.
      if let i = log.chunkToJournal {
        let entry = log.sealedEntry(i)
        new.sealed = entry
        operations = journal.beginAppend([.chunkSealed(entry)])
      } else if let i = log.chunkToSeal {
        operations = log.beginIndexWrite(i)
      }
    case .pages:
      let (writes, entries) = pages.beginJob()
      new.retired = retires
      retires.removeAll(keepingCapacity: true)
      if !new.retired.isEmpty { new.retiringFacts = retiring }
      let after = new.retired.map { JournalEntry.chunkRetired($0) } + new.retiringFacts.map { JournalEntry.fact($0) }
      operations = writes + journal.beginAppend(entries + after)
    case .compaction: operations = journal.beginCompactionStep(pages.table, pagesPerStep: Self.pagesPerStep)
    case .release:
      operations = pages.beginRelease()
      if operations.isEmpty { return nil }
    }
    job = new
    lastKind = kind
    return operations
  }

  /// Ends the job.
  package mutating func endBackgroundJob(succeeded: Bool) -> BackgroundOutcome {
    guard let done = job else { preconditionFailure("no background job is under way") }
    job = nil
    var outcome = BackgroundOutcome(kind: done.kind, succeeded: succeeded)
    if !succeeded { waiting |= 1 << UInt16(done.kind.rawValue) }
    switch done.kind {
    case .facts, .repair:
      journal.endAppend(succeeded: succeeded)
      if succeeded { settle(done.facts) }
    case .reserve: log.endReserve()
    case .seal:
      guard let chunk = done.sealed else {
        log.endIndexWrite(succeeded: succeeded)
        break
      }
      journal.endAppend(succeeded: succeeded)
      if succeeded {
        journal.state.seal(chunk)
        log.endSeal(chunk.sequence)
        outcome.sealed = chunk.sequence
      }
    case .pages:
      journal.endAppend(succeeded: succeeded)
      outcome.pages = pages.endJob(succeeded: succeeded)
      if succeeded {
        for sequence in done.retired {
          journal.state.retire(sequence)
          log.endRetire(sequence)
        }
        for fact in done.retiringFacts { journal.state.apply(fact) }
        outcome.retired = done.retired
      } else {
        // They may count on pages of the job that failed.
        retires.removeAll()
      }
    case .compaction: journal.endCompactionStep(succeeded: succeeded)
    case .release: break
    }
    return outcome
  }

  private mutating func settle(_ count: Int) {
    for fact in facts[..<count] {
      journal.state.apply(fact)
      if case .truncation(let list) = fact { log.truncation = list }
    }
    facts.removeFirst(count)
    durableTicket += UInt64(count)
  }
}
