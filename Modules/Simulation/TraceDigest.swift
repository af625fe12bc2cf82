/// A rolling 64-bit hash of everything that happens in a run: equal digests mean equal runs.
///
/// Nothing that differs between processes goes in: no `Hasher`, no addresses, no order of a dictionary.
struct TraceDigest {
  /// The hash so far.
  private(set) var value: UInt64

  /// Begins with the seed.
  init(seed: UInt64) { value = seed ^ 0x6A09_E667_F3BC_C908 }

  /// Adds one number.
  @inline(__always) mutating func mix(_ x: UInt64) {
    value = (value ^ x) &* 0x9E37_79B9_7F4A_7C15
    value ^= value >> 29
  }
  /// Adds an event: when, what kind, and two numbers that say which.
  @inline(__always) mutating func event(_ time: UInt64, _ kind: UInt64, _ a: UInt64, _ b: UInt64 = 0) {
    mix(time)
    mix(kind << 56 ^ a)
    mix(b)
  }
}
