// Readers share the cluster volume: adding one copies next to nothing, whatever the size of the database.
//
//     swift run -c release ReadScaling
//
// prints, with figures of the machine (here two processors for all):
//
//     a database of 30 MiB on six nodes in files; a writer that commits; 2 processors
//     readers   first row after   bytes copied   reads/s (one client for each reader)
//           1            6.2 ms          24576     73550
//           2           13.8 ms          24576    142700
//           3            8.0 ms          24576    187350
//           4            5.5 ms          24576    147150
//     919 commits meanwhile

import Borealis
import Foundation

@main
enum ReadScaling {
  static let rows = 8000
  struct NotTrue: Error { let claim: String }

  static func main() async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "borealis-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let cluster = try await Cluster.files("shop", at: directory, readers: 0)
    let size = try await load(cluster)
    let processors = ProcessInfo.processInfo.activeProcessorCount
    print("a database of \(size >> 20) MiB on six nodes in files; a writer that commits; \(processors) processors")
    print("readers   first row after   bytes copied   reads/s (one client for each reader)")
    // Commits go on while readers come.
    let writer = Task {
      var commits = 0
      while !Task.isCancelled {
        let id = commits * 7919 % rows + 1
        try await cluster.writer.execute("UPDATE item SET body = randomblob(4000) WHERE id = ?", id)
        commits += 1
        try? await Task.sleep(for: .milliseconds(2))
      }
      return commits
    }
    for count in 1...4 {
      let begin = ContinuousClock.now
      let name = try await cluster.addReader()
      let found = try await cluster.instance(name).rows("SELECT length(body) FROM item WHERE id = ?", rows)
      let first = begin.duration(to: .now)
      guard found.first?[0] == 4000 else { throw NotTrue(claim: "\(name) shows the last row at once") }
      guard let copied = bytesCopied(to: name, cluster), copied < size / 100 else {
        throw NotTrue(claim: "a reader copies less than a hundredth of the database")
      }
      _ = try await cluster.instance(name).rows("SELECT sum(length(body)) FROM item")  // its cache is warm
      let rate = try await readsPerSecond(cluster)
      print(String(format: "%7d %14.1f ms %14d %9d", count, first / .milliseconds(1), copied, rate))
    }
    writer.cancel()
    print("\(try await writer.value) commits meanwhile")
    await cluster.stop()
  }

  static func load(_ cluster: Cluster) async throws -> Int {
    try await cluster.writer.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB)")
    for first in stride(from: 1, through: rows, by: 1000) {
      let thousand = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n LIMIT 1000)"
      try await cluster.writer.execute("\(thousand) INSERT INTO item SELECT i, randomblob(4000) FROM n", first)
    }
    return try await cluster.writer.rows("SELECT count(*) * 4000 FROM item")[0].get(0)
  }
  static func bytesCopied(to name: InstanceIdentifier, _ cluster: Cluster) -> Int? {
    for event in cluster.recentEvents.reversed() {
      if case .instanceAdded(name, let bytes) = event.kind { return Int(bytes) }
    }
    return nil
  }
  /// A second of point reads: one client on each reader, fifty reads in a transaction.
  static func readsPerSecond(_ cluster: Cluster) async throws -> Int {
    let end = ContinuousClock.now + .seconds(1)
    return try await withThrowingTaskGroup(of: Int.self) { group in
      for (client, member) in cluster.reader.members.enumerated() {
        group.addTask {
          let connection = try await cluster.instance(member.instance).connect()
          defer { connection.close() }
          var random = DeterministicGenerator(seed: UInt64(client))
          var done = 0
          while ContinuousClock.now < end {
            let ids = (0..<50).map { _ in Int(random.next() % UInt64(rows)) + 1 }
            done += try await connection.transaction(.read) { db in
              for id in ids where try db.query("SELECT body FROM item WHERE id = ?", id).count != 1 {
                throw NotTrue(claim: "row \(id) is there")
              }
              return ids.count
            }
          }
          return done
        }
      }
      return try await group.reduce(0, +)
    }
  }
}
