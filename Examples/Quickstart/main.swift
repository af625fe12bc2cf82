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

// What was committed through this cluster is seen by what is read next, on every reader.
var count = 0
for try await row in cluster.reader.query("SELECT id, v FROM t ORDER BY id") {
  print(row)
  count += 1
}
await cluster.stop()
precondition(count == 2, "the reader shows \(count) rows of 2")
