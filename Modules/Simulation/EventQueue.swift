import BorealisCore

/// What is to happen, in order of virtual time; of two things at the same instant the one scheduled first happens first.
///
/// A binary heap of small keys; the payloads stay where they are.
package struct EventQueue<Payload> {
  private struct Key {
    var time: UInt64
    var sequence: UInt64
    var slot: Int
    static func < (lhs: Key, rhs: Key) -> Bool {
      lhs.time == rhs.time ? lhs.sequence < rhs.sequence : lhs.time < rhs.time
    }
  }
  private var heap: [Key] = []
  private var payloads: [Payload?] = []
  private var free: [Int] = []
  private var sequence: UInt64 = 0

  /// An empty queue.
  package init() {}

  /// Number of things to come.
  package var count: Int { heap.count }

  /// Adds `payload` at `time`.
  package mutating func push(_ payload: Payload, at time: Instant) {
    let slot: Int
    if let reused = free.popLast() {
      slot = reused
      payloads[slot] = payload
    } else {
      slot = payloads.count
      payloads.append(payload)
    }
    heap.append(Key(time: time.nanoseconds, sequence: sequence, slot: slot))
    sequence += 1
    siftUp(heap.count - 1)
  }

  /// Takes what comes next; nil when nothing does.
  package mutating func pop() -> (time: Instant, payload: Payload)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown(0)
    }
    guard let payload = payloads[first.slot] else { preconditionFailure("an event was taken twice") }
    payloads[first.slot] = nil
    free.append(first.slot)
    return (Instant(nanoseconds: first.time), payload)
  }

  private mutating func siftUp(_ start: Int) {
    var child = start
    let moved = heap[child]
    while child > 0 {
      let parent = (child - 1) / 2
      guard moved < heap[parent] else { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = moved
  }

  private mutating func siftDown(_ start: Int) {
    var parent = start
    let moved = heap[parent]
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < moved else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = moved
  }
}
