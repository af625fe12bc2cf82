import BorealisCore
import BorealisVolume

// Clients that use the volume as SQLite does: Documentation/SQLite.md, "How a transaction travels".
//
// A transaction takes the one write lock of its instance, reads the pages that it needs at the head, changes some of them
// and page 0, and is submitted as one mini-transaction; then the next one may begin, before it is durable. A snapshot opens
// a read point, reads every page of the database, the head first where it is in a cache, and closes the point.
extension Simulation {
  /// One step of a client.
  func databaseStep(_ open: [SimulatedWriter]) {
    let writer = open[clientChance.index(open.count)]
    switch clientChance.below(100) {
    case 0..<55: beginTransaction(on: writer)
    case 55..<75: beginSnapshot(on: writer)
    default:
      if readers.isEmpty { return beginSnapshot(on: writer) }
      beginSnapshot(on: readers[clientChance.index(readers.count)])
    }
  }

  // MARK: Transactions

  private func beginTransaction(on writer: SimulatedWriter) {
    guard let model = database?.model else { return }
    forgetTasks()
    guard database?.tasks.contains(where: { $0.peer == writer.peer && $0.isTransaction }) != true else { return }
    let plan = model.draw(on: writer.head, &clientChance)
    add(peer: writer.peer, .transaction(plan), at: nil, floor: 0, pages: plan.reads) { id in
      for page in plan.reads { readHead(page, of: writer, for: id) }
    }
  }
  private func commit(_ task: DatabaseTask, _ plan: DatabaseModel.Plan, on writer: SimulatedWriter) {
    for (page, bytes) in zip(task.pages, task.images) {
      guard let model = database?.model, let bytes else { return }
      prefix.readsHead(page, bytes, by: writer.peer, head: writer.head, model: model, &verdicts)
    }
    _ = commit(plan, on: writer)
  }
  /// Commits a transaction on the writer's head; false when the writer refused.
  func commit(_ plan: DatabaseModel.Plan, on writer: SimulatedWriter) -> Bool {
    guard let model = database?.model else { return false }
    let images = model.images(of: plan, on: writer.head, &clientChance)
    var writes = images.map { Oracle.Write(page: $0.page, offset: 0, bytes: $0.bytes) }
    for page in plan.size..<max(plan.size, model.transactions[writer.head].size) {
      writes.append(Oracle.Write(page: page, offset: 0, bytes: [], isDiscard: true))
    }
    return commit(writes, on: writer) { number, lsn in
      writer.head = model.commit(
        parent: writer.head, size: plan.size, images: images, oracleNumber: number, lsn: lsn)
    }
  }
  /// Commits a transaction that writes `pages`, without reading first; false when the writer refused.
  func commitDatabase(_ pages: [Int], on writer: SimulatedWriter) -> Bool {
    guard let model = database?.model else { return false }
    return commit(model.plan(writing: pages, on: writer.head), on: writer)
  }
  /// A client was told that an oracle's transaction is durable.
  func acknowledgeDatabase(_ oracleNumber: Int, by writer: SimulatedWriter) {
    guard let model = database?.model else { return }
    var at = writer.head
    while at > writer.floor, model.transactions[at].oracleNumber != oracleNumber { at = model.transactions[at].parent }
    if at > writer.floor { writer.floor = at }
  }
  /// A writer has opened the volume: where its head is, and whether everything that was promised is in it.
  func openDatabase(on writer: SimulatedWriter) {
    guard let model = database?.model else { return }
    var head = 0
    for (number, transaction) in model.transactions.enumerated() where number > 0 {
      let known = oracle.transactions[transaction.oracleNumber]
      guard !known.isRemoved, known.epoch < writer.epoch, transaction.lsn <= writer.base else { continue }
      if transaction.lsn > model.transactions[head].lsn { head = number }
    }
    (writer.head, writer.floor) = (head, head)
    prefix.opened(by: writer.peer, epoch: writer.epoch, head: head, model: model, oracle: oracle, &verdicts)
  }

