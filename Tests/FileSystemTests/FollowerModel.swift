import Borealis
import BorealisCore

@testable import BorealisFileSystem

/// A database in small: a writer that logs before it writes, and a standby that replays its log on a view of its files.
///
/// Blocks are pages that begin with the LSN of the record that changed them last, and a value; behind them are bytes that
/// the writer changes without a word in the log (as hint bits). Either side has a pool of buffers, writes what is in it when it
/// likes, and forgets what it has written. What the standby finds on its disk is compared with what its replay says.
struct FollowerModel {
  struct Block: Equatable {
    var lsn: UInt64
    var value: UInt64
  }
  enum Record {
    case set(file: Int, block: UInt64, value: UInt64)
    case cut(file: Int, blocks: UInt64)
    case make(file: Int)
    case drop(file: Int)
  }
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }
  /// One side: files, and buffers over them.
  struct Side {
    let files: VolumeFileSystem
    /// Blocks that were changed, and those that were read and not forgotten.
    var buffers: [Int: [UInt64: (block: Block, isDirty: Bool)]] = [:]
    /// What the log says up to here.
    var truth: [Int: [Block?]] = [:]

    func open(_ file: Int) throws -> OpenFile { try files.file(at: "/rel/\(file)") }
    /// Writes a page of a file.
    func write(_ file: Int, _ number: UInt64, _ block: Block, hint: UInt64 = 0) throws {
      var bytes = [UInt8](repeating: 0, count: files.pageSize)
      for (i, word) in [block.lsn, block.value, hint].enumerated() {
        for j in 0..<8 { bytes[i * 8 + j] = UInt8(truncatingIfNeeded: word >> UInt64(8 * j)) }
      }
      let open = try open(file)
      try files.write(open, at: number * UInt64(files.pageSize), bytes)
      try files.close(open)
    }
    /// Reads a block of a file from disk; nil for zeros.
    func read(_ file: Int, _ number: UInt64) throws -> Block? {
      let open = try open(file)
      defer { try? files.close(open) }
      let bytes = try files.read(open, at: number * UInt64(files.pageSize), count: 16)
      func word(_ at: Int) -> UInt64 { bytes[at..<(at + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
      guard bytes.count == 16, word(0) != 0 else { return nil }
      return Block(lsn: word(0), value: word(8))
    }
    mutating func extend(_ file: Int, to blocks: UInt64, _ random: inout DeterministicGenerator) throws {
      let open = try open(file)
      defer { try? files.close(open) }
      // As the server does: either reserved, or zeros written.
      if random.below(2) == 0 {
        try files.allocate(open, to: blocks * UInt64(files.pageSize))
      } else {
        let size = try files.attributes(of: open).size
        let zeros = [UInt8](repeating: 0, count: Int(blocks) * files.pageSize - Int(size))
        try files.write(open, at: size, zeros)
      }
    }
    func blocks(_ file: Int) throws -> UInt64 {
      let open = try open(file)
      defer { try? files.close(open) }
      return try files.attributes(of: open).size / UInt64(files.pageSize)
    }
    /// Writes some buffers, and forgets some that are written.
    mutating func work(_ random: inout DeterministicGenerator, hints: Bool) throws {
      for file in buffers.keys.sorted() {
        for number in (buffers[file] ?? [:]).keys.sorted() {
          guard let found = buffers[file]?[number] else { continue }
          if found.isDirty, random.below(3) == 0 {
            try write(file, number, found.block, hint: hints ? random.below(1000) : 0)
            buffers[file]?[number] = (found.block, false)
          } else if !found.isDirty, random.below(3) == 0 {
            buffers[file]?[number] = nil
          }
        }
      }
    }
  }
}
