// A cluster in three lines: SQL into its writer, rows out of its reader.
//
//     swift run -c release Quickstart
//
// prints:
//
//     id: 1, v: tea
//     id: 2, v: milk

import Borealis

let cluster = try await Cluster.inMemory("orders")  // six storage nodes in three zones, a writer, a reader
try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
try await cluster.writer.execute("INSERT INTO t (v) VALUES (?), (?)", "tea", "milk")

// A reader is milliseconds behind, as in Aurora: who has to see his own write at once asks the writer.
while await cluster.status().instances.contains(where: { ($0.lagRecords ?? 0) > 0 }) { await Task.yield() }

var count = 0
for try await row in cluster.reader.query("SELECT id, v FROM t ORDER BY id") {
  print(row)
  count += 1
}
await cluster.stop()
precondition(count == 2, "the reader shows \(count) rows of 2")
