import BorealisCore
import BorealisWire

/// I15: commits go on without the metadata service.
struct ControlPlaneChecker {
  /// Commits were tried on a healthy volume while the metadata service was away.
  func tried(_ tried: Int, completed: Int, _ verdicts: inout Verdicts) {
    verdicts.require(
      completed >= tried, .i15, "the metadata service was away and of \(tried) commits only \(completed) completed")
  }
}

/// I18: no group has two members down by our own maintenance.
struct MaintenanceChecker {
  private var down: [NodeID] = []

  /// Whether no other member of its groups is down for maintenance.
  func allows(_ node: NodeID, configurations: [GroupConfiguration]) -> Bool {
    for other in down {
      for c in configurations where c.index(of: node) != nil && c.index(of: other) != nil { return false }
    }
    return true
  }
  /// Our own maintenance takes `node` down.
  mutating func began(_ node: NodeID, configurations: [GroupConfiguration], _ verdicts: inout Verdicts) {
    for other in down {
      for c in configurations where c.index(of: node) != nil && c.index(of: other) != nil {
        verdicts.report(.i18, "\(node) is taken down for maintenance while \(other) of the same \(c.group) is")
      }
    }
    down.append(node)
  }
  /// It is back.
  mutating func ended(_ node: NodeID) { down.removeAll { $0 == node } }
}
