import BorealisCore
import BorealisStorageBackend

extension StorageBackendConformance {
  /// Contract 7 to 9: threads, closing, locking.
  static let lifetime: [Check] = [
    Check(name: "7 four threads on four files", needs: [], body: threadsOnFiles),
    Check(name: "7 four threads on one file", needs: [], body: threadsOnOneFile),
    Check(name: "8 after close every call throws closed", needs: [], body: closedThrows),
    Check(name: "8 opening again shows everything written", needs: [], body: openingAgain),
    Check(name: "8 what was synced survives close and loss of power", needs: [.losePower], body: closedAndLostPower),
    Check(name: "9 a second opening throws locked", needs: [], body: secondOpening),
  ]
}

private func threadsOnFiles(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  try onThreads(4) { index in
    let file = StorageFile.allCases[index]
    var generator = DeterministicGenerator(seed: UInt64(40 + index))
    for step in UInt64(0)..<300 {
      let bytes = [UInt8](repeating: UInt8(index + 1), count: 200 + generator.index(2_000))
      try backend.put(file, at: step * 3_000, bytes)
      try trial.expect(backend, file, at: step * 3_000, is: bytes, "step \(step), read by its writer")
      if step % 100 == 99 { try backend.sync(file) }
    }
  }
  for (index, file) in StorageFile.allCases.enumerated() {
    var generator = DeterministicGenerator(seed: UInt64(40 + index))
    for step in UInt64(0)..<300 {
      let bytes = [UInt8](repeating: UInt8(index + 1), count: 200 + generator.index(2_000))
      try trial.expect(backend, file, at: step * 3_000, is: bytes, "step \(step), read at the end")
    }
  }
}

private func threadsOnOneFile(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  // Neighbouring ranges that share sectors and blocks, but no byte.
  try onThreads(4) { index in
    let bytes = [UInt8](repeating: UInt8(index + 1), count: 250)
    for step in UInt64(0)..<400 {
      let offset = step * 1_000 + UInt64(index) * 250
      try backend.put(.pages, at: offset, bytes)
      try trial.expect(backend, .pages, at: offset, is: bytes, "read by its writer")
      if step % 200 == 199 { try backend.sync(.pages) }
    }
  }
  var model: [UInt8] = []
  for _ in 0..<400 {
    for index in 0..<4 { model += repeatElement(UInt8(index + 1), count: 250) }
  }
  try trial.expect(backend, .pages, at: 0, is: model, "after all threads")
  try trial.expect(try backend.size(of: .pages).value == 400_000, "size after all threads")
}

private func closedThrows(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  try backend.put(.log, at: 0, [1, 2, 3])
  backend.close()
  backend.close()
  for file in StorageFile.allCases {
    try trial.expect(.closed, from: "size") { () throws(StorageBackendError) in _ = try backend.size(of: file) }
    try trial.expect(.closed, from: "read") { () throws(StorageBackendError) in
      _ = try backend.bytes(file, at: 0, count: 1)
    }
    try trial.expect(.closed, from: "write") { () throws(StorageBackendError) in try backend.put(file, at: 0, [1]) }
    try trial.expect(.closed, from: "sync") { () throws(StorageBackendError) in try backend.sync(file) }
    try trial.expect(.closed, from: "reserve") { () throws(StorageBackendError) in
      try backend.reserve(file, upTo: .mebibytes(1))
    }
    try trial.expect(.closed, from: "release") { () throws(StorageBackendError) in
      try backend.release(file, from: 0, length: ByteCount(1))
    }
    try trial.expect(.closed, from: "truncate") { () throws(StorageBackendError) in
      try backend.truncate(file, to: ByteCount(0))
    }
  }
}

private func openingAgain(_ trial: StorageTrial) throws {
  var generator = DeterministicGenerator(seed: 42)
  let synced = generator.bytes(20_000)
  let unsynced = generator.bytes(20_000)
  var backend = try trial.place.open()
  try backend.put(.log, at: 0, synced)
  try backend.sync(.log)
  try backend.put(.log, at: 10_000, unsynced)
  try backend.put(.journalB, at: 5, unsynced)
  try backend.reserve(.pages, upTo: ByteCount(100_000))
  try backend.truncate(.journalA, to: ByteCount(17))
  backend.close()
  backend = try trial.place.open()
  try trial.expect(backend, .log, at: 0, is: Array(synced[..<10_000]) + unsynced, "the log, opened again")
  try trial.expect(backend, .journalB, at: 0, is: [0, 0, 0, 0, 0] + unsynced, "a journal, opened again")
  let sizes = try StorageFile.allCases.map { try backend.size(of: $0).value }
  try trial.expect(sizes == [30_000, 100_000, 17, 20_005], "sizes, opened again: \(sizes)")
}

private func closedAndLostPower(_ trial: StorageTrial) throws {
  for seed in UInt64(1)...5 {
    var generator = DeterministicGenerator(seed: seed)
    let bytes = generator.bytes(9_000)
    var backend = seed == 1 ? try trial.place.open() : try trial.place.losePower(seed: seed)
    try backend.put(.journalA, at: 0, bytes)
    try backend.sync(.journalA)
    backend.close()
    backend = try trial.place.losePower(seed: seed)
    try trial.expect(backend, .journalA, at: 0, is: bytes, "synced, closed, power lost")
  }
}

private func secondOpening(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  try backend.put(.log, at: 0, [1, 2, 3])
  try trial.expect(.locked, from: "a second opening") { () throws(StorageBackendError) in _ = try trial.place.open() }
  try trial.expect(backend, .log, at: 0, is: [1, 2, 3], "the first, after the second was refused")
  try backend.put(.log, at: 3, [4])
  backend.close()
  let second = try trial.place.open()
  try trial.expect(second, .log, at: 0, is: [1, 2, 3, 4], "opened after the first was closed")
  try trial.expect(.locked, from: "a third opening") { () throws(StorageBackendError) in _ = try trial.place.open() }
}
