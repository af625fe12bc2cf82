// The demo that `make demo` runs: a cluster on files, with SQL, through the loss of a node, a zone and its writer.
//
//     swift run -c release ClusterDemo
//
// prints a live picture, the time line of each failover, latencies over time, and at the end, with figures of the machine:
//
//     19957 orders acknowledged, p50 2.0 ms, p99 35.8 ms; 2619 reads; 4 outcomes looked up, 2 orders made again
//     every acknowledged order is there, once; each reader saw whole transactions; integrity_check: ok
//
// It is a program of its own, so that the quick start builds no more than it shows. The code: Plugins/Demo.

import BorealisDemo

let isWhole = try await ClusterDemo().run()
precondition(isWhole, "what was acknowledged is not there: see above")
