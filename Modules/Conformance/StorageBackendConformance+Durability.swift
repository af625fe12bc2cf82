import BorealisCore
import BorealisStorageBackend

extension StorageBackendConformance {
  /// Contract 2 to 4: what is there after a loss of power, and after a failure.
  static let durability: [Check] = [
    Check(name: "2 synced writes survive loss of power", needs: [.losePower], body: syncedWritesSurvive),
    Check(name: "2 synced sizes, releases and truncations survive", needs: [.losePower], body: syncedShapesSurvive),
    Check(name: "2 a sync leaves nothing of its file behind", needs: [.losePower], body: syncCoversTheFile),
    Check(name: "3 unsynced sectors are old or new", needs: [.losePower], body: sectorsAreOldOrNew),
    Check(name: "3 unsynced writes leave synced sectors alone", needs: [.losePower], body: syncedSectorsStay),
    Check(name: "4 a failed sync throws", needs: [.failSyncs], body: failedSyncThrows),
    Check(
      name: "4 what a failed sync lost is durable once written and synced again", needs: [.failSyncs, .losePower],
      body: rewrittenAfterFailedSync),
  ]
}

private func syncedWritesSurvive(_ trial: StorageTrial) throws {
  var backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 21)
  var model = [UInt8](repeating: 0, count: 60_000)
  for round in 0..<12 {
    for _ in 0..<4 {
      let offset = generator.index(50_000)
      let bytes = generator.bytes(1 + generator.index(8_000))
      try backend.put(.log, at: UInt64(offset), bytes)
      overwrite(&model, at: offset, bytes)
    }
    try backend.sync(.log)
    backend = try trial.place.losePower(seed: UInt64(round))
    try trial.expect(backend, .log, at: 0, is: model, "synced, power lost the \(round + 1). time")
  }
}

private func syncedShapesSurvive(_ trial: StorageTrial) throws {
  var backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 22)
  for round in 0..<8 {
    let bytes = generator.bytes(100_000)
    try backend.put(.pages, at: 0, bytes)
    try backend.put(.journalA, at: 0, bytes)
    try backend.truncate(.journalB, to: ByteCount(0))
    try backend.sync(.pages)
    try backend.sync(.journalA)
    try backend.sync(.journalB)
    try backend.release(.pages, from: 10_000, length: ByteCount(50_000))
    try backend.truncate(.journalA, to: ByteCount(1_234))
    try backend.reserve(.journalB, upTo: ByteCount(77_777))
    try backend.sync(.pages)
    try backend.sync(.journalA)
    try backend.sync(.journalB)
    backend = try trial.place.losePower(seed: UInt64(round))
    try trial.expectZeros(backend, .pages, at: 10_000, count: 50_000, "released and synced")
    try trial.expect(backend, .pages, at: 0, is: Array(bytes[..<10_000]), "before the release")
    try trial.expect(backend, .pages, at: 60_000, is: Array(bytes[60_000...]), "behind the release")
    try trial.expect(try backend.size(of: .journalA).value == 1_234, "a synced truncation came undone")
    try trial.expectZeros(backend, .journalA, at: 1_234, count: 5_000, "cut and synced")
    try trial.expect(try backend.size(of: .journalB).value == 77_777, "a synced reservation came undone")
  }
}

/// Many small writes, far apart, then one sync: a backend that flushes only what it remembers loses some.
private func syncCoversTheFile(_ trial: StorageTrial) throws {
  var backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 23)
  var writes: [(UInt64, [UInt8])] = []
  for index in UInt64(0)..<300 {
    let bytes = generator.bytes(1 + generator.index(600))
    let offset = index * 10_007
    try backend.put(.log, at: offset, bytes)
    writes.append((offset, bytes))
  }
  try backend.sync(.log)
  backend = try trial.place.losePower(seed: 23)
  for (offset, bytes) in writes { try trial.expect(backend, .log, at: offset, is: bytes, "one of many, synced") }
}

