import BorealisCore

/// The metadata service: hands out volume epochs by compare-and-swap, and may be away.
struct MetadataService {
  private(set) var epoch = VolumeEpoch.zero
  /// Whether it answers.
  var isAvailable = true
  /// Whether the volume has been created (some opening of it was completed).
  var isCreated = false

  /// Step 1 of recovery: `from` becomes the next epoch; nil when somebody else was first, or when it is away.
  mutating func advance(from: VolumeEpoch) -> VolumeEpoch? {
    guard isAvailable, epoch == from else { return nil }
    epoch = from.next
    return epoch
  }
}
