import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// When each node of the topology was last heard of, and since when it is up: what `RepairPlanner` decides by.
///
/// Pure: whoever receives messages says `heard`, and says `tick` often; time comes in as `now`.
///
/// - A node that was never heard of is not up for any time, but counts as silent only from the beginning.
/// - Time in which the owner itself did not run (no `tick` came) is nobody's silence.
struct NodeHealthTracker: Sendable, Equatable {
  private struct Node: Sendable, Equatable {
    var placement: NodePlacement
    var lastHeard: Instant
    /// nil until it is heard of.
    var upSince: Instant?
  }

  /// Ascending by node.
  private var nodes: [Node]
  private let downAfter: UInt64
  private var lastTick: Instant

  /// Begins to listen at `now` to the nodes of a topology.
  init(_ topology: [NodePlacement], downAfter: UInt64, now: Instant) {
    nodes = topology.sorted { $0.node < $1.node }.map { Node(placement: $0, lastHeard: now, upSince: nil) }
    self.downAfter = downAfter
    lastTick = now
  }

  /// A message of a node came in; of any kind, since each shows that it works.
  mutating func heard(_ node: NodeID, now: Instant) {
    guard let i = index(of: node), now >= nodes[i].lastHeard else { return }
    if nodes[i].upSince == nil || now.nanoseconds(since: nodes[i].lastHeard) >= downAfter { nodes[i].upSince = now }
    nodes[i].lastHeard = now
  }

  /// Says that the owner runs: where it did not for a while, messages could not come in either.
  mutating func tick(now: Instant) {
    guard now > lastTick else { return }
    let gap = now.nanoseconds(since: lastTick)
    lastTick = now
    guard gap >= downAfter / 4 else { return }
    for i in nodes.indices {
      nodes[i].lastHeard = min(now, nodes[i].lastHeard.advanced(byNanoseconds: gap))
    }
  }

  /// Whether a node counts as up: it was not silent for `downAfter`.
  func isUp(_ node: NodeID, now: Instant) -> Bool {
    guard let i = index(of: node) else { return false }
    return now.nanoseconds(since: nodes[i].lastHeard) < downAfter
  }

  /// What the planner wants to know, ascending by node.
  func health(now: Instant) -> [RepairPlanner.NodeHealth] {
    nodes.map {
      RepairPlanner.NodeHealth(
        node: $0.placement.node, zone: $0.placement.zone, lastHeard: $0.lastHeard, upSince: $0.upSince ?? now)
    }
  }

  /// How many nodes there are.
  var count: Int { nodes.count }

  /// The node at a place, ascending.
  func node(at index: Int) -> NodeID { nodes[index].placement.node }

  /// The place of a node.
  func index(of node: NodeID) -> Int? {
    var (low, high) = (0, nodes.count)
    while low < high {
      let middle = (low + high) / 2
      if nodes[middle].placement.node < node { low = middle + 1 } else { high = middle }
    }
    return low < nodes.count && nodes[low].placement.node == node ? low : nil
  }
}
