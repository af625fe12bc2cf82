import BorealisCore
import BorealisStorageBackend

extension StorageBackendConformance {
  /// Contract 1: what reads return.
  static let contents: [Check] = [
    Check(name: "1 a new place is empty", needs: [], body: newPlaceIsEmpty),
    Check(name: "1 reads return what was written last", needs: [], body: readsReturnLastWrite),
    Check(name: "1 bytes beyond the end are zero", needs: [], body: zerosBeyondTheEnd),
    Check(name: "1 released bytes are zero and the size stays", needs: [], body: releasedBytesAreZero),
    Check(name: "1 bytes cut off are zero when the file grows again", needs: [], body: cutBytesAreZero),
    Check(name: "1 empty reads and writes change nothing", needs: [], body: emptyCalls),
    Check(name: "1 the four files are apart", needs: [], body: filesAreApart),
    Check(name: "1 random calls agree with a model", needs: [], body: agreesWithModel),
  ]
}

private func newPlaceIsEmpty(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  for file in StorageFile.allCases {
    try trial.expect(try backend.size(of: file).value == 0, "\(file) has a size")
    try trial.expectZeros(backend, file, at: 0, count: 1000, "empty file")
  }
}

private func readsReturnLastWrite(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 11)
  var model = [UInt8](repeating: 0, count: 40_000)
  // Overlapping, at odd places, some of them over the border of a block; the first half is read after each write.
  for index in 0..<60 {
    let offset = generator.index(30_000)
    let bytes = generator.bytes(1 + generator.index(9_000))
    try backend.put(.pages, at: UInt64(offset), bytes)
    overwrite(&model, at: offset, bytes)
    if index < 30 { try trial.expect(backend, .pages, at: UInt64(offset), is: bytes, "write \(index) read at once") }
    if index % 10 == 9 { try backend.sync(.pages) }
  }
  try trial.expect(backend, .pages, at: 0, is: model, "after all writes")
}

private func zerosBeyondTheEnd(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 12)
  let bytes = generator.bytes(700)
  try backend.put(.log, at: 0, bytes)
  try trial.expect(try backend.size(of: .log).value == 700, "700 bytes were written, the size differs")
  try trial.expect(backend, .log, at: 0, is: bytes + [UInt8](repeating: 0, count: 5_000), "read over the end")
  try trial.expectZeros(backend, .log, at: 700, count: 100, "read from the end")
  try trial.expectZeros(backend, .log, at: 1 << 33, count: 4096, "read far beyond the end")
  // A gap, and an offset above 4 GiB.
  let far: UInt64 = 5 << 30
  try backend.put(.log, at: far, bytes)
  try trial.expect(try backend.size(of: .log).value == far + 700, "size after a gap")
  try trial.expectZeros(backend, .log, at: 700, count: 70_000, "the gap's begin")
  try trial.expectZeros(backend, .log, at: far - 70_000, count: 70_000, "the gap's end")
  try trial.expect(backend, .log, at: far, is: bytes, "bytes behind the gap")
  try backend.truncate(.log, to: ByteCount(700))
  try trial.expect(backend, .log, at: 0, is: bytes, "bytes before the gap")
}

private func releasedBytesAreZero(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 13)
  var model = generator.bytes(300_000)
  try backend.put(.pages, at: 0, model)
  // Odd borders, a whole middle, up to and beyond the end, nothing.
  let ranges: [(UInt64, UInt64)] = [(70_001, 1), (100_003, 150_001), (290_000, 10_000), (280_000, 50_000), (5, 0)]
  for (offset, length) in ranges {
    try backend.release(.pages, from: offset, length: ByteCount(length))
    fillWithZeros(&model, Int(offset)..<min(300_000, Int(offset + length)))
    try trial.expect(backend, .pages, at: 0, is: model, "after releasing \(length) at \(offset)")
    try trial.expect(try backend.size(of: .pages).value == 300_000, "a release changed the size")
  }
  try backend.release(.pages, from: 1 << 40, length: .gibibytes(1))
  try trial.expect(try backend.size(of: .pages).value == 300_000, "a release beyond the end changed the size")
  let bytes = generator.bytes(5_000)
  try backend.put(.pages, at: 120_000, bytes)
  try trial.expect(backend, .pages, at: 120_000, is: bytes, "written again after the release")
}

