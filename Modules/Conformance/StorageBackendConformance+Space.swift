import BorealisCore
import BorealisStorageBackend

extension StorageBackendConformance {
  /// Contract 5 and 6: reservations and full disks.
  static let space: [Check] = [
    Check(name: "5 a reservation keeps contents and extends with zeros", needs: [], body: reservationKeepsContents),
    Check(name: "5 a reservation leaves writes alone that go on beside it", needs: [], body: reservationBesideWrites),
    Check(name: "5 reserved space takes writes on a full disk", needs: [.fillUp], body: reservedSpaceIsThere),
    Check(name: "6 a full disk throws noSpace and heals", needs: [.fillUp], body: fullDiskHeals),
    Check(
      name: "6 a reservation that finds no space throws noSpace and heals", needs: [.fillUp], body: fullReservation),
  ]
}

private func reservationKeepsContents(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 31)
  for file in StorageFile.allCases {
    let bytes = generator.bytes(5_001)
    try backend.put(file, at: 0, bytes)
    for size in [UInt64(1), 5_001, 70_003, 3 << 20, 1_000] {
      let before = try backend.size(of: file).value
      try backend.reserve(file, upTo: ByteCount(size))
      let expected = max(before, size)
      try trial.expect(try backend.size(of: file).value == expected, "\(file): size after reserving \(size)")
      try trial.expect(backend, file, at: 0, is: bytes, "\(file): contents after reserving \(size)")
      try trial.expectZeros(backend, file, at: 5_001, count: Int(expected) - 5_001, "\(file): reserved")
    }
    try backend.put(file, at: 60_000, bytes)
    try trial.expect(backend, file, at: 60_000, is: bytes, "\(file): written into the reservation")
  }
}

/// One thread reserves while another writes behind the end: its bytes must not be zeroed.
private func reservationBesideWrites(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  let bytes = [UInt8](repeating: 7, count: 1_000)
  for round in UInt64(0)..<12 {
    let base = round << 20
    try onThreads(2) { index in
      if index == 0 { return try backend.reserve(.log, upTo: ByteCount(base + 1 << 20)) }
      for step in UInt64(0)..<40 { try backend.put(.log, at: base + step * 20_000, bytes) }
    }
    for step in UInt64(0)..<40 {
      try trial.expect(backend, .log, at: base + step * 20_000, is: bytes, "written beside a reservation")
    }
  }
}

private func reservedSpaceIsThere(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 32)
  for file in [StorageFile.log, .pages] {
    try backend.reserve(file, upTo: .mebibytes(1))
    try backend.sync(file)
    try trial.place.setFull(true)
    for offset in stride(from: UInt64(0), to: 1 << 20, by: 4096) {
      let bytes = generator.bytes(4096)
      do throws(StorageBackendError) { try backend.put(file, at: offset, bytes) } catch {
        throw StorageTrial.Violation("\(file): a write into reserved space at \(offset) threw \(error)")
      }
      try trial.expect(backend, file, at: offset, is: bytes, "\(file): written into reserved space")
    }
    try backend.sync(file)
    try trial.place.setFull(false)
  }
}

private func fullDiskHeals(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 33)
  let step = 64 << 10
  let first = generator.bytes(step)
  try backend.put(.log, at: 0, first)
  try trial.place.setFull(true)
  // A little may still fit somewhere; not 64 MiB.
  var written = [first]
  var failure: StorageBackendError?
  while failure == nil && written.count < 1_024 {
    let bytes = generator.bytes(step)
    do throws(StorageBackendError) {
      try backend.put(.log, at: UInt64(written.count * step), bytes)
      written.append(bytes)
    } catch { failure = error }
    let last = written.count - 1
    try trial.expect(backend, .log, at: UInt64(last * step), is: written[last], "written and not refused")
  }
  guard let failure else { throw StorageTrial.Violation("a full disk took 64 MiB") }
  try trial.expect(failure.code == .noSpace, "a full disk threw \(failure)")
  try trial.expect(failure.isRetryable, "noSpace is not retryable")
  try trial.expect(backend, .log, at: 0, is: first, "a read on a full disk")
  let again = generator.bytes(step)
  try trial.expect(.noSpace, from: "the same write, still full") { () throws(StorageBackendError) in
    try backend.put(.log, at: UInt64(written.count * step), again)
  }
  try trial.place.setFull(false)
  try backend.put(.log, at: UInt64(written.count * step), again)
  try backend.sync(.log)
  for (index, bytes) in (written + [again]).enumerated() {
    try trial.expect(backend, .log, at: UInt64(index * step), is: bytes, "after space came back")
  }
}

private func fullReservation(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 34)
  let bytes = generator.bytes(10_000)
  for file in [StorageFile.log, .pages] {
    try backend.put(file, at: 0, bytes)
    try trial.place.setFull(true)
    try trial.expect(.noSpace, from: "\(file): a reservation of 2 MiB on a full disk") {
      () throws(StorageBackendError) in try backend.reserve(file, upTo: .mebibytes(2))
    }
    try trial.expect(backend, file, at: 0, is: bytes, "contents after a refused reservation")
    try trial.place.setFull(false)
    try backend.reserve(file, upTo: .mebibytes(2))
    try trial.expect(try backend.size(of: file) >= .mebibytes(2), "\(file): size after the reservation")
    try trial.expect(backend, file, at: 0, is: bytes, "contents after the reservation")
    try backend.put(file, at: (2 << 20) - 10_000, bytes)
    try trial.expect(backend, file, at: (2 << 20) - 10_000, is: bytes, "written at the reservation's end")
  }
}
