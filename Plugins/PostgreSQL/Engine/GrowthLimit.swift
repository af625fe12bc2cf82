import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import Synchronization

/// Keeps the last room of the storage nodes' disks for the log: tables stop growing before the disks are full.
///
/// On disks that are full all commits wait, and `DROP TABLE` with them. Refused a little earlier, growth is an error that
/// PostgreSQL knows how to handle: the statement fails, the server goes on.
final class GrowthLimit: Sendable {
  /// The reserve is this part of all the room at most.
  private static let partMax: UInt64 = 16
  /// What was found out is taken to be true for so long.
  private static let freshMilliseconds: UInt64 = 100

  private struct Finding: Sendable {
    var isShort = false
    var until = Instant.zero
  }
  private let room: @Sendable () -> MountCapacity
  private let reserve: ByteCount
  private let isOn = Atomic(false)
  private let finding = Mutex(Finding())

  /// nil where nothing is known of the room.
  init?(_ options: PostgreSQLOptions) {
    guard let room = options.room else { return nil }
    self.room = room
    reserve = options.reserve
  }
  /// From now on; before, a server may be recovering, and what it replays must go on.
  func begin() { isOn.store(true, ordering: .releasing) }

  /// Whether files should grow no more.
  var refusesGrowth: Bool {
    guard isOn.load(ordering: .acquiring) else { return false }
    let now = SystemClock.now
    return finding.withLock { finding in
      guard now >= finding.until else { return finding.isShort }
      let capacity = room()
      let kept = min(reserve.value, capacity.total.value / Self.partMax)
      finding = Finding(
        isShort: capacity.free.value < kept, until: now.advanced(byMilliseconds: Self.freshMilliseconds))
      return finding.isShort
    }
  }
}
