import BorealisCore
import BorealisCoordinator
import BorealisTransport
import BorealisVolume
import BorealisWire
import Synchronization

/// Drives a creation or recovery machine to its end on the calling thread.
final class VolumeOpening<Machine: OpeningMachine & ~Copyable>: MessageReceiver {
  private let machine: Mutex<Machine>
  private let transport: any Transport
  private let signal = ThreadSignal()

  init(_ machine: consuming sending Machine, transport: any Transport) {
    self.machine = Mutex(machine)
    self.transport = transport
  }

  func receive(_ bytes: [UInt8]) {
    var out: [Outgoing] = []
    let isDone = machine.withLock { machine in
      machine.receive(bytes, now: SystemClock.now, into: &out)
      return machine.outcome != nil || machine.failure != nil
    }
    send(out)
    if isDone { signal.raise() }
  }

  /// Blocks until the volume is opened, the machine gives up (fenced), or the time is over.
  func run(as instance: PeerID, timeoutMilliseconds: UInt64) throws(VolumeError) -> OpenedVolume {
    transport.register(instance, self)
    defer { transport.unregister(instance) }
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    var out: [Outgoing] = []
    machine.withLock { $0.start(now: SystemClock.now, into: &out) }
    while true {
      send(out)
      out.removeAll(keepingCapacity: true)
      let (outcome, failure, progress) = machine.withLock { ($0.outcome, $0.failure, $0.progress) }
      if let outcome { return outcome }
      if let failure { throw failure }
      if SystemClock.now >= deadline {
        throw VolumeError(
          .unavailable, operation: "open",
          detail: "not opened within \(timeoutMilliseconds) ms; waiting for \(progress)")
      }
      if !signal.wait(milliseconds: 5) { machine.withLock { $0.tick(now: SystemClock.now, into: &out) } }
    }
  }

  private func send(_ out: [Outgoing]) {
    for message in out { transport.send(message.bytes, to: message.to) }
  }
}

/// What `VolumeCreation` and `VolumeRecovery` have in common.
protocol OpeningMachine: ~Copyable, Sendable {
  mutating func start(now: Instant, into out: inout [Outgoing])
  mutating func receive(_ bytes: [UInt8], now: Instant, into out: inout [Outgoing])
  mutating func tick(now: Instant, into out: inout [Outgoing])
  var outcome: OpenedVolume? { get }
  var failure: VolumeError? { get }
  var progress: String { get }
}

extension VolumeRecovery: OpeningMachine {}
extension VolumeCreation: OpeningMachine {}
