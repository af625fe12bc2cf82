import BorealisCore

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// What a file looked like before each change that was not synced: an undo log, newest change last.
///
/// A crash goes through it backwards. Each sector comes to rest at some version between the newest and the last durable
/// one: at every change that touched it a coin says whether it stays as that change left it ("settled"), or goes back to
/// what it was before and meets the next older change.
struct UnsyncedChanges {
  static let sectorSize: UInt64 = 512
  /// A released range goes or comes back in blocks of this size, as on a file system.
  static let releaseUnit: UInt64 = 4096
  /// Buffers beyond this size are given back after a sync.
  private static let keptCapacity = 1 << 20

  private enum Kind { case write, release, truncate, reserve }
  /// Old bytes of one piece of the file; what a change touched outside its pieces was zero.
  private struct Piece {
    var offset: UInt64
    var position: Int
    var length: Int
  }
  private struct Change {
    var kind: Kind
    /// The range, rounded out to sectors.
    var start: UInt64
    var end: UInt64
    /// One past the last byte that the caller named.
    var exactEnd: UInt64
    var sizeBefore: UInt64
    var sizeAfter: UInt64
    var pieces: Range<Int>
  }

  private var changes: [Change] = []
  private var pieces: [Piece] = []
  /// The pieces' bytes, in the first `used` of it: it grows by doubling and is not cleared, so that saving is a copy.
  private var arena: [UInt8] = []
  private var used = 0
  /// The first `forgotten` changes were lost by a failed sync: a later sync does not make them durable.
  private var forgotten = 0
  /// Ranges written and synced after they were lost: those are durable after all.
  private var rewritten = ByteRanges()
  /// Whether a sync has succeeded since: then the file's size is durable too.
  private var hasSyncedSince = false

  var isEmpty: Bool { changes.isEmpty }

  /// Whether the sector at `offset` has unsynced changes; looks at every change, so not for hot paths.
  func contains(_ offset: UInt64) -> Bool {
    changes.contains { $0.start <= offset && offset < $0.end }
  }

  // MARK: recording (before the change is applied)

  mutating func recordWrite<Base: StorageBackend>(
    _ file: StorageFile, at offset: UInt64, length: Int, size: UInt64, blank: borrowing ByteRanges, base: Base
  ) throws(StorageBackendError) {
    let end = offset + UInt64(length)
    let start = UnsyncedChanges.down(offset)
    let roundedEnd = UnsyncedChanges.up(end)
    let first = pieces.count
    let savedEnd = min(roundedEnd, UnsyncedChanges.up(size))
    if start < savedEnd, !blank.covers(start..<savedEnd) {
      try save(file, start, Int(savedEnd - start), base, unlessZero: false)
    }
    changes.append(
      Change(
        kind: .write, start: start, end: roundedEnd, exactEnd: end, sizeBefore: size, sizeAfter: max(size, end),
        pieces: first..<pieces.count))
  }
  mutating func recordRelease<Base: StorageBackend>(
    _ file: StorageFile, from offset: UInt64, to end: UInt64, size: UInt64, blank: borrowing ByteRanges,
    base: Base
  ) throws(StorageBackendError) {
    let start = UnsyncedChanges.down(offset)
    let roundedEnd = UnsyncedChanges.up(min(end, size))
    if start >= roundedEnd { return }
    let first = pieces.count
    try saveAll(file, start, roundedEnd, blank, base)
    changes.append(
      Change(
        kind: .release, start: start, end: roundedEnd, exactEnd: min(end, size), sizeBefore: size, sizeAfter: size,
        pieces: first..<pieces.count))
  }
  mutating func recordTruncate<Base: StorageBackend>(
    _ file: StorageFile, to newSize: UInt64, size: UInt64, blank: borrowing ByteRanges, base: Base
  ) throws(StorageBackendError) {
    let start = UnsyncedChanges.down(min(newSize, size))
    let end = UnsyncedChanges.up(size)
    let first = pieces.count
    if newSize < size { try saveAll(file, start, end, blank, base) }
    changes.append(
      Change(
        kind: .truncate, start: start, end: max(start, end), exactEnd: size, sizeBefore: size, sizeAfter: newSize,
        pieces: first..<pieces.count))
  }
  mutating func recordReserve(upTo newSize: UInt64, size: UInt64) {
    changes.append(
      Change(
        kind: .reserve, start: size, end: size, exactEnd: newSize, sizeBefore: size, sizeAfter: newSize,
        pieces: pieces.count..<pieces.count))
  }
  /// The newest change failed part way: the file now ends at `size`.
  mutating func clipNewest(to size: UInt64) {
    guard let last = changes.indices.last else { return }
    changes[last].sizeAfter = max(changes[last].sizeBefore, min(changes[last].sizeAfter, size))
    changes[last].exactEnd = min(changes[last].exactEnd, max(size, changes[last].start))
  }

