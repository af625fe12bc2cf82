public import BorealisCore
import Synchronization

/// A storage backend in memory: for tests, the simulator and volumes that need not outlive their process.
///
/// Sparse: memory is taken in blocks of 64 KiB when they are first written, so a large reserved file costs next to
/// nothing. Every call is atomic (one lock), so a failed write changes nothing. The contents live as long as the object:
/// `close` and `reopen` stand for a process that ends and another that opens the same place. A crash is
/// `FaultyStorageBackend`'s business; alone, everything written is durable at once.
public final class InMemoryStorageBackend: StorageBackend {
  private let memory: Mutex<Memory>

  /// Makes an empty, open backend; with a `capacity`, writes and reservations beyond it throw `.noSpace`.
  public init(capacity: ByteCount? = nil) {
    memory = Mutex(Memory(capacity: capacity?.value))
  }

  /// Space taken by written and reserved blocks, in whole blocks of 64 KiB: what counts against the capacity.
  public var used: ByteCount { memory.withLock { ByteCount(UInt64($0.chargedBlocks) * SparseFile.blockSize) } }
  /// Memory really held, in whole blocks of 64 KiB; reserved blocks hold none.
  public var resident: ByteCount { memory.withLock { ByteCount(UInt64($0.residentBlocks) * SparseFile.blockSize) } }
  /// Changes the capacity; nil is no limit, and below `used` nothing is lost but nothing can grow.
  public func setCapacity(_ capacity: ByteCount?) { memory.withLock { $0.capacity = capacity?.value } }
  /// Opens the place again after `close`; throws `.locked` while it is open.
  public func reopen() throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      if memory.isOpen { throw StorageBackendError(.locked, operation: "open", file: nil) }
      memory.isOpen = true
    }
  }

  /// One past the last byte ever written or reserved, less truncation.
  public func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("size", file)
      return ByteCount(memory.files[Int(file.rawValue)].size)
    }
  }
  /// Fills `buffer` from `offset`; zeros where nothing was written.
  public func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("read", file)
      memory.files[Int(file.rawValue)].read(at: offset, into: buffer)
    }
  }
  /// Writes `bytes` at `offset`, wholly or (when it throws) not at all.
  public func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("write", file)
      try memory.write(file, at: offset, bytes)
    }
  }
  /// Checks that the backend is open; memory needs no flush.
  public func sync(_ file: StorageFile) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("sync", file)
    }
  }
  /// Charges the blocks from the present end up to `size` against the capacity, without taking memory for them.
  public func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("reserve", file)
      try memory.reserve(file, upTo: size.value)
    }
  }
  /// Zeroes a range and frees its whole blocks.
  public func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("release", file)
      memory.release(file, from: offset, length: length.value)
    }
  }
  /// Cuts the file to `size`, or extends it with zeros that take no space.
  public func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError) {
    try memory.withLock { (memory: inout sending Memory) throws(StorageBackendError) in
      try memory.check("truncate", file)
      try memory.truncate(file, to: size.value)
    }
  }
  /// Makes every later call throw `.closed` until `reopen`; the contents stay.
  public func close() { memory.withLock { $0.isOpen = false } }
}

/// The four files and what they count against the capacity; owns the blocks' memory.
///
/// Unchecked, as pointers are not Sendable: the blocks are this value's alone, it cannot be copied, and no pointer leaves.
private struct Memory: ~Copyable, @unchecked Sendable {
  var files = StorageFile.allCases.map { _ in SparseFile() }
  var capacity: UInt64?
  var chargedBlocks = 0
  var residentBlocks = 0
  var isOpen = true

  init(capacity: UInt64?) { self.capacity = capacity }
  deinit {
    for file in files { file.deallocate() }
  }

  func check(_ operation: String, _ file: StorageFile) throws(StorageBackendError) {
    if !isOpen { throw StorageBackendError(.closed, operation: operation, file: file) }
  }

