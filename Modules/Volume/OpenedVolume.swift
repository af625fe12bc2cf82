public import BorealisCore
public import BorealisWire

/// Where one protection group stands when a volume is opened.
public struct OpenedGroup: Hashable, Sendable {
  /// Members and rules.
  public var configuration: GroupConfiguration
  /// Last kept record of the group: at or below the volume's VDL.
  public var tail: LSN
  /// SCL of each member, by its index in the configuration.
  public var scls: [LSN]
  /// Makes one; `scls` is padded with zeros to the number of members.
  public init(configuration: GroupConfiguration, tail: LSN, scls: [LSN]) {
    self.configuration = configuration
    self.tail = tail
    let missing = max(0, configuration.members.count - scls.count)
    self.scls = scls + [LSN](repeating: .zero, count: missing)
  }
}

/// What recovery or creation hands to the writer: everything it must know before it may issue the first record.
public struct OpenedVolume: Hashable, Sendable {
  /// The volume.
  public var volume: VolumeID
  /// The volume epoch won by this opening.
  public var epoch: VolumeEpoch
  /// Volume durable LSN: everything at or below is there, everything above is void.
  public var vdl: LSN
  /// First LSN that may be issued: above every LSN ever issued.
  public var nextLSN: LSN
  /// Last kept record of the volume: the first new record links back to it.
  public var lastRecord: LSN
  /// The groups, by number.
  public var groups: [OpenedGroup]
  /// Void ranges, as they stand on the segments.
  public var truncation: TruncationList
  /// Visible history and pins, as they stand on the segments.
  public var retention: Retention
  /// Whether the volume was just created, so that its catalog has yet to be written.
  public var isNew: Bool
  /// Makes one.
  public init(
    volume: VolumeID, epoch: VolumeEpoch, vdl: LSN, nextLSN: LSN, lastRecord: LSN, groups: [OpenedGroup],
    truncation: TruncationList, retention: Retention, isNew: Bool
  ) {
    self.volume = volume
    self.epoch = epoch
    self.vdl = vdl
    self.nextLSN = nextLSN
    self.lastRecord = lastRecord
    self.groups = groups
    self.truncation = truncation
    self.retention = retention
    self.isNew = isNew
  }
}
