import BorealisCore
import Testing

@testable import BorealisVolume

@Suite("Group commit: batches held for woken clients")
struct CommitHoldTests {
  static func at(_ microseconds: UInt64) -> Instant { Instant(nanoseconds: microseconds * 1000) }

  /// A hold that has seen quorums of 800 us, and clients that always come back.
  static func eager() -> CommitHold {
    var hold = CommitHold()
    for _ in 0..<100 { hold.noteQuorum(nanoseconds: 800_000) }
    for i in 0..<20 {
      hold.noteWoken(4, now: at(UInt64(i)))
      for _ in 0..<4 { _ = hold.noteReturned(now: at(UInt64(i))) }
    }
    return hold
  }

  @Test("ends with the last client that was woken, not before")
  func endsWithLastReturn() {
    var hold = CommitHoldTests.eager()
    hold.noteWoken(3, now: CommitHoldTests.at(1000))
    #expect(hold.isHolding(now: CommitHoldTests.at(1001)))
    let last1 = hold.noteReturned(now: CommitHoldTests.at(1002))
    #expect(!last1)
    let last2 = hold.noteReturned(now: CommitHoldTests.at(1003))
    #expect(!last2)
    #expect(hold.isHolding(now: CommitHoldTests.at(1004)))
    let last3 = hold.noteReturned(now: CommitHoldTests.at(1005))
    #expect(last3)
    #expect(!hold.isHolding(now: CommitHoldTests.at(1006)))
    let last4 = hold.noteReturned(now: CommitHoldTests.at(1007))
    #expect(!last4, "only once")
  }

  @Test("ends after a quorum's time at the latest, of which the shell is told once")
  func endsAtDeadline() throws {
    var hold = CommitHoldTests.eager()
    hold.noteWoken(3, now: CommitHoldTests.at(1000))
    let first = hold.takeTimer()
    let timer = try #require(first)
    #expect(timer > CommitHoldTests.at(1000) && timer <= CommitHoldTests.at(1800))
    let second = hold.takeTimer()
    #expect(second == nil)
    #expect(!hold.isHolding(now: timer))
    let last5 = hold.noteReturned(now: timer)
    #expect(!last5)
  }

  @Test("clients that do not come back are soon waited for no more, and tried again now and then")
  func learns() {
    var hold = CommitHoldTests.eager()
    var held = 0
    for i in 0..<200 {
      let now = CommitHoldTests.at(UInt64(10_000 + i * 1000))
      hold.noteWoken(2, now: now)
      if hold.isHolding(now: now) { held += 1 }
    }
    #expect(held > 0 && held < 12, "held \(held) of 200 times")
  }

  @Test("a slow quorum does not make a long hold")
  func isBounded() {
    var hold = CommitHoldTests.eager()
    for _ in 0..<100 { hold.noteQuorum(nanoseconds: 5_000_000_000) }
    hold.noteWoken(2, now: CommitHoldTests.at(1000))
    #expect(!hold.isHolding(now: CommitHoldTests.at(1000 + 2001)))
  }

  @Test("a writer with one client sends at its wait; with two, at the second one's; a tick sends what nobody waits for")
  func writer() throws {
    let volume = TestVolume()
    var sent = volume.writer.statistics.batches
    func newBatches() -> UInt64 {
      defer { sent = volume.writer.statistics.batches }
      return volume.writer.statistics.batches - sent
    }
    func commit(_ byte: UInt8, waiter: WaiterID) throws -> UInt64 {
      let lsn = try volume.commit(DurabilityTests.write(page(1, 0), byte))
      let atCommit = newBatches()
      #expect(try volume.wait(for: lsn, waiter: waiter) == false)
      return atCommit
    }
    // Quorums that take 400 us, and one client that always comes back.
    for i in 1...20 {
      _ = try commit(UInt8(i), waiter: UInt64(i))
      _ = newBatches()
      volume.now = volume.now.advanced(byNanoseconds: 400_000)
      volume.settle()
      #expect(volume.durable.last == UInt64(i))
    }
    #expect(try commit(31, waiter: 31) == 0, "held for its own wait")
    #expect(newBatches() == 1)
    #expect(try commit(32, waiter: 32) == 0, "a batch is under way")
    volume.now = volume.now.advanced(byNanoseconds: 400_000)
    volume.settle()
    #expect(volume.durable.last == 31, "the second one's batch is held for the first client")
    volume.tick()
    volume.settle()
    #expect(volume.durable.suffix(2) == [31, 32], "until a tick")
  }
}
