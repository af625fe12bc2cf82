import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension NodeJournal {
  private typealias Frame = (number: UInt64, count: Int, end: Int)

  /// The two files' headers, nil where there is no valid one.
  static func headers(
    _ backend: any StorageBackend
  ) throws(StorageBackendError) -> (a: JournalHeader?, b: JournalHeader?) {
    (try header(backend, .journalA), try header(backend, .journalB))
  }
  private static func header(
    _ backend: any StorageBackend, _ file: StorageFile
  ) throws(StorageBackendError) -> JournalHeader? {
    var bytes: [UInt8] = []
    try backend.append(file, at: 0, count: Int(JournalHeader.framesStart), to: &bytes)
    return bytes.withUnsafeBytes { raw in
      (try? JournalHeader.decode(UnsafeRawBufferPointer(rebasing: raw[..<512])))
        ?? (try? JournalHeader.decode(UnsafeRawBufferPointer(rebasing: raw[512...])))
    }
  }

  /// Empties the backend's files and makes its first journal.
  static func format(
    _ backend: any StorageBackend, identity: StoreIdentity, pageSize: Int, chunkSize: Int
  ) throws(StorageBackendError) -> NodeJournal {
    let header = JournalHeader(
      generation: 1, identity: identity, pageSize: UInt32(pageSize), chunkSize: UInt32(chunkSize))
    for file in StorageFile.allCases { try backend.perform(.truncate(file, to: 0)) }
    for file in StorageFile.allCases { try backend.perform(.sync(file)) }
    try backend.perform(.write(.journalA, at: 0, header.encoded()))
    try backend.perform(.sync(.journalA))
    return NodeJournal(header: header, live: .journalA, hasOldFile: false)
  }

  /// Opens the live journal and replays it into its state and the page table.
  static func open(
    _ backend: any StorageBackend, _ headers: (a: JournalHeader?, b: JournalHeader?), table: inout PageTable
  ) throws(StorageBackendError) -> NodeJournal? {
    let isA: Bool
    switch (headers.a, headers.b) {
    case (nil, nil): return nil
    case (.some, nil): isA = true
    case (nil, .some): isA = false
    case (let a?, let b?): isA = a.generation > b.generation
    }
    guard let header = isA ? headers.a : headers.b else { return nil }
    let live: StorageFile = isA ? .journalA : .journalB
    let other: StorageFile = isA ? .journalB : .journalA
    var journal = NodeJournal(header: header, live: live, hasOldFile: try backend.size(of: other).value > 0)
    try journal.replay(backend, table: &table)
    return journal
  }

  private static func damaged(_ file: StorageFile, _ detail: String) -> StorageBackendError {
    StorageBackendError(.inputOutput, operation: "open", file: file, detail: "the journal is damaged: \(detail)")
  }

  /// Applies frame by frame.
  ///
  /// The first that is not whole ends the journal, unless a whole one stands behind it: then it is damage, a promise
  /// may be lost, and the node must not go on.
  private mutating func replay(_ backend: any StorageBackend, table: inout PageTable) throws(StorageBackendError) {
    let size = try backend.size(of: live).value
    var at = JournalHeader.framesStart
    var number: UInt64 = 0
    var buffer: [UInt8] = []
    while at < size {
      guard let frame = try Self.frame(backend, live, at: at, size: size, generation: generation, &buffer) else {
        break
      }
      guard frame.number == number else { break }
      let entries: Result<[JournalEntry], DecodeError> = buffer.withUnsafeBytes { raw in
        do throws(DecodeError) {
          return .success(try JournalFrame.entries(raw, count: frame.count, end: frame.end))
        } catch {
          return .failure(error)
        }
      }
      switch entries {
      case .success(let entries): for entry in entries { apply(entry, &table) }
      case .failure(let error): throw Self.damaged(live, "frame \(number): \(error)")
      }
      at += UInt64(buffer.count)
      number += 1
    }
    resume(offset: at, frames: number)
    table.finishReplay()
    // Nothing whole may follow.
    var probe = at
    while probe < size {
      if let frame = try Self.frame(backend, live, at: probe, size: size, generation: generation, &buffer),
        frame.number > number
      {
        throw Self.damaged(live, "frame \(number) at byte \(at), but frame \(frame.number) is whole")
      }
      probe += 512
    }
  }

  /// The whole frame at an offset, its bytes in `buffer`; nil where there is none.
  private static func frame(
    _ backend: any StorageBackend, _ file: StorageFile, at offset: UInt64, size: UInt64, generation: UInt64,
    _ buffer: inout [UInt8]
  ) throws(StorageBackendError) -> Frame? {
    buffer.removeAll(keepingCapacity: true)
    try backend.append(file, at: offset, count: 512, to: &buffer)
    guard let whole = buffer.withUnsafeBytes({ JournalFrame.size($0) }), UInt64(whole) <= size - offset + 511 else {
      return nil
    }
    if whole > 512 { try backend.append(file, at: offset + 512, count: whole - 512, to: &buffer) }
    return buffer.withUnsafeBytes { JournalFrame.check($0, generation: generation) }
  }

  private mutating func apply(_ entry: JournalEntry, _ table: inout PageTable) {
    switch entry {
    case .fact(let fact): state.apply(fact)
    case .chunkSealed(let chunk): state.seal(chunk)
    case .chunkRetired(let sequence): state.retire(sequence)
    case .lastSealed(let sequence): state.lastSealed = max(state.lastSealed, sequence)
    case .pagesInstalled(let pages): for page in pages { table.install(page) }
    case .slotsFreed(let slots): for slot in slots { table.remove(slot) }
    }
  }
}
