import BorealisCore

/// What the volume must contain, by the dumbest means: a list of all mini-transactions, replayed from the beginning.
package final class Oracle {
  /// One write of a mini-transaction; a discard has no bytes and `isDiscard`.
  package struct Write: Sendable {
    package var page: Int
    package var offset: Int
    package var bytes: [UInt8]
    package var isDiscard: Bool
    package init(page: Int, offset: Int, bytes: [UInt8], isDiscard: Bool = false) {
      self.page = page
      self.offset = offset
      self.bytes = bytes
      self.isDiscard = isDiscard
    }
  }
  /// A mini-transaction that a writer took, at the LSN of its consistency point.
  package struct Transaction: Sendable {
    package var lsn: LSN
    var first: LSN
    var epoch: VolumeEpoch
    var writes: [Write]
    /// Whether a recovery took it away for ever.
    var isRemoved: Bool
    /// Whether some client was told that it is durable.
    var isAcknowledged: Bool
  }
  private struct Reference {
    var transaction: Int
    var write: Int
  }
  /// Pages of one object.
  let pagesPerObject: Int
  /// Objects, numbered from 1.
  let objects: Int
  let pageSize: Int
  /// All mini-transactions in the order in which they were committed.
  private(set) var transactions: [Transaction] = []
  private var references: [[Reference]]
  /// The latest completed opening: mini-transactions of older epochs above its VDL are void, also those yet to come.
  private var openings: [(epoch: VolumeEpoch, vdl: LSN)] = []
  private var scratch: [UInt8]

  package init(objects: Int, pagesPerObject: Int, pageSize: Int) {
    self.objects = objects
    self.pagesPerObject = pagesPerObject
    self.pageSize = pageSize
    references = Array(repeating: [], count: objects * pagesPerObject)
    scratch = [UInt8](repeating: 0, count: pageSize)
  }

  /// Number of pages that clients use.
  var pageCount: Int { objects * pagesPerObject }
  /// The address of page number `index`.
  ///
  /// Pages of an object are spread out so that several extents are touched.
  func page(_ index: Int) -> PageID {
    PageID(object: ObjectID(UInt64(1 + index / pagesPerObject)), index: UInt64(index % pagesPerObject))
  }
  /// The number of a page; nil for pages that no client uses.
  func index(of page: PageID) -> Int? {
    guard page.object.value >= 1, page.object.value <= UInt64(objects), page.index < UInt64(pagesPerObject) else {
      return nil
    }
    return Int(page.object.value - 1) * pagesPerObject + Int(page.index)
  }

  /// A writer took a mini-transaction; returns its number.
  package func commit(first: LSN, lsn: LSN, epoch: VolumeEpoch, writes: [Write]) -> Int {
    var removed = false
    for opening in openings where opening.epoch > epoch && lsn > opening.vdl { removed = true }
    let number = transactions.count
    transactions.append(
      Transaction(
        lsn: lsn, first: first, epoch: epoch, writes: writes, isRemoved: removed, isAcknowledged: false))
    for (i, write) in writes.enumerated() {
      let reference = Reference(transaction: number, write: i)
      // Nearly always the newest; a writer that does not know yet that it is fenced issues lower LSNs.
      var at = references[write.page].count
      while at > 0, transactions[references[write.page][at - 1].transaction].lsn > lsn { at -= 1 }
      references[write.page].insert(reference, at: at)
    }
    return number
  }

  /// A client was told that mini-transaction `number` is durable.
  func acknowledge(_ number: Int) { transactions[number].isAcknowledged = true }

  /// A recovery was completed: what older writers put above `vdl` is void.
  ///
  /// Returns the acknowledged ones among them.
  package func open(epoch: VolumeEpoch, vdl: LSN, acknowledged: (Transaction) -> Bool) -> [Transaction] {
    openings.append((epoch, vdl))
    var lost: [Transaction] = []
    for i in transactions.indices
    where transactions[i].epoch < epoch && transactions[i].lsn > vdl && !transactions[i].isRemoved {
      transactions[i].isRemoved = true
      if transactions[i].isAcknowledged || acknowledged(transactions[i]) { lost.append(transactions[i]) }
    }
    return lost
  }

  /// Whether page `index` holds `bytes` at `point`, in the volume's one history.
  package func matches(_ index: Int, at point: LSN, _ bytes: UnsafeRawBufferPointer) -> Bool {
    replay(index) { $0.lsn <= point && !$0.isRemoved }
    return equal(bytes)
  }
  /// Whether page `index` holds `bytes` at the head of the writer of `epoch`, which opened the volume at `base`.
  func matchesHead(_ index: Int, base: LSN, epoch: VolumeEpoch, _ bytes: UnsafeRawBufferPointer) -> Bool {
    replay(index) { $0.epoch == epoch || ($0.lsn <= base && !$0.isRemoved) }
    return equal(bytes)
  }
  /// Whether page `index` held `bytes` at the head of the writer of `epoch` at any time since there were `taken`
  /// mini-transactions: a read shows the head at some moment between its beginning and its end.
  func matchesHead(
    _ index: Int, base: LSN, epoch: VolumeEpoch, taken: Int, _ bytes: UnsafeRawBufferPointer
  ) -> Bool {
    func isSeen(_ i: Int) -> Bool {
      transactions[i].epoch == epoch || (transactions[i].lsn <= base && !transactions[i].isRemoved)
    }
    var last = taken
    for r in references[index] where r.transaction >= taken && isSeen(r.transaction) {
      replay(index, numbered: { isSeen($0) && $0 < last })
      if equal(bytes) { return true }
      last = r.transaction + 1
    }
    return matchesHead(index, base: base, epoch: epoch, bytes)
  }
  /// Whether page `index` held `bytes` at some point of the history in `low...high`.
  func matches(_ index: Int, from low: LSN, through high: LSN, _ bytes: UnsafeRawBufferPointer) -> Bool {
    if matches(index, at: low, bytes) { return true }
    var last = low
    for r in references[index] {
      let t = transactions[r.transaction]
      guard !t.isRemoved, t.lsn > last, t.lsn <= high else { continue }
      last = t.lsn
      if matches(index, at: last, bytes) { return true }
    }
    return false
  }
  /// For people: at which points the page has had these bytes.
  func explain(_ index: Int, _ bytes: UnsafeRawBufferPointer, expected point: LSN) -> String {
    var points: [LSN] = [.zero]
    var last = LSN.zero
    for r in references[index] {
      let t = transactions[r.transaction]
      if !t.isRemoved, t.lsn != last { points.append(t.lsn) }
      last = t.lsn
    }
    var same: [LSN] = []
    for p in points {
      replay(index) { $0.lsn <= p && !$0.isRemoved }
      if equal(bytes) { same.append(p) }
    }
    replay(index) { $0.lsn <= point && !$0.isRemoved }
    let at = (0..<min(bytes.count, pageSize)).first { bytes[$0] != scratch[$0] }
    let versions = points.suffix(8).map(\.description).joined(separator: ",")
    let found = same.isEmpty ? "no version" : "the version of \(same.map(\.description).joined(separator: ","))"
    return "expected the version at \(point), found \(found); it changed at ...\(versions); first difference at byte "
      + "\(at.map(String.init) ?? "none")"
  }

  private func equal(_ bytes: UnsafeRawBufferPointer) -> Bool {
    // An image may leave trailing zeros out.
    guard bytes.count <= pageSize else { return false }
    for i in 0..<bytes.count where scratch[i] != bytes[i] { return false }
    for i in bytes.count..<pageSize where scratch[i] != 0 { return false }
    return true
  }
  private func replay(_ index: Int, _ visible: (Transaction) -> Bool) {
    replay(index, numbered: { visible(transactions[$0]) })
  }
  private func replay(_ index: Int, numbered visible: (Int) -> Bool) {
    for i in 0..<pageSize { scratch[i] = 0 }
    for r in references[index] where visible(r.transaction) {
      let write = transactions[r.transaction].writes[r.write]
      if write.isDiscard {
        for i in 0..<pageSize { scratch[i] = 0 }
      } else {
        scratch.replaceSubrange(write.offset..<(write.offset + write.bytes.count), with: write.bytes)
      }
    }
  }
}