  /// Pages that the last commits write: a database is not made longer by them, since a volume need not grow.
  func pagesInUse() -> Int {
    guard let model = database?.model else { return oracle.pageCount }
    return max(1, newestWriter.map { model.transactions[$0.head].size } ?? 0)
  }

  // MARK: Snapshots

  /// Everybody reads the whole database once more.
  func beginLastSnapshots(on writer: SimulatedWriter) {
    guard database != nil else { return }
    beginSnapshot(on: writer)
    for reader in readers { beginSnapshot(on: reader) }
  }
  /// Clients of the database that still work on some instance.
  func databaseTasksLeft() -> Int {
    forgetTasks()
    return database?.tasks.count ?? 0
  }

  private func beginSnapshot(on writer: SimulatedWriter) {
    guard let process = writer.writer, let model = database?.model else { return }
    let point = process.machine.openReadPoint()
    writer.points.append(point)
    verdicts.require(point <= writer.vdl, .i8, "\(writer.peer) gives read point \(point) above VDL \(writer.vdl)")
    add(peer: writer.peer, .snapshot, at: point, floor: writer.floor, pages: Array(0..<model.pageCount)) { id in
      readSnapshot(id, on: writer, point)
    }
  }
  private func beginSnapshot(on reader: SimulatedReader) {
    guard reader.process.machine.isAttached, let model = database?.model else { return }
    let point = reader.process.machine.openReadPoint()
    reader.points.append((point, true))
    add(peer: reader.peer, .snapshot, at: point, floor: reader.seen, pages: Array(0..<model.pageCount)) { id in
      readSnapshot(id, on: reader, point)
    }
  }
  private func readSnapshot(_ id: Int, on writer: SimulatedWriter, _ point: LSN) {
    for page in 0..<oracle.pageCount {
      // The head is a shorter way where the page has not changed since.
      if clientChance.chance(1, in: 2) {
        readHead(page, of: writer, for: id)
      } else {
        beginRead(writer, page, at: point, for: id)
      }
    }
  }
  private func readSnapshot(_ id: Int, on reader: SimulatedReader, _ point: LSN) {
    for page in 0..<oracle.pageCount {
      let lsn = buffer.withUnsafeMutableBytes { reader.process.machine.readCached(oracle.page(page), into: $0) }
      if let lsn, lsn > .zero, lsn <= point {
        take(page, buffer, lsn: lsn, for: id)
      } else {
        beginRead(reader, page, at: clientChance.chance(1, in: 2) ? nil : point, for: id)
      }
    }
  }
  private func readHead(_ page: Int, of writer: SimulatedWriter, for id: Int) {
    guard let process = writer.writer else { return }
    let lsn = buffer.withUnsafeMutableBytes { process.machine.readCached(oracle.page(page), into: $0) }
    if let lsn { take(page, buffer, lsn: lsn, for: id) } else { beginRead(writer, page, at: nil, for: id) }
  }

  // MARK: Tasks

  private func add(
    peer: PeerID, _ purpose: DatabaseTask.Purpose, at point: LSN?, floor: Int, pages: [Int], begin: (Int) -> Void
  ) {
    guard let id = database?.nextTask else { return }
    database?.nextTask += 1
    database?.tasks.append(
      DatabaseTask(id: id, peer: peer, purpose: purpose, point: point, floor: floor, pages: pages))
    digest.event(now.nanoseconds, 150, peer.value, UInt64(id))
    begin(id)
  }
  /// Instances that ended have taken their clients' work with them.
  private func forgetTasks() {
    let (writers, readers) = (writers, readers)
    database?.tasks.removeAll { task in
      !writers.contains { $0.peer == task.peer } && !readers.contains { $0.peer == task.peer }
    }
  }

