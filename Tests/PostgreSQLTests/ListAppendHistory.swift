/// What clients did and saw of lists that are only ever appended to: enough to tell in which order transactions became
/// visible to each observer.
///
/// An element is appended once, and the lists of a key are in one order for everybody: the row's lock sees to that. So what
/// an observer has seen, in one snapshot, is a length for each key, and two snapshots that are both prefixes of one order of
/// all transactions have lengths of which one is nowhere above the other.
struct ListAppendHistory: Sendable {
  /// One transaction, acknowledged, that appended its number to the lists of some keys.
  struct Append: Hashable, Sendable {
    var element: Int
    var keys: [Int]
    /// When it was acknowledged, on the clock that observations have.
    var acknowledgedAt: UInt64
  }
  /// The lists of all keys, read by one statement.
  struct Observation: Hashable, Sendable {
    /// Who looked.
    var observer: String
    /// Whether all that was acknowledged before must be there: the writer.
    var isCurrent = false
    /// When it began to look.
    var beganAt: UInt64
    /// By key.
    var lists: [[Int]]
  }
  /// Two snapshots of which each has something that the other has not.
  struct LongFork: Hashable, Sendable {
    var first: Observation
    var second: Observation
    /// A key in which the first is ahead, and one in which the second is.
    var keys: [Int]
  }

  var appends: [Append] = []
  /// Those of one observer in the order in which it made them.
  var observations: [Observation] = []

  /// What breaks a promise that every endpoint makes; empty when nothing does.
  var violations: [String] {
    var found: [String] = []
    let count = observations.map(\.lists.count).max() ?? 0
    let longest = (0..<count).map { key in
      observations.map { $0.lists[key] }.max { $0.count < $1.count } ?? []
    }
    for observation in observations {
      for key in 0..<count where !longest[key].starts(with: observation.lists[key]) {
        found.append("\(observation.observer) saw key \(key) in another order")
      }
    }
    var before: [String: Observation] = [:]
    for observation in observations {
      if let earlier = before[observation.observer] {
        for key in 0..<count where observation.lists[key].count < earlier.lists[key].count {
          found.append("\(observation.observer) went back in time at key \(key)")
        }
      }
      before[observation.observer] = observation
    }
    for observation in observations {
      let seen = observation.lists.map { Set($0) }
      for append in appends {
        let there = append.keys.filter { seen[$0].contains(append.element) }
        if !there.isEmpty, there != append.keys {
          found.append("\(observation.observer) saw half of transaction \(append.element)")
        }
        if observation.isCurrent, there.isEmpty, append.acknowledgedAt < observation.beganAt {
          found.append("\(observation.observer) did not see \(append.element), acknowledged before")
        }
      }
    }
    return found
  }

  /// One long fork for each pair of observers that saw transactions in different orders.
  ///
  /// Snapshots that all are prefixes of one order form a chain when they are sorted by what they hold; where two neighbours
  /// do not, that is a fork.
  var longForks: [LongFork] {
    let observers = Set(observations.map(\.observer)).sorted()
    var found: [LongFork] = []
    for (i, one) in observers.enumerated() {
      for other in observers[(i + 1)...] {
        let both = observations.filter { $0.observer == one || $0.observer == other }
          .sorted { Self.size($0) < Self.size($1) }
        for (a, b) in zip(both, both.dropFirst()) {
          guard let fork = Self.fork(a, b) else { continue }
          found.append(fork)
          break
        }
      }
    }
    return found
  }
  private static func size(_ observation: Observation) -> Int { observation.lists.reduce(0) { $0 + $1.count } }
  private static func fork(_ a: Observation, _ b: Observation) -> LongFork? {
    let keys = a.lists.indices
    guard let first = keys.first(where: { a.lists[$0].count > b.lists[$0].count }),
      let second = keys.first(where: { b.lists[$0].count > a.lists[$0].count })
    else { return nil }
    return LongFork(first: a, second: b, keys: [first, second])
  }
}
