import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisVolume
import BorealisWire

// Where everything stands: the end of a failed run's story.
extension Simulation {
  /// Notes the state of every node and instance.
  func tellState() {
    for node in nodes {
      guard let process = node.process else {
        story.note(now, "\(node.id): \(node.isLost ? "lost" : "down")")
        continue
      }
      let s = process.machine.statistics
      var text = "\(node.id): log \(s.logBytes) B, pages \(s.pageBytes) B, \(s.chunksRetired) chunks retired"
      text += s.isFull ? ", disk full" : ""
      text += s.isFailed ? ", disk failed" : ""
      for lane in node.lanes {
        text += lane.job == nil ? "" : ", busy with \(lane.job?.operations.count ?? 0) operations"
      }
      for group in 0..<UInt32(max(1, quorums.groups)) {
        guard let status = process.machine.status(of: ProtectionGroupID(group)) else { continue }
        text += "\n      pg\(group): SCL \(status.scl), gc \(status.gcPoint), VDL \(status.knownVDL), PGMRPL"
        text += " \(status.minReadPoint), list \(status.truncationEpoch)\(status.isDamaged ? ", damaged" : "")"
      }
      story.note(now, text)
    }
    for writer in writers {
      var text = "\(writer.peer): epoch \(writer.epoch)"
      if let process = writer.writer {
        text += ", VDL \(process.machine.vdl), VCL \(process.machine.vcl), next \(process.machine.nextLSN), PGMRPL"
        text += " \(process.machine.minReadPoint), open \(process.machine.isOpen)"
        for c in process.machine.configurations {
          text +=
            "\n      \(c.group): tail \(ledger.tail(c.group, at: process.machine.nextLSN)), membership epoch \(c.epoch)"
          text += " of " + c.members.map { "\($0.node)\($0.kind == .tail ? "t" : "")" }.joined(separator: " ")
          text += "; SCLs \(process.machine.segmentLSNs(of: c.group).map(\.description).joined(separator: " "))"
          text += c.pending == nil ? "" : "; pending, target \(c.hydrationTarget)"
        }
      } else if let recovery = writer.recovery {
        text += ", recovers: \(recovery.machine.progress)"
      }
      story.note(now, text)
    }
    for reader in readers {
      story.note(now, "reader \(reader.peer): follows \(reader.writer), applied \(reader.applied)")
    }
  }
}
