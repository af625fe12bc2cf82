import BorealisCore

/// Pages in memory: a fixed number of frames in one buffer, found by an open-addressing hash, evicted by a clock hand.
///
/// I11: a page leaves only when its LSN is at or below VDL, that is, when all its changes are durable. Where nothing may
/// leave, a new page is not cached. Source: P17 §4.2.3 as corrected by P18 §3.1.
struct PageCache: ~Copyable, @unchecked Sendable {
  // Sendable: the buffer has one owner, this value, which cannot be copied.

  private struct Frame {
    var page = PageID(object: ObjectID(0), index: 0)
    var lsn = LSN.zero
    var isUsed = false
    var isReferenced = false
  }
  private let buffer: UnsafeMutableRawPointer
  private var frames: [Frame]
  /// Frame number + 1; 0 is empty.
  private var slots: [UInt32]
  private var hand = 0
  private var freeFrames: [Int32]
  /// A scan at this VDL found nothing that may leave: until VDL moves, another is in vain.
  private var fruitlessAt: LSN?

  let pageSize: Int
  let capacity: Int
  private(set) var count = 0
  private(set) var evictions: UInt64 = 0

  /// Frames looked at for one eviction: bounds the time of a commit where nearly all pages are dirty.
  private static let scanMax = 256

  /// A cache of as many pages as fit into `bytes`, at least 8; memory is touched only as pages come.
  init(pageSize: Int, bytes: Int) {
    self.pageSize = pageSize
    capacity = max(8, bytes / pageSize)
    buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity * pageSize, alignment: 4096)
    frames = []
    freeFrames = []
    slots = [UInt32](repeating: 0, count: 32)
  }
  deinit { buffer.deallocate() }

  /// Mixes a page's address into a slot number.
  private func slot(of page: PageID) -> Int {
    var x = page.object.value &* 0x9E37_79B9_7F4A_7C15 ^ page.index &* 0xC2B2_AE3D_27D4_EB4F
    x ^= x >> 29
    x = x &* 0xBF58_476D_1CE4_E5B9
    x ^= x >> 32
    return Int(truncatingIfNeeded: x) & (slots.count - 1)
  }
  /// The frame of a page, and marks it as used lately.
  mutating func find(_ page: PageID) -> Int? {
    var at = slot(of: page)
    while slots[at] != 0 {
      let frame = Int(slots[at] - 1)
      if frames[frame].page == page {
        frames[frame].isReferenced = true
        return frame
      }
      at = (at + 1) & (slots.count - 1)
    }
    return nil
  }
  /// Whether a page is here; marks nothing.
  func contains(_ page: PageID) -> Bool {
    var at = slot(of: page)
    while slots[at] != 0 {
      if frames[Int(slots[at] - 1)].page == page { return true }
      at = (at + 1) & (slots.count - 1)
    }
    return false
  }
  /// The bytes of a frame: valid until the page leaves.
  func bytes(_ frame: Int) -> UnsafeMutableRawBufferPointer {
    precondition(frame >= 0 && frame < frames.count)
    return UnsafeMutableRawBufferPointer(start: buffer + frame * pageSize, count: pageSize)
  }
  /// LSN of the last record applied to the page.
  func lsn(_ frame: Int) -> LSN { frames[frame].lsn }
  mutating func setLSN(_ frame: Int, _ lsn: LSN) { frames[frame].lsn = lsn }

  /// A frame for a page that is not cached, with undefined bytes; nil where no page may leave at this VDL.
  mutating func insert(_ page: PageID, lsn: LSN, vdl: LSN, plantedBug: PlantedBug?) -> Int? {
    let frame: Int
    if let free = freeFrames.popLast() {
      frame = Int(free)
    } else if frames.count < capacity {
      frame = frames.count
      frames.append(Frame())
      if frames.count * 2 > slots.count { rehash() }
    } else if let victim = evict(vdl: plantedBug == .evictDirtyPage ? .max : vdl) {
      frame = victim
    } else {
      return nil
    }
    frames[frame] = Frame(page: page, lsn: lsn, isUsed: true, isReferenced: true)
    var at = slot(of: page)
    while slots[at] != 0 { at = (at + 1) & (slots.count - 1) }
    slots[at] = UInt32(frame + 1)
    count += 1
    return frame
  }
  /// Forgets a page without regard to VDL.
  mutating func remove(_ page: PageID) {
    guard let frame = find(page) else { return }
    unlink(frame)
    freeFrames.append(Int32(frame))
  }
  mutating func removeAll() {
    for at in slots.indices { slots[at] = 0 }
    frames.removeAll(keepingCapacity: true)
    freeFrames.removeAll(keepingCapacity: true)
    count = 0
    hand = 0
    fruitlessAt = nil
  }

  private mutating func evict(vdl: LSN) -> Int? {
    if let fruitlessAt, fruitlessAt == vdl { return nil }
    var looked = 0
    // Twice round at most: the first turn may only take marks away.
    while looked < min(2 * capacity, PageCache.scanMax) {
      let frame = hand
      hand = hand + 1 == frames.count ? 0 : hand + 1
      looked += 1
      guard frames[frame].isUsed, frames[frame].lsn <= vdl else { continue }
      if frames[frame].isReferenced {
        frames[frame].isReferenced = false
        continue
      }
      unlink(frame)
      evictions += 1
      return frame
    }
    if looked >= 2 * capacity { fruitlessAt = vdl }
    return nil
  }
  private mutating func unlink(_ frame: Int) {
    let mask = slots.count - 1
    var hole = slot(of: frames[frame].page)
    while slots[hole] != UInt32(frame + 1) { hole = (hole + 1) & mask }
    // Moves later entries of the run back, so that no search ends early.
    var next = (hole + 1) & mask
    while slots[next] != 0 {
      let home = slot(of: frames[Int(slots[next] - 1)].page)
      if (next &- home) & mask >= (next &- hole) & mask {
        slots[hole] = slots[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    slots[hole] = 0
    frames[frame] = Frame()
    count -= 1
  }
  private mutating func rehash() {
    slots = [UInt32](repeating: 0, count: slots.count * 2)
    for frame in frames.indices where frames[frame].isUsed {
      var at = slot(of: frames[frame].page)
      while slots[at] != 0 { at = (at + 1) & (slots.count - 1) }
      slots[at] = UInt32(frame + 1)
    }
  }

  /// What is wrong with the structure; empty when nothing.
  borrowing func checkInvariants(lastIssued: LSN) -> [String] {
    var used = 0
    var problems: [String] = []
    for frame in frames.indices where frames[frame].isUsed {
      used += 1
      if frames[frame].lsn > lastIssued {
        problems.append("cache: page \(frames[frame].page) at LSN \(frames[frame].lsn) above \(lastIssued)")
      }
      var at = slot(of: frames[frame].page)
      while slots[at] != 0, slots[at] != UInt32(frame + 1) { at = (at + 1) & (slots.count - 1) }
      if slots[at] == 0 { problems.append("cache: page \(frames[frame].page) cannot be found") }
    }
    if used != count || used + freeFrames.count != frames.count { problems.append("cache: frames do not add up") }
    return problems
  }
}