  /// A page read for a task has ended; `image` is nil where it failed.
  ///
  /// `isHead`: as the head showed it; a snapshot takes it only if it has not changed since.
  func pageRead(_ page: Int, _ image: PageImage?, for id: Int, isHead: Bool) {
    guard let i = database?.index(of: id) else { return }
    if let image {
      var bytes = image.bytes
      bytes.append(contentsOf: repeatElement(0, count: options.pageSize - bytes.count))
      take(page, bytes, lsn: isHead ? image.lsn : nil, for: id)
    } else {
      database?.tasks[i].isBroken = true
      arrived(i)
    }
  }
  /// Takes a page for a task; `lsn` is that of its last change where the head was read.
  private func take(_ page: Int, _ bytes: [UInt8], lsn: LSN?, for id: Int) {
    guard let i = database?.index(of: id), let task = database?.tasks[i] else { return }
    if let point = task.point, let lsn, lsn > point || lsn == .zero {
      return queue.push(.databaseRead(task: id, page: page), at: now)
    }
    if let k = task.pages.firstIndex(of: page) { database?.tasks[i].images[k] = bytes }
    arrived(i)
  }
  /// The head was of no use to a snapshot: the page is asked for as it was at the read point.
  func readAgain(_ page: Int, for id: Int) {
    guard let i = database?.index(of: id), let task = database?.tasks[i], let point = task.point else { return }
    if let writer = writers.first(where: { $0.peer == task.peer }) {
      beginRead(writer, page, at: point, for: id)
    } else if let reader = readers.first(where: { $0.peer == task.peer }) {
      beginRead(reader, page, at: point, for: id)
    }
  }
  private func arrived(_ i: Int) {
    database?.tasks[i].left -= 1
    guard let task = database?.tasks[i], task.left == 0 else { return }
    // Not at once: this may be in the middle of a step of the instance.
    queue.push(.databaseTask(task.id), at: now.advanced(byNanoseconds: clientChance.within(1000...200_000)))
  }

  /// A task has all its pages.
  func finish(_ id: Int) {
    guard let i = database?.index(of: id), let task = database?.tasks.remove(at: i), let model = database?.model
    else { return }
    let writer = writers.first { $0.peer == task.peer && $0.isOpen }
    switch task.purpose {
    case .transaction(let plan): if let writer, !task.isBroken, phase == .safety { commit(task, plan, on: writer) }
    case .snapshot:
      guard let point = task.point else { return }
      let reader = readers.first { $0.peer == task.peer }
      guard writer != nil || reader != nil else { return }
      let pages = task.images.compactMap { $0 }
      guard !task.isBroken, pages.count == model.pageCount else { return closePoint(task.peer, point) }
      counts.snapshots += 1
      let seen = prefix.completed(
        pages, at: point, by: task.peer, floor: task.floor, shown: task.shown, durable: durability.highest,
        model: model, oracle: oracle, &verdicts)
      digest.event(now.nanoseconds, 151, task.peer.value, UInt64(seen ?? 0))
      if let reader, let seen { reader.seen = max(reader.seen, seen) }
      // Some snapshots are held, and read once more.
      guard let seen, phase == .safety, task.shown == nil, clientChance.chance(1, in: 3) else {
        return closePoint(task.peer, point)
      }
      var again = DatabaseTask(
        id: task.id, peer: task.peer, purpose: .snapshot, point: point, floor: task.floor, pages: task.pages)
      again.shown = seen
      database?.tasks.append(again)
      let pause = clientChance.chance(1, in: 3) ? clientChance.within(50_000_000...500_000_000) : 5_000_000
      queue.push(.databaseSnapshot(task.id), at: now.advanced(byNanoseconds: pause))
    }
  }
  /// A snapshot that was held is read again.
  func lookAgain(_ id: Int) {
    guard let i = database?.index(of: id), let task = database?.tasks[i], let point = task.point else { return }
    if let writer = writers.first(where: { $0.peer == task.peer }) {
      readSnapshot(id, on: writer, point)
    } else if let reader = readers.first(where: { $0.peer == task.peer }) {
      readSnapshot(id, on: reader, point)
    }
  }
}