private func cutBytesAreZero(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 14)
  let bytes = generator.bytes(200_000)
  for (size, extend) in [(100_001, true), (3, true), (50_000, false), (0, true)] {
    try backend.put(.journalA, at: 0, bytes)
    try backend.truncate(.journalA, to: ByteCount(UInt64(size)))
    try trial.expect(try backend.size(of: .journalA).value == UInt64(size), "size after cutting to \(size)")
    if extend {
      try backend.truncate(.journalA, to: ByteCount(200_000))
    } else {
      try backend.put(.journalA, at: 199_999, [0])
    }
    try trial.expect(try backend.size(of: .journalA).value == 200_000, "size after growing from \(size)")
    try trial.expect(backend, .journalA, at: 0, is: Array(bytes[..<size]), "what was kept of \(size)")
    try trial.expectZeros(backend, .journalA, at: UInt64(size), count: 210_000 - size, "what was cut at \(size)")
  }
}

private func emptyCalls(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  try backend.put(.log, at: 4_000, [])
  try trial.expect(try backend.size(of: .log).value == 0, "writing nothing made the file grow")
  try trial.expect(try backend.bytes(.log, at: 0, count: 0).isEmpty, "reading nothing")
  try backend.reserve(.log, upTo: ByteCount(0))
  try backend.release(.log, from: 0, length: ByteCount(0))
  try backend.truncate(.log, to: ByteCount(0))
  try backend.sync(.log)
  try trial.expect(try backend.size(of: .log).value == 0, "empty calls made the file grow")
}

private func filesAreApart(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  var generator = DeterministicGenerator(seed: 15)
  let contents = StorageFile.allCases.map { _ in generator.bytes(10_000) }
  for file in StorageFile.allCases { try backend.put(file, at: 0, contents[Int(file.rawValue)]) }
  for file in StorageFile.allCases {
    try trial.expect(backend, file, at: 0, is: contents[Int(file.rawValue)], "each file its own bytes")
  }
  try backend.truncate(.journalA, to: ByteCount(0))
  try backend.release(.pages, from: 0, length: ByteCount(10_000))
  try backend.reserve(.log, upTo: ByteCount(100_000))
  try trial.expect(try backend.size(of: .journalA).value == 0, "cut file")
  try trial.expect(try backend.size(of: .journalB).value == 10_000, "the other journal's size")
  try trial.expect(backend, .journalB, at: 0, is: contents[3], "the other journal's bytes")
  try trial.expect(backend, .log, at: 0, is: contents[0], "the log's bytes")
}

private func agreesWithModel(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  let limit = 200_000
  for seed in UInt64(1)...3 {
    var generator = DeterministicGenerator(seed: seed)
    try backend.truncate(.pages, to: ByteCount(0))
    var model: [UInt8] = []
    for step in 0..<300 {
      let offset = generator.index(limit)
      let what: String
      switch generator.index(12) {
      case 0...4:
        let bytes = generator.bytes(1 + generator.index(generator.chance(1, in: 4) ? 90_000 : 3_000))
        what = "write of \(bytes.count) at \(offset)"
        try backend.put(.pages, at: UInt64(offset), bytes)
        setSize(&model, max(model.count, offset + bytes.count))
        overwrite(&model, at: offset, bytes)
      case 5:
        what = "truncation to \(offset)"
        try backend.truncate(.pages, to: ByteCount(UInt64(offset)))
        setSize(&model, offset)
      case 6, 7:
        let length = generator.index(100_000)
        what = "release of \(length) at \(offset)"
        try backend.release(.pages, from: UInt64(offset), length: ByteCount(UInt64(length)))
        fillWithZeros(&model, offset..<max(offset, min(model.count, offset + length)))
      case 8:
        what = "reservation up to \(offset)"
        try backend.reserve(.pages, upTo: ByteCount(UInt64(offset)))
        setSize(&model, max(model.count, offset))
      case 9 where step % 4 == 0:
        what = "sync"
        try backend.sync(.pages)
      default:
        what = "read of a part at \(offset)"
        let end = min(model.count, offset + 20_000)
        if offset < end {
          try trial.expect(backend, .pages, at: UInt64(offset), is: Array(model[offset..<end]), what)
        }
        continue
      }
      let context = "seed \(seed), step \(step), after \(what)"
      try trial.expect(try backend.size(of: .pages).value == UInt64(model.count), "\(context): size")
      try trial.expect(backend, .pages, at: 0, is: model + [0, 0, 0, 0], context)
    }
  }
}