/// Random writes and syncs; after each loss of power every sector must be one of the versions it has had since it was
/// last synced, and the file's end between the synced and the last one.
private func sectorsAreOldOrNew(_ trial: StorageTrial) throws {
  let sector = 512
  let count = 96
  var backend = try trial.place.open()
  for seed in UInt64(1)...12 {
    var generator = DeterministicGenerator(seed: seed)
    let start = try backend.bytes(.log, at: 0, count: count * sector)
    var now = start
    var versions = (0..<count).map { [Array(start[$0 * sector..<($0 + 1) * sector])] }
    var size = try backend.size(of: .log).value
    var syncedSize = size
    for _ in 0..<generator.index(30) {
      if generator.chance(1, in: 5) {
        try backend.sync(.log)
        versions = versions.map { [$0[$0.count - 1]] }
        syncedSize = size
        continue
      }
      let offset = generator.index(count * sector - 6_000)
      let bytes = generator.bytes(1 + generator.index(6_000))
      try backend.put(.log, at: UInt64(offset), bytes)
      overwrite(&now, at: offset, bytes)
      size = max(size, UInt64(offset + bytes.count))
      for index in offset / sector...(offset + bytes.count - 1) / sector {
        versions[index].append(Array(now[index * sector..<(index + 1) * sector]))
      }
    }
    backend = try trial.place.losePower(seed: seed)
    let end = try backend.size(of: .log).value
    try trial.expect(
      end >= syncedSize && end <= size, "seed \(seed): the file ends at \(end), not in \(syncedSize)...\(size)")
    let found = try backend.bytes(.log, at: 0, count: count * sector)
    for index in 0..<count {
      let bytes = Array(found[index * sector..<(index + 1) * sector])
      let valid = max(0, min(sector, Int(end) - index * sector))
      let isKnown = versions[index].contains { $0[..<valid] == bytes[..<valid] }
      try trial.expect(
        isKnown && bytes[valid...].allSatisfy { $0 == 0 },
        "seed \(seed): sector \(index) is none of its \(versions[index].count) versions")
    }
  }
}

private func syncedSectorsStay(_ trial: StorageTrial) throws {
  var backend = try trial.place.open()
  for seed in UInt64(1)...10 {
    var generator = DeterministicGenerator(seed: seed)
    let synced = generator.bytes(512 * 40)
    try backend.put(.log, at: 0, synced)
    try backend.sync(.log)
    // Every other sector is written anew, each write as near to its neighbours as can be; the last goes over the end.
    for sector in stride(from: UInt64(1), to: 42, by: 2) {
      try backend.put(.log, at: sector * 512, generator.bytes(512))
    }
    backend = try trial.place.losePower(seed: seed)
    for sector in stride(from: 0, to: 40, by: 2) {
      let bytes = Array(synced[sector * 512..<sector * 512 + 512])
      try trial.expect(backend, .log, at: UInt64(sector * 512), is: bytes, "seed \(seed): synced sector \(sector)")
    }
  }
}

private func failedSyncThrows(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 24)
  let first = generator.bytes(3_000)
  try backend.put(.log, at: 0, first)
  try backend.sync(.log)
  try backend.put(.log, at: 3_000, first)
  try trial.place.setSyncsFail(true, of: .log)
  let succeeded: Bool
  do throws(StorageBackendError) {
    try backend.sync(.log)
    succeeded = true
  } catch { succeeded = false }
  try trial.place.setSyncsFail(false, of: .log)
  try trial.expect(!succeeded, "a sync that failed returned")
  try trial.expect(backend, .log, at: 0, is: first, "synced before the failure")
  try backend.put(.journalA, at: 0, first)
  try backend.sync(.journalA)
  try trial.expect(backend, .journalA, at: 0, is: first, "another file, after the failure")
}

private func rewrittenAfterFailedSync(_ trial: StorageTrial) throws {
  for seed in UInt64(1)...6 {
    var generator = DeterministicGenerator(seed: seed)
    var backend = seed == 1 ? try trial.place.open() : try trial.place.losePower(seed: seed)
    let old = generator.bytes(4_096)
    let new = generator.bytes(4_096)
    try backend.put(.log, at: 0, old)
    try backend.sync(.log)
    try backend.put(.log, at: 0, new)
    try trial.place.setSyncsFail(true, of: .log)
    var succeeded = false
    do throws(StorageBackendError) {
      try backend.sync(.log)
      succeeded = true
    } catch {}
    try trial.place.setSyncsFail(false, of: .log)
    try trial.expect(!succeeded, "a sync that failed returned")
    // Either the file takes the bytes again, and then they count, or it says that it must be opened again.
    var isDurable = false
    do throws(StorageBackendError) {
      try backend.put(.log, at: 0, new)
      try backend.sync(.log)
      isDurable = true
    } catch {
      try trial.expect(error.code == .inputOutput, "after a failed sync: \(error)")
    }
    backend = try trial.place.losePower(seed: seed)
    if isDurable { try trial.expect(backend, .log, at: 0, is: new, "seed \(seed): written and synced again") }
    try backend.put(.log, at: 0, old)
    try backend.sync(.log)
  }
}
