import Borealis
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// In which orders transactions become visible: looked for, and said in Documentation/Guarantees.md.
  @Suite(.serialized) struct LongForkTests {
    private typealias History = ListAppendHistory
    private static func seen(_ who: String, _ lists: [[Int]], at time: UInt64 = 0, current: Bool = false)
      -> History.Observation
    { History.Observation(observer: who, isCurrent: current, beganAt: time, lists: lists) }

    // MARK: The checker

    @Test func twoOrdersAreALongFork() {
      var history = History()
      history.observations = [
        Self.seen("a", [[], []]), Self.seen("b", [[1], []]), Self.seen("a", [[], [2]]), Self.seen("b", [[1], [2]]),
      ]
      #expect(history.longForks.count == 1)
      #expect(Set(history.longForks.flatMap { [$0.first.observer, $0.second.observer] }) == ["a", "b"])
      #expect(history.longForks.first?.keys.sorted() == [0, 1])
      #expect(history.violations == [])
    }
    @Test func aForkBetweenOneOfManyIsFound() {
      var history = History()
      for length in 0..<50 {
        for who in ["a", "b"] {
          history.observations.append(
            Self.seen(who, [Array(0..<length), Array(100..<(100 + length)), [Int](200..<(200 + length / 2))]))
        }
      }
      #expect(history.longForks.isEmpty)
      // The same sizes, another order, in the middle.
      history.observations.insert(Self.seen("b", [Array(0..<25), Array(100..<123), Array(200..<213)]), at: 51)
      history.observations.insert(Self.seen("a", [Array(0..<24), Array(100..<124), Array(200..<213)]), at: 51)
      #expect(history.longForks.count == 1)
    }
    @Test func oneOrderIsNone() {
      var history = History()
      history.observations = [
        Self.seen("a", [[1], []]), Self.seen("b", [[1], [2]]), Self.seen("a", [[1, 3], [2]]),
        Self.seen("b", [[1, 3], [2]]),
      ]
      #expect(history.longForks.isEmpty && history.violations == [])
    }
    @Test func whatBreaksAPromiseIsSeen() {
      var history = History()
      history.appends = [
        History.Append(element: 1, keys: [0, 1], acknowledgedAt: 10),
        History.Append(element: 2, keys: [0], acknowledgedAt: 20),
      ]
      history.observations = [
        Self.seen("back", [[1, 2], [1]]), Self.seen("back", [[1], [1]]), Self.seen("half", [[1], []]),
        Self.seen("order", [[2, 1], [1]]), Self.seen("writer", [[1], [1]], at: 30, current: true),
      ]
      let text = history.violations.joined(separator: "\n")
      for expected in [
        "back went back in time", "half saw half of transaction 1", "order saw key 0 in another order",
        "writer did not see 2, acknowledged before",
      ] { #expect(text.contains(expected), "\(expected) in \(text)") }
      #expect(history.violations.count == 4, "\(text)")
    }

    // MARK: A cluster

    private final class Flag: Sendable { let isOver = Atomic(false) }
    private static let keys = 6
    private static func append(
      _ endpoint: ClusterEndpoint, client: Int, until flag: Flag
    ) async throws -> [History.Append] {
      var appends: [History.Append] = []
      var generator = DeterministicGenerator(seed: UInt64(client))
      let connection = try await endpoint.connect()
      defer { connection.close() }
      while !flag.isOver.load(ordering: .relaxed) {
        let element = client * 1_000_000 + appends.count
        let first = generator.index(keys)
        let second = generator.index(keys)
        // In one order, or two of them could wait for each other.
        let chosen = first == second || generator.chance(1, in: 2) ? [first] : [min(first, second), max(first, second)]
        try await connection.execute(
          """
          UPDATE lists SET v = v || \(element)
          WHERE k IN (SELECT k FROM lists WHERE k = ANY(ARRAY\(chosen)) ORDER BY k FOR UPDATE)
          """, parameters: [])
        appends.append(History.Append(element: element, keys: chosen, acknowledgedAt: SystemClock.now.nanoseconds))
      }
      return appends
    }
    private static func observe(
      _ endpoint: ClusterEndpoint, as observer: String, isCurrent: Bool, until flag: Flag
    ) async throws -> [History.Observation] {
      var observations: [History.Observation] = []
      let connection = try await endpoint.connect()
      defer { connection.close() }
      while !flag.isOver.load(ordering: .relaxed) {
        let began = SystemClock.now.nanoseconds
        let rows = try await connection.rows("SELECT array_to_string(v, ',') FROM lists ORDER BY k", parameters: [])
        let lists = try rows.map { row in try row.get(0, as: String.self).split(separator: ",").compactMap { Int($0) } }
        observations.append(
          History.Observation(observer: observer, isCurrent: isCurrent, beganAt: began, lists: lists))
        // So that what is to be compared stays little.
        try await Task.sleep(for: .milliseconds(1))
      }
      return observations
    }

    @Test func aClusterKeepsItsPromisesAndItsForksAreCounted() async throws {
      try await withEngine { engine in
        let cluster = try await Cluster.start(
          ClusterConfiguration("orders") {
            Engine(engine)
            Writer()
            Readers(2)
          })
        try await cluster.writer.execute(
          "CREATE TABLE lists (k int PRIMARY KEY, v int[] NOT NULL); "
            + "INSERT INTO lists SELECT k, '{}' FROM generate_series(0, \(Self.keys - 1)) k")
        let readers = await cluster.status().instances.filter { $0.role == "reader" }.map(\.identifier)
        #expect(readers.count == 2)
        for reader in readers {
          try await eventually("\(reader) has the lists") {
            try await cluster.instance(InstanceIdentifier(reader)).rows("SELECT 1 FROM lists").count == Self.keys
          }
        }
        let history = try await Self.run(cluster, readers)
        let forks = history.longForks.map { "\($0.first.observer) and \($0.second.observer)" }
        print(
          "\(history.appends.count) appends, \(history.observations.count) snapshots; saw two orders: "
            + (forks.isEmpty ? "nobody" : forks.joined(separator: ", ")))
        #expect(history.appends.count > 50)
        for observer in ["writer"] + readers {
          #expect(Set(history.observations.filter { $0.observer == observer }).count > 20, "\(observer)")
        }
        #expect(history.violations.prefix(5) == [])
        // Readers apply one log in its order: among themselves they agree. The writer may show two transactions in another
        // order than the log has them.
        for fork in history.longForks {
          #expect(fork.first.observer == "writer" || fork.second.observer == "writer", "\(fork.keys) of \(forks)")
        }
        await cluster.stop()
      }
    }
    private static func run(_ cluster: Cluster, _ readers: [String]) async throws -> History {
      let flag = Flag()
      return try await withThrowingTaskGroup(of: History.self) { group in
        for client in 1...6 {
          group.addTask { History(appends: try await append(cluster.writer, client: client, until: flag)) }
        }
        for (name, endpoint) in [("writer", cluster.writer)]
          + readers.map({ ($0, cluster.instance(InstanceIdentifier($0))) })
        {
          group.addTask {
            History(
              observations: try await observe(endpoint, as: name, isCurrent: name == "writer", until: flag))
          }
        }
        group.addTask {
          try await Task.sleep(for: .seconds(3))
          flag.isOver.store(true, ordering: .relaxed)
          return History()
        }
        var whole = History()
        for try await part in group {
          whole.appends += part.appends
          whole.observations += part.observations
        }
        return whole
      }
    }
  }
}
