/// A small deterministic random number generator (xoshiro256**, Blackman and Vigna, public domain algorithm).
///
/// The only source of randomness in machines and simulation: the same seed gives the same numbers everywhere.
public struct DeterministicGenerator: RandomNumberGenerator, Equatable, Sendable {
  private var state: (UInt64, UInt64, UInt64, UInt64)

  /// Fills the state from `seed` by splitmix64.
  public init(seed: UInt64) {
    var x = seed
    func split() -> UInt64 {
      x &+= 0x9E37_79B9_7F4A_7C15
      var z = x
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    state = (split(), split(), split(), split())
  }
  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    func rotate(_ v: UInt64, _ k: UInt64) -> UInt64 { (v << k) | (v >> (64 - k)) }
    let result = rotate(state.1 &* 5, 7) &* 9
    let t = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= t
    state.3 = rotate(state.3, 45)
    return result
  }
  /// A number in `0..<bound`; `bound` must be positive. (Not `random(in:)`: the standard library may change how it draws.)
  public mutating func below(_ bound: UInt64) -> UInt64 {
    precondition(bound > 0)
    return next().multipliedFullWidth(by: bound).high
  }
  /// A number in `range`.
  public mutating func within(_ range: ClosedRange<UInt64>) -> UInt64 {
    let width = range.upperBound - range.lowerBound
    return width == .max ? next() : range.lowerBound + below(width + 1)
  }
  /// An index in `0..<count`.
  public mutating func index(_ count: Int) -> Int { Int(below(UInt64(count))) }
  /// True with probability `numerator / denominator`.
  public mutating func chance(_ numerator: UInt64, in denominator: UInt64) -> Bool { below(denominator) < numerator }
  /// A generator for an independent stream.
  public mutating func fork() -> DeterministicGenerator { DeterministicGenerator(seed: next()) }
  /// Equal when they will give the same numbers.
  public static func == (lhs: DeterministicGenerator, rhs: DeterministicGenerator) -> Bool { lhs.state == rhs.state }
}
