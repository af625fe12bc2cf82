public import BorealisCore
public import BorealisReplicationPolicy
extension VolumeWriter {
  public mutating func change(_ group: ProtectionGroupID, to plan: MembershipPlan, now: Instant, into e: inout VolumeEffects) throws(VolumeError) { throw VolumeError(.unavailable, operation: "change") }
}
