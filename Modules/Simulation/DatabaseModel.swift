import BorealisCore

/// What a database looks like after each transaction, and what its pages say of themselves.
///
/// The database is the oracle's pages 0..<size, as if they were a file of SQLite and those attached to it. Every page
/// carries the number of the transaction that wrote it last, its own number and a checksum; page 0 also a change counter
/// and the size. So pages that were read can be judged by what they say, without an LSN: together they must be the state
/// after one transaction. Transactions form a tree, since a writer that does not know yet that it is fenced goes on.
package final class DatabaseModel {
  /// A transaction that a writer took.
  package struct Transaction: Sendable {
    /// The one whose state it was built on; 0: the empty database.
    var parent: Int
    /// How many came before it.
    var counter: UInt32
    /// The database's pages after it.
    var size: Int
    /// Which transaction wrote each page last; 0: nobody, the page is all zero.
    var authors: [Int]
    /// The pages that it wrote, by number.
    var images: [(page: Int, bytes: [UInt8])]
    /// Its number and LSN among the oracle's.
    var oracleNumber: Int
    var lsn: LSN
    /// Whether a reader of the whole database has seen it: it can never un-happen.
    var isSeen = false
  }
  /// Bytes of a page before its cells.
  static let headerBytes = 32
  private static let cellBytes = 16
  private static let changeMax = 11
  private static let sizeMin = 2

  /// The most pages of the database.
  let pageCount: Int
  let pageSize: Int
  private(set) var transactions: [Transaction]

  package init(pageCount: Int, pageSize: Int) {
    self.pageCount = pageCount
    self.pageSize = pageSize
    transactions = [
      Transaction(
        parent: 0, counter: 0, size: 0, authors: Array(repeating: 0, count: pageCount), images: [], oracleNumber: -1,
        lsn: .zero)
    ]
  }

  // MARK: Transactions

  /// What a transaction is going to do.
  package struct Plan: Sendable {
    /// Pages that it reads first, page 0 and those that it changes; ascending.
    package var reads: [Int]
    /// Pages that it writes, page 0 first; ascending.
    package var writes: [Int]
    /// The size after it.
    package var size: Int
    package init(reads: [Int], writes: [Int], size: Int) {
      self.reads = reads
      self.writes = writes
      self.size = size
    }
  }

  /// Draws a transaction on the state after `head`: most change some pages, some append, some cut the end off, as
  /// VACUUM does, and some rewrite much.
  func draw(on head: Int, _ chance: inout DeterministicGenerator) -> Plan {
    let size = transactions[head].size
    guard size > 0 else { return plan([1], on: size, size: Self.sizeMin) }
    let kind = chance.below(100)
    var changed: [Int] = []
    for _ in 0..<chance.within(1...4) { changed.append(chance.index(size)) }
    switch kind {
    case 0..<25 where size < pageCount:
      let end = min(pageCount, size + Int(chance.within(1...4)))
      return plan(changed + Array(size..<end), on: size, size: end)
    case 25..<40 where size > Self.sizeMin:
      let end = max(Self.sizeMin, size - Int(chance.within(1...6)))
      return plan(changed.filter { $0 < end }, on: size, size: end)
    case 40..<50:
      let first = chance.index(size)
      return plan((0..<min(size, Self.changeMax)).map { ($0 + first) % size }, on: size, size: size)
    default: return plan(changed, on: size, size: size)
    }
  }
  /// A transaction that writes these pages, appending those that are not there.
  func plan(writing pages: [Int], on head: Int) -> Plan {
    let size = transactions[head].size
    return plan(pages, on: size, size: max(size, (pages.max() ?? 0) + 1, Self.sizeMin))
  }
  private func plan(_ pages: [Int], on size: Int, size after: Int) -> Plan {
    var writes: [Int] = []
    for page in ([0] + pages).sorted() where page != writes.last { writes.append(page) }
    // An empty database has nothing but what its first transaction makes.
    if size == 0 { writes = Array(0..<max(after, (writes.last ?? 0) + 1)) }
    return Plan(reads: writes.filter { $0 == 0 || $0 < size }, writes: writes, size: max(after, (writes.last ?? 0) + 1))
  }

  /// The pages that `plan` leaves when its transaction gets the next number.
  package func images(
    of plan: Plan, on head: Int, _ chance: inout DeterministicGenerator
  ) -> [(page: Int, bytes: [UInt8])] {
    let number = transactions.count
    return plan.writes.map { page in
      var bytes = image(of: page, after: head) ?? [UInt8](repeating: 0, count: pageSize)
      let isNew = transactions[head].authors[page] == 0
      let cells = (pageSize - Self.headerBytes) / Self.cellBytes
      for i in 0..<(isNew ? cells : Int(chance.within(1...4))) {
        let at = Self.headerBytes + (isNew ? i : chance.index(cells)) * Self.cellBytes
        bytes.store(UInt64(number), at: at)
        bytes.store(chance.next(), at: at + 8)
      }
      for i in 0..<Self.headerBytes { bytes[i] = 0 }
      bytes.store(UInt64(number), at: 0)
      bytes.store(UInt32(page), at: 8)
      if page == 0 {
        bytes.store(transactions[head].counter + 1, at: 16)
        bytes.store(UInt32(plan.size), at: 20)
      }
      bytes.store(CRC32C.checksum(bytes), at: 12)
      return (page, bytes)
    }
  }

  /// A writer took the transaction; returns its number.
  package func commit(
    parent: Int, size: Int, images: [(page: Int, bytes: [UInt8])], oracleNumber: Int, lsn: LSN
  ) -> Int {
    let number = transactions.count
    var authors = transactions[parent].authors
    for i in size..<max(size, authors.count) { authors[i] = 0 }
    for image in images { authors[image.page] = number }
    transactions.append(
      Transaction(
        parent: parent, counter: transactions[parent].counter + 1, size: size, authors: authors, images: images,
        oracleNumber: oracleNumber, lsn: lsn))
    return number
  }
  /// A reader has seen the state after a transaction.
  func see(_ number: Int) { transactions[number].isSeen = true }

  /// A page after a transaction; nil where nobody has written it.
  func image(of page: Int, after number: Int) -> [UInt8]? {
    let author = transactions[number].authors[page]
    return author == 0 ? nil : transactions[author].images.first { $0.page == page }?.bytes
  }
  /// Whether the state after `later` contains the transaction `earlier`.
  package func contains(_ earlier: Int, in later: Int) -> Bool {
    var at = later
    while at > earlier { at = transactions[at].parent }
    return at == earlier
  }

  // MARK: Judging

  /// Which transaction's state these pages are, all of the database's in order; or why they are no one's.
  package func judge(_ pages: [[UInt8]]) -> Result<Int, DatabaseFault> {
    let number = Int(clamping: pages[0].load(UInt64.self, at: 0))
    guard number < transactions.count else { return .failure(.init("page 0 says transaction \(number): never made")) }
    for (page, bytes) in pages.enumerated() {
      if let fault = judge(page, bytes, after: number) { return .failure(fault) }
    }
    return .success(number)
  }
  /// What is wrong with a page that should be as after transaction `number`; nil: nothing.
  func judge(_ page: Int, _ bytes: [UInt8], after number: Int) -> DatabaseFault? {
    let author = transactions[number].authors[page]
    guard author != 0 else {
      guard let at = bytes.firstIndex(where: { $0 != 0 }) else { return nil }
      return .init(
        "page \(page) is beyond the \(transactions[number].size) pages of transaction \(number), and says transaction"
          + " \(bytes.load(UInt64.self, at: 0)) (first byte \(at))")
    }
    let found = bytes.load(UInt64.self, at: 0)
    guard found == UInt64(author) else {
      return .init("page \(page) is of transaction \(found); after transaction \(number) it is of \(author)")
    }
    var plain = bytes
    plain.store(UInt32(0), at: 12)
    guard bytes.load(UInt32.self, at: 8) == UInt32(page), bytes.load(UInt32.self, at: 12) == CRC32C.checksum(plain)
    else { return .init("page \(page) says transaction \(found), and its checksum is wrong") }
    guard bytes == image(of: page, after: number) else {
      return .init("page \(page) says transaction \(found), and is another page than it wrote")
    }
    return nil
  }
}

/// Why pages that were read are not the state after any transaction.
package struct DatabaseFault: Error, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

extension [UInt8] {
  fileprivate func load<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
    var value = T.zero
    for i in 0..<(T.bitWidth / 8) where offset + i < count { value |= T(self[offset + i]) << T(i * 8) }
    return value
  }
  fileprivate mutating func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    for i in 0..<(T.bitWidth / 8) { self[offset + i] = UInt8(truncatingIfNeeded: value >> T(i * 8)) }
  }
}
