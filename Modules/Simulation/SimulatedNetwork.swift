import BorealisCore

/// How well messages travel.
///
/// Times in nanoseconds, chances in thousandths.
public struct NetworkQuality: Sendable, Hashable {
  /// Shortest delay.
  public var delayMin: UInt64
  /// Longest delay of ordinary messages; the difference makes messages overtake each other.
  public var delayMax: UInt64
  /// Longest delay of a message that is held up.
  public var delayTail: UInt64
  /// How many messages are held up.
  public var slowPerMille: UInt64
  /// How many messages are lost.
  public var lossPerMille: UInt64
  /// How many messages arrive twice.
  public var duplicatePerMille: UInt64
  /// How many messages arrive with a flipped bit, in 1/100,000.
  public var corruptPer100000: UInt64

  /// Makes a quality.
  public init(
    delayMin: UInt64 = 50_000, delayMax: UInt64 = 400_000, delayTail: UInt64 = 5_000_000, slowPerMille: UInt64 = 0,
    lossPerMille: UInt64 = 0, duplicatePerMille: UInt64 = 0, corruptPer100000: UInt64 = 0
  ) {
    self.delayMin = delayMin
    self.delayMax = delayMax
    self.delayTail = delayTail
    self.slowPerMille = slowPerMille
    self.lossPerMille = lossPerMille
    self.duplicatePerMille = duplicatePerMille
    self.corruptPer100000 = corruptPer100000
  }
  /// Nothing is lost or held up.
  public static var good: NetworkQuality { NetworkQuality() }
}

/// The network between nodes and instances: loses, delays, reorders, repeats and damages messages; can be cut.
struct SimulatedNetwork {
  /// A cut between the peers of `side` and all others; one way: only messages out of `side` are lost.
  struct Cut {
    var id: Int
    var side: [PeerID]
    var isOneWay: Bool
  }
  /// What becomes of a message: up to two arrivals.
  struct Fate {
    var delays: (UInt64?, UInt64?) = (nil, nil)
    var isCorrupt = false
  }
  var quality: NetworkQuality
  private(set) var cuts: [Cut] = []
  private var nextCut = 0
  private(set) var sent: UInt64 = 0
  private(set) var lost: UInt64 = 0

  init(quality: NetworkQuality) { self.quality = quality }

  /// Cuts `side` off; returns the cut's number.
  mutating func cut(_ side: [PeerID], oneWay: Bool) -> Int {
    nextCut += 1
    cuts.append(Cut(id: nextCut, side: side, isOneWay: oneWay))
    return nextCut
  }
  /// Mends one cut.
  mutating func mend(_ id: Int) { cuts.removeAll { $0.id == id } }
  /// Mends all.
  mutating func mendAll() { cuts.removeAll() }

  /// Whether a message from `a` to `b` cannot pass.
  func isCut(_ a: PeerID, _ b: PeerID) -> Bool {
    for cut in cuts {
      let from = cut.side.contains(a)
      let to = cut.side.contains(b)
      if from != to, from || !cut.isOneWay { return true }
    }
    return false
  }

  /// Draws the fate of a message.
  mutating func fate(from: PeerID, to: PeerID, _ generator: inout DeterministicGenerator) -> Fate {
    sent += 1
    var fate = Fate()
    if isCut(from, to) || (quality.lossPerMille > 0 && generator.chance(quality.lossPerMille, in: 1000)) {
      lost += 1
      return fate
    }
    fate.delays.0 = delay(&generator)
    if quality.duplicatePerMille > 0, generator.chance(quality.duplicatePerMille, in: 1000) {
      fate.delays.1 = delay(&generator)
    }
    if quality.corruptPer100000 > 0 { fate.isCorrupt = generator.chance(quality.corruptPer100000, in: 100_000) }
    return fate
  }

  private func delay(_ generator: inout DeterministicGenerator) -> UInt64 {
    if quality.slowPerMille > 0, generator.chance(quality.slowPerMille, in: 1000) {
      return generator.within(quality.delayMax...max(quality.delayMax, quality.delayTail))
    }
    return generator.within(quality.delayMin...max(quality.delayMin, quality.delayMax))
  }
}
