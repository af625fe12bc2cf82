import BorealisCore

/// Group commit: how long open batches wait for the clients that were just woken.
///
/// A flush costs nearly the same for one commit as for thirty. When a quorum wakes n clients, most of them come back with
/// their next commit at once; a batch that goes out before they do carries the other half, and the two halves take turns
/// (measured with 32 clients: 15 commits a batch, 14,400-17,800 commits/s; held: 31 a batch, 24,400-31,100/s). So a
/// wake-up of n clients holds the open batches until n waits have been registered, or until a deadline: a part of the
/// time that a quorum takes, made smaller whenever clients do not come back, so that nobody waits for clients that
/// think. One client alone never waits: its own wait is the one that is held for.
struct CommitHold: Sendable {
  /// Parts of the usual quorum time that a hold may last at most.
  private static let partsMax = 8
  /// Times longer than this say more of a lost node than of a flush.
  private static let nanosecondsMax: UInt64 = 2_000_000
  /// With no part left, every so many wake-ups it is tried again.
  private static let probeInterval = 64

  private var expected = 0
  private var returned = 0
  private var deadline = Instant.zero
  /// Eighths of the quorum time.
  private var parts = 1
  private var probes = 0
  /// Decaying mean time from sending a batch to its quorum, in nanoseconds.
  private var quorumTime: UInt64 = 0
  /// Whether the shell was asked to look again at the deadline.
  private var isTimed = false

  /// Takes how long a batch took to have its quorum.
  mutating func noteQuorum(nanoseconds: UInt64) {
    let time = min(nanoseconds, CommitHold.nanosecondsMax)
    quorumTime = quorumTime == 0 ? time : quorumTime - quorumTime / 8 + time / 8
  }
  /// Begins a hold for `count` clients, and learns from the one before.
  mutating func noteWoken(_ count: Int, now: Instant) {
    if expected > 0 {
      // Half of those woken is worth having waited for.
      parts = returned * 2 >= expected ? min(parts + 1, CommitHold.partsMax) : parts / 2
    }
    var allowed = parts
    if parts == 0 {
      probes += 1
      if probes % CommitHold.probeInterval == 0 { allowed = 1 }
    }
    expected = allowed == 0 ? 0 : count
    returned = 0
    isTimed = false
    deadline = now.advanced(byNanoseconds: quorumTime / UInt64(CommitHold.partsMax) * UInt64(allowed))
  }
  /// A client has come back; true when it is the last one that was held for.
  mutating func noteReturned(now: Instant) -> Bool {
    guard returned < expected, now < deadline else { return false }
    returned += 1
    return returned == expected
  }
  /// Whether batches are to be held.
  func isHolding(now: Instant) -> Bool { returned < expected && now < deadline }
  /// When to look again, told once for each hold.
  mutating func takeTimer() -> Instant? {
    guard !isTimed else { return nil }
    isTimed = true
    return deadline
  }
}