  // MARK: syncing

  /// Everything recorded is durable now, except what a failed sync lost.
  mutating func synced() {
    if forgotten > 0 {
      hasSyncedSince = true
      for change in changes[forgotten...] where change.kind != .reserve {
        let end = change.kind == .truncate && change.sizeAfter < change.sizeBefore ? UInt64.max : change.end
        if change.start < end { rewritten.insert(change.start..<end) }
      }
      changes.removeLast(changes.count - forgotten)
      let pieceCount = changes[forgotten - 1].pieces.upperBound
      pieces.removeLast(pieces.count - pieceCount)
      used = pieces.last.map { $0.position + $0.length } ?? 0
    } else if !changes.isEmpty {
      changes.removeAll(keepingCapacity: true)
      pieces.removeAll(keepingCapacity: true)
      used = 0
      if arena.count > UnsyncedChanges.keptCapacity { arena = [] }
    }
  }
  /// A sync failed for good: what is recorded now will not become durable by syncing again.
  mutating func forget() { forgotten = changes.count }

  // MARK: crashing

  /// Applies a loss of power to `base`; returns the file's size afterwards.
  mutating func crash<Base: StorageBackend>(
    _ file: StorageFile, _ crash: StorageCrash, base: Base, using generator: inout DeterministicGenerator,
    report: inout StorageCrashReport
  ) throws(StorageBackendError) -> UInt64? {
    if changes.isEmpty { return nil }
    let forgotten = self.forgotten
    var settled = ByteRanges()
    let currentSize = try base.size(of: file).value
    var size = currentSize
    var sizeIsSettled = false
    // The file ends at or behind the last sector that survived of a write that made it grow.
    var sizeFloor: UInt64 = 0
    for index in changes.indices.reversed() {
      let change = changes[index]
      if index == forgotten - 1 {
        settled.formUnion(rewritten)
        if hasSyncedSince { sizeIsSettled = true }
      }
      func keeps(_ generator: inout DeterministicGenerator) -> Bool {
        switch crash {
        case .random: generator.next() >> 63 == 1
        case .dropAll: false
        case .keepAll: index >= forgotten
        }
      }
      switch change.kind {
      case .write, .release:
        let unit = change.kind == .write ? UnsyncedChanges.sectorSize : UnsyncedChanges.releaseUnit
        var keptEnd: UInt64 = 0
        var start = change.start
        while start < change.end {
          let end = min(change.end, start / unit * unit + unit)
          if keeps(&generator) {
            report.keptSectors += Int((end - start) / UnsyncedChanges.sectorSize)
            keptEnd = min(end, change.exactEnd)
            settled.insert(start..<end)
          } else {
            report.lostSectors += try revert(file, change, start, end, settled, base)
          }
          start = end
        }
        if !sizeIsSettled, change.sizeAfter > change.sizeBefore {
          size = change.sizeBefore
          sizeFloor = max(sizeFloor, keptEnd)
        }
      case .truncate:
        if keeps(&generator) {
          if change.sizeAfter < change.sizeBefore { settled.insert(change.start..<UInt64.max) }
          if !sizeIsSettled { size = change.sizeAfter }
          sizeIsSettled = true
        } else {
          report.lostSectors += try revert(file, change, change.start, change.end, settled, base)
          if !sizeIsSettled { size = change.sizeBefore }
        }
      case .reserve:
        if !sizeIsSettled {
          size = change.sizeBefore
          if keeps(&generator) { sizeFloor = max(sizeFloor, change.sizeAfter) }
        }
      }
    }
    size = max(size, sizeFloor)
    if try base.size(of: file).value != size { try base.truncate(file, to: ByteCount(size)) }
    self = UnsyncedChanges()
    return size
  }

