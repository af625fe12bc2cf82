import BorealisCore

/// Those who wait for VDL, in LSN order: waking costs as much as there are to wake.
struct WaiterQueue: Sendable {
  struct Waiter: Sendable {
    var lsn: LSN
    var id: WaiterID
  }
  private var queue = Ring(filler: Waiter(lsn: .zero, id: 0))

  var count: Int { queue.count }
  var isEmpty: Bool { queue.isEmpty }
  /// Adds a waiter: nearly always the newest LSN comes last, so that nothing has to move.
  mutating func insert(_ lsn: LSN, id: WaiterID) {
    queue.append(Waiter(lsn: lsn, id: id))
    var at = queue.count - 1
    while at > 0, queue[at - 1].lsn > lsn {
      queue[at] = queue[at - 1]
      at -= 1
    }
    queue[at] = Waiter(lsn: lsn, id: id)
  }
  /// The first waiter whose LSN is at or below `lsn`, taken out.
  mutating func pop(upTo lsn: LSN) -> WaiterID? {
    guard let first = queue.first, first.lsn <= lsn else { return nil }
    queue.popFirst()
    return first.id
  }
  /// LSN of the first waiter.
  var lowest: LSN? { queue.first?.lsn }
  var isOrdered: Bool {
    for i in 0..<max(0, queue.count - 1) where queue[i].lsn > queue[i + 1].lsn { return false }
    return true
  }
}
