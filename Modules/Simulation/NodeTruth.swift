import BorealisCore
import BorealisWire

/// What the simulator knows of one node's segment of one group, from outside.
struct SegmentTruth {
  /// Highest SCL that was ever durable here: what is counted when a crashed node is asked about.
  var highest = LSN.zero
  /// SCL at the last look, and the epoch of the truncation list it was valid for.
  var scl = LSN.zero
  var truncationEpoch = VolumeEpoch.zero
  /// Highest SCL that the node told anybody, within `toldEpoch`.
  var told = LSN.zero
  var toldEpoch = VolumeEpoch.zero
  /// Highest membership epoch told.
  var membership = MembershipEpoch.zero
}

/// What the simulator knows of one node from outside: survives the node's crashes.
struct NodeTruth {
  var segments: [SegmentTruth] = []
  /// Highest volume epoch in any message of the node.
  var epochTold = VolumeEpoch.zero
  /// Whether bits of its files were flipped: its SCL may go back.
  var hasRot = false
  /// Whether its disk is gone for ever.
  var isLost = false

  /// The truth about `group`.
  subscript(group: ProtectionGroupID) -> SegmentTruth {
    get { Int(group.value) < segments.count ? segments[Int(group.value)] : SegmentTruth() }
    set {
      while segments.count <= Int(group.value) { segments.append(SegmentTruth()) }
      segments[Int(group.value)] = newValue
    }
  }
}

/// The truth about all nodes.
final class FleetTruth {
  private(set) var ids: [NodeID] = []
  private var nodes: [NodeTruth] = []

  /// Adds a node.
  func add(_ id: NodeID) {
    ids.append(id)
    nodes.append(NodeTruth())
  }
  /// The truth about a node.
  subscript(id: NodeID) -> NodeTruth {
    get { ids.firstIndex(of: id).map { nodes[$0] } ?? NodeTruth() }
    set { if let i = ids.firstIndex(of: id) { nodes[i] = newValue } }
  }
  /// Members of `configuration` that hold, or held, everything up to `lsn` durably.
  func holders(_ configuration: GroupConfiguration, of lsn: LSN) -> MemberSet {
    var set = MemberSet()
    for (i, member) in configuration.members.enumerated() where self[member.node][configuration.group].highest >= lsn {
      set.insert(MemberSet(member: i))
    }
    return set
  }
  /// Members that promised `epoch` or a higher one.
  func promised(_ configuration: GroupConfiguration, _ epoch: VolumeEpoch) -> MemberSet {
    var set = MemberSet()
    for (i, member) in configuration.members.enumerated() where self[member.node].epochTold >= epoch {
      set.insert(MemberSet(member: i))
    }
    return set
  }
}
