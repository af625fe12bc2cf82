import Borealis
import Foundation

extension ClusterStatus {
  /// Whether its instances are servers that clients of other processes connect to.
  private var isServed: Bool { instances.contains { $0.address != nil } }
  /// The cluster as people want to see it.
  var picture: String {
    var lines = [
      "cluster \(identifier)   engine \(engine)   replication \(replication)   epoch \(epoch)   VDL \(vdl)   "
        + "protection groups \(groups)", "",
    ]
    lines += table(
      ["instance", "role", "state", "zone", "class", "tier", "connections", "commits", "queries", "lag", "read point"]
        + (isServed ? ["address"] : []),
      instances.map { instance in
        [
          instance.identifier, instance.role, instance.state, instance.zone, instance.size, "\(instance.tier)",
          "\(instance.connections) of \(instance.connectionsMax)", "\(instance.commits)", "\(instance.queries)",
          instance.lagMilliseconds.map { String(format: "%.1f ms", $0) } ?? "", instance.readPointText,
        ] + (isServed ? [instance.address ?? ""] : [])
      })
    lines.append("")
    lines += table(
      ["storage node", "zone", "state", "segments", "used", "behind"],
      nodes.map { node in
        [
          node.identifier, node.zone, node.isRunning ? "running" : "DOWN", "\(node.segments)",
          "\(ByteCount(node.usedBytes))", node.lagRecords == 0 ? "" : "\(node.lagRecords) records",
        ]
      })
    lines.append("")
    lines += table(
      ["endpoint", "leads to"] + (isServed ? ["address"] : []),
      endpoints.map {
        [$0.name, $0.members.isEmpty ? "nobody" : $0.members.joined(separator: " ")]
          + (isServed ? [$0.address ?? ""] : [])
      })
    if let last = failovers.last {
      lines += [
        "", failovers.count == 1 ? "one failover:" : "\(failovers.count) failovers, the last one:", last.timeline,
      ]
    }
    return lines.joined(separator: "\n")
  }
}

extension ClusterStatus.Instance {
  /// The read point that a reader holds, and how far that is behind.
  fileprivate var readPointText: String {
    guard let readPoint, let behind = readPointRecords else { return "" }
    return behind == 0 ? "\(readPoint)" : "\(readPoint), \(behind) behind"
  }
}

/// Columns as wide as they have to be.
func table(_ header: [String], _ rows: [[String]]) -> [String] {
  let widths = header.indices.map { i in ([header] + rows).map { $0[i].count }.max() ?? 0 }
  func line(_ cells: [String]) -> String {
    let padded = zip(cells, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
    let text = "  " + padded.joined(separator: "   ")
    return String(text.reversed().drop { $0 == " " }.reversed())
  }
  return [line(header), line(widths.map { String(repeating: "-", count: $0) })] + rows.map(line)
}
