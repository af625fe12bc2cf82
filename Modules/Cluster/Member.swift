import BorealisCapacityScaler
import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore

/// An instance as the cluster keeps it.
struct Member: Sendable {
  /// Where an instance is in its life.
  enum State: String, Sendable {
    /// Takes connections.
    case available
    /// Ended or silent; is started again.
    case failed
    /// Is being started, or given other storage.
    case changing
  }
  let identifier: InstanceIdentifier
  var role: InstanceRole
  var zone: ZoneID
  var tier: PromotionTier
  var scaler: any CapacityScaler
  var capacity: InstanceCapacity
  var state: State
  /// The running engine; the last one, where the instance has failed.
  var engine: any EngineInstance
  /// Counts the engines: answers that concern an earlier one are dropped.
  var generation: UInt64 = 0
  /// Nanoseconds of the wall clock at which it last gave a sign of life.
  var lastSeen: UInt64
  var silentChecks = 0
  var isBeingChecked = false
  /// When the next try to start it again may be made.
  var retryAt = Instant.zero
  var retries: UInt64 = 0
  /// When the reader was last seen to have everything, in nanoseconds of the wall clock.
  var caughtUpAt: UInt64
  /// The reader's storage, for its lag.
  var storage: EngineStorage
  /// Its zone is down: it is not started before that is back.
  var isHeld = false
}