  mutating func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    if bytes.isEmpty { return }
    let end = try Memory.end(of: offset, UInt64(bytes.count), "write", file)
    let index = Int(file.rawValue)
    let blocks = offset / SparseFile.blockSize...(end - 1) / SparseFile.blockSize
    try charge(file, blocks, "write")
    for block in blocks {
      let blockStart = block * SparseFile.blockSize
      let from = max(offset, blockStart)
      let to = min(end, blockStart + SparseFile.blockSize)
      let memory: UnsafeMutableRawPointer
      if case .memory(let present) = files[index][block] {
        memory = present
      } else {
        memory = .allocate(byteCount: Int(SparseFile.blockSize), alignment: 64)
        if to - from < SparseFile.blockSize {
          memory.initializeMemory(as: UInt8.self, repeating: 0, count: Int(SparseFile.blockSize))
        }
        files[index][block] = .memory(memory)
        residentBlocks += 1
      }
      let source = UnsafeRawBufferPointer(rebasing: bytes[Int(from - offset)..<Int(to - offset)])
      let target = UnsafeMutableRawBufferPointer(start: memory + Int(from - blockStart), count: source.count)
      target.copyMemory(from: source)
    }
    files[index].size = max(files[index].size, end)
  }

  mutating func reserve(_ file: StorageFile, upTo size: UInt64) throws(StorageBackendError) {
    let index = Int(file.rawValue)
    let old = files[index].size
    if size <= old { return }
    let end = try Memory.end(of: 0, size, "reserve", file)
    // Whole blocks from the present end on: what was released before stays released.
    try charge(file, old / SparseFile.blockSize...(end - 1) / SparseFile.blockSize, "reserve")
    files[index].size = size
  }

  mutating func release(_ file: StorageFile, from offset: UInt64, length: UInt64) {
    let index = Int(file.rawValue)
    let size = files[index].size
    let (sum, overflow) = offset.addingReportingOverflow(length)
    let end = overflow ? size : min(sum, size)
    if offset < end { clear(index, offset, end == size ? SparseFile.roundedUp(end) : end) }
  }

  mutating func truncate(_ file: StorageFile, to size: UInt64) throws(StorageBackendError) {
    let end = try Memory.end(of: 0, size, "truncate", file)
    let index = Int(file.rawValue)
    let old = files[index].size
    if end < old { clear(index, end, SparseFile.roundedUp(old)) }
    files[index].size = end
  }

  /// Takes the blocks that have no space yet, all or (when it throws) none.
  private mutating func charge(
    _ file: StorageFile, _ blocks: ClosedRange<UInt64>, _ operation: String
  ) throws(StorageBackendError) {
    let index = Int(file.rawValue)
    var missing = 0
    for block in blocks {
      if case .nothing = files[index][block] { missing += 1 }
    }
    if missing == 0 { return }
    if let capacity, UInt64(chargedBlocks + missing) * SparseFile.blockSize > capacity {
      throw StorageBackendError(.noSpace, operation: operation, file: file, detail: "capacity \(ByteCount(capacity))")
    }
    for block in blocks {
      if case .nothing = files[index][block] { files[index][block] = .reserved }
    }
    chargedBlocks += missing
  }

  /// Zeroes `start..<end`, giving whole blocks back.
  private mutating func clear(_ index: Int, _ start: UInt64, _ end: UInt64) {
    var block = start / SparseFile.blockSize
    let last = min(SparseFile.roundedUp(end) / SparseFile.blockSize, files[index].blockLimit)
    while block < last {
      let blockStart = block * SparseFile.blockSize
      let from = max(start, blockStart)
      let to = min(end, blockStart + SparseFile.blockSize)
      let isWhole = to - from == SparseFile.blockSize
      switch files[index][block] {
      case .nothing: break
      case .reserved:
        if isWhole {
          files[index][block] = .nothing
          chargedBlocks -= 1
        }
      case .memory(let memory):
        if isWhole {
          memory.deallocate()
          files[index][block] = .nothing
          chargedBlocks -= 1
          residentBlocks -= 1
        } else {
          (memory + Int(from - blockStart)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(to - from))
        }
      }
      block += 1
    }
  }

  private static func end(
    of offset: UInt64, _ length: UInt64, _ operation: String, _ file: StorageFile
  ) throws(StorageBackendError) -> UInt64 {
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > SparseFile.sizeLimit {
      throw StorageBackendError(.noSpace, operation: operation, file: file, detail: "beyond the largest file")
    }
    return end
  }
}

/// One file as a two-level table of blocks.
private struct SparseFile {
  enum Block {
    /// No space: reads as zeros.
    case nothing
    /// Counted but without memory: reads as zeros.
    case reserved
    case memory(UnsafeMutableRawPointer)
  }
  static let blockSize: UInt64 = 64 << 10
  /// Blocks of one table of the second level: 64 MiB of file.
  static let tableBlocks: UInt64 = 1024
  /// 16 TiB: the first level then has 262,144 entries.
  static let sizeLimit: UInt64 = 16 << 40
  static func roundedUp(_ offset: UInt64) -> UInt64 { (offset + blockSize - 1) / blockSize * blockSize }

  var size: UInt64 = 0
  private var tables: [[Block]] = []

  /// One past the last block that can be anything but `nothing`.
  var blockLimit: UInt64 { UInt64(tables.count) * SparseFile.tableBlocks }

  subscript(_ block: UInt64) -> Block {
    get {
      let table = Int(block / SparseFile.tableBlocks)
      if table >= tables.count || tables[table].isEmpty { return .nothing }
      return tables[table][Int(block % SparseFile.tableBlocks)]
    }
    set {
      let table = Int(block / SparseFile.tableBlocks)
      while table >= tables.count { tables.append([]) }
      if tables[table].isEmpty {
        tables[table] = [Block](repeating: .nothing, count: Int(SparseFile.tableBlocks))
      }
      tables[table][Int(block % SparseFile.tableBlocks)] = newValue
    }
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
    var done = 0
    while done < buffer.count {
      let (position, overflow) = offset.addingReportingOverflow(UInt64(done))
      let within = position % SparseFile.blockSize
      let count = min(buffer.count - done, Int(SparseFile.blockSize - within))
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      // Bytes beyond `size` in a block are always zero: `clear` sees to it.
      if !overflow, case .memory(let memory) = self[position / SparseFile.blockSize] {
        target.copyMemory(from: UnsafeRawBufferPointer(start: memory + Int(within), count: count))
      } else {
        target.initializeMemory(as: UInt8.self, repeating: 0)
      }
      done += count
    }
  }

  func deallocate() {
    for table in tables {
      for block in table {
        if case .memory(let memory) = block { memory.deallocate() }
      }
    }
  }
}
