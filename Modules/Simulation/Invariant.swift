/// The invariants that a run is checked against, by their number in the protocol, and three of the simulator's own.
public enum Invariant: String, CaseIterable, Sendable, Hashable, CustomStringConvertible {
  case i1 = "I1"
  case i2 = "I2"
  case i3 = "I3"
  case i4 = "I4"
  case i5 = "I5"
  case i6 = "I6"
  case i7 = "I7"
  case i8 = "I8"
  case i9 = "I9"
  case i10 = "I10"
  case i11 = "I11"
  case i15 = "I15"
  case i16 = "I16"
  case i17 = "I17"
  case i18 = "I18"
  /// Who reads a whole database sees a prefix of its transactions.
  case prefix = "prefix"
  /// A machine's own `checkInvariants` without a number.
  case machine = "machine"
  /// After the faults are healed everything completes.
  case liveness = "liveness"

  /// The number.
  public var description: String { rawValue }

  /// What must hold.
  public var statement: String {
    switch self {
    case .i1: "an acknowledged commit is never lost, and is acknowledged only when a write quorum holds it durably"
    case .i2: "VDL, VCL, PGCL, SCL and epochs never go back (SCL: within one truncation epoch)"
    case .i3: "two records with the same LSN are byte for byte the same"
    case .i4: "a void record is never served, nor counted into an SCL"
    case .i5: "no LSN above VDL + LAL is issued"
    case .i6: "what promised an epoch to a recovery takes nothing from an older writer"
    case .i7: "write and read quorums of adjacent configurations meet, and a new member counts only once hydrated"
    case .i8: "a reader shows whole mini-transactions at or below VDL only"
    case .i9: "a segment serves a read only if PGMRPL <= P and SCL >= tail(g, P), and serves what the oracle says"
    case .i10: "garbage collection never takes a version that a live read point sees"
    case .i11: "a page leaves the writer's cache only when its changes are durable"
    case .i15: "commits go on without the metadata service"
    case .i16: "the first LSN after a recovery is above every LSN ever issued"
    case .i17: "at most one writer gets acknowledgements at any volume epoch"
    case .i18: "no group has two members down by our own maintenance"
    case .prefix:
      "who reads a whole database sees the state after one transaction, never before what was acknowledged or seen"
    case .machine: "a machine's own invariants hold after every step"
    case .liveness: "after the faults are healed, within bounded time, everything completes and all copies agree"
    }
  }
}

/// A violated invariant: a bug in the volume, or in the simulator.
public struct Violation: Sendable, Hashable, CustomStringConvertible {
  /// Which invariant.
  public var invariant: Invariant
  /// Virtual time in nanoseconds.
  public var nanoseconds: UInt64
  /// What was seen.
  public var text: String
  /// One line for people.
  public var description: String { "\(invariant): \(text) (at \(nanoseconds / 1000) us)" }
}