  /// Puts the sectors of `start..<end` that are not settled back to what they were before `change`.
  private func revert<Base: StorageBackend>(
    _ file: StorageFile, _ change: Change, _ start: UInt64, _ end: UInt64, _ settled: ByteRanges, _ base: Base
  ) throws(StorageBackendError) -> Int {
    var sectors = 0
    var sector = start
    // What a release or truncation zeroed and did not save was zero before: nothing to do there.
    var next = change.pieces.lowerBound
    while sector < end {
      while next < change.pieces.upperBound, pieces[next].offset + UInt64(pieces[next].length) <= sector { next += 1 }
      let piece = next < change.pieces.upperBound ? pieces[next] : nil
      if change.kind != .write {
        guard let piece, piece.offset < end else { break }
        sector = max(sector, piece.offset)
      }
      if !settled.contains(sector) {
        if let piece, piece.offset <= sector {
          let position = piece.position + Int(sector - piece.offset)
          try write(arena[position..<position + Int(UnsyncedChanges.sectorSize)], to: file, at: sector, base)
        } else {
          try write(UnsyncedChanges.zeros[...], to: file, at: sector, base)
        }
        sectors += 1
      }
      sector += UnsyncedChanges.sectorSize
    }
    return sectors
  }
  private static let zeros = [UInt8](repeating: 0, count: Int(sectorSize))

  private func write<Base: StorageBackend>(
    _ bytes: ArraySlice<UInt8>, to file: StorageFile, at offset: UInt64, _ base: Base
  ) throws(StorageBackendError) {
    let failure: StorageBackendError? = bytes.withUnsafeBytes { raw in
      do throws(StorageBackendError) { try base.write(file, at: offset, raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }

  // MARK: saving old bytes

  /// Saves what is not zero of a range of any size.
  private mutating func saveAll<Base: StorageBackend>(
    _ file: StorageFile, _ start: UInt64, _ end: UInt64, _ blank: borrowing ByteRanges, _ base: Base
  ) throws(StorageBackendError) {
    var written = ByteRanges(start..<end)
    for range in blank.ranges { written.remove(range) }
    var offset = start
    for range in written.ranges {
      // Rounded out to sectors; never the same sector twice.
      offset = max(offset, UnsyncedChanges.down(range.lowerBound))
      let end = min(end, UnsyncedChanges.up(range.upperBound))
      while offset < end {
        let length = Int(min(end - offset, 64 << 10))
        try save(file, offset, length, base, unlessZero: true)
        offset += UInt64(length)
      }
    }
  }
  private mutating func save<Base: StorageBackend>(
    _ file: StorageFile, _ offset: UInt64, _ length: Int, _ base: Base, unlessZero: Bool
  ) throws(StorageBackendError) {
    let position = used
    if arena.count - used < length { arena += [UInt8](repeating: 0, count: max(length, arena.count, 4096)) }
    var isZero = false
    let failure: StorageBackendError? = arena.withUnsafeMutableBytes { raw in
      let buffer = UnsafeMutableRawBufferPointer(rebasing: raw[position..<position + length])
      do throws(StorageBackendError) { try base.read(file, at: offset, into: buffer) } catch { return error }
      if unlessZero, let first = buffer.baseAddress {
        // All are zero when the first one is and each equals the next.
        isZero = buffer[0] == 0 && memcmp(first, first + 1, length - 1) == 0
      }
      return nil
    }
    if let failure { throw failure }
    if isZero { return }
    used += length
    pieces.append(Piece(offset: offset, position: position, length: length))
  }

  private static func down(_ offset: UInt64) -> UInt64 { offset / sectorSize * sectorSize }
  private static func up(_ offset: UInt64) -> UInt64 { (offset + sectorSize - 1) / sectorSize * sectorSize }
}
