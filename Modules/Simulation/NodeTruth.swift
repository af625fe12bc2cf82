import BorealisCore
import BorealisWire

/// What the simulator knows of one node's segment of one group, from outside.
struct SegmentTruth {
  /// Whether the node held the segment at the last look.
  var exists = false
  /// Highest SCL that was ever durable here: what is counted when a crashed node is asked about.
  var highest = LSN.zero
  /// The same over all segments of the group that the node ever held: survives that it drops one.
  var highestEver = LSN.zero
  /// SCL at the last look, and the epoch of the truncation list it was valid for.
  var scl = LSN.zero
  var truncationEpoch = VolumeEpoch.zero
  /// Highest SCL that the node told anybody, within `toldEpoch`.
  var told = LSN.zero
  var toldEpoch = VolumeEpoch.zero
  /// Highest epoch of a truncation list that the node said it holds durably.
  var truncationTold = VolumeEpoch.zero
}

/// What the simulator knows of one node from outside: survives the node's crashes.
struct NodeTruth {
  var segments: [SegmentTruth] = []
  /// Highest volume epoch in any answer of the node that must not be sent before the epoch is durable.
  var epochTold = VolumeEpoch.zero
  /// Whether bits of its files were flipped: its SCL may go back.
  var hasRot = false
  /// Whether its disk is gone for ever.
  var isLost = false

  /// The truth about `group`.
  subscript(group: ProtectionGroupID) -> SegmentTruth {
    Int(group.value) < segments.count ? segments[Int(group.value)] : SegmentTruth()
  }
}

/// The truth about all nodes; a node's number is its place, counted from 1.
final class FleetTruth {
  private var nodes: [NodeTruth] = []

  /// Adds the next node.
  func add() { nodes.append(NodeTruth()) }
  /// The truth about a node.
  subscript(id: NodeID) -> NodeTruth { nodes[Int(id.value) - 1] }
  /// Changes the truth about a node.
  func update(_ id: NodeID, _ body: (inout NodeTruth) -> Void) { body(&nodes[Int(id.value) - 1]) }
  /// Changes the truth about a segment.
  func update(_ id: NodeID, _ group: ProtectionGroupID, _ body: (inout SegmentTruth) -> Void) {
    let i = Int(id.value) - 1
    while nodes[i].segments.count <= Int(group.value) { nodes[i].segments.append(SegmentTruth()) }
    body(&nodes[i].segments[Int(group.value)])
  }
  /// Members of `configuration` that hold, or held, everything up to `lsn` durably.
  func holders(_ configuration: GroupConfiguration, of lsn: LSN) -> MemberSet {
    members(configuration) { $0[configuration.group].highest >= lsn }
  }
  /// Members that hold, or held in this or an earlier segment of the group, everything up to `lsn` durably.
  func formerHolders(_ configuration: GroupConfiguration, of lsn: LSN) -> MemberSet {
    members(configuration) { $0[configuration.group].highestEver >= lsn }
  }
  /// Members that promised `epoch` or a higher one.
  func promised(_ configuration: GroupConfiguration, _ epoch: VolumeEpoch) -> MemberSet {
    members(configuration) { $0.epochTold >= epoch }
  }
  /// Members whose disk is not lost.
  func existing(_ configuration: GroupConfiguration) -> MemberSet { members(configuration) { !$0.isLost } }

  private func members(_ configuration: GroupConfiguration, _ isIncluded: (NodeTruth) -> Bool) -> MemberSet {
    var set = MemberSet()
    for (i, member) in configuration.members.enumerated() where isIncluded(nodes[Int(member.node.value) - 1]) {
      set.insert(MemberSet(member: i))
    }
    return set
  }
}
