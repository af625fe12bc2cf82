import BorealisCore
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("Deltas")
struct DeltaTests {
  static func spans(_ old: [UInt8], _ new: [UInt8], at offset: Int = 0) -> [DeltaEncoder.Span] {
    var encoder = DeltaEncoder()
    old.withUnsafeBytes { o in
      new.withUnsafeBytes { n in
        if let a = o.baseAddress, let b = n.baseAddress {
          encoder.compare(old: a, new: b, count: old.count, at: offset)
        }
      }
    }
    return encoder.spans
  }
  /// The same by bytes: a range ends where 16 equal bytes follow, or the end.
  static func oracle(_ old: [UInt8], _ new: [UInt8]) -> [DeltaEncoder.Span] {
    let differing = old.indices.filter { old[$0] != new[$0] }
    var result: [DeltaEncoder.Span] = []
    for at in differing {
      if let last = result.last, at - Int(last.offset + last.count) < DeltaEncoder.gapMin {
        result[result.count - 1].count = Int32(at) - last.offset + 1
      } else {
        result.append(.init(offset: Int32(at), count: 1))
      }
    }
    return result
  }

  @Test("Random changes give the ranges of a byte-by-byte oracle")
  func random() {
    var random = DeterministicGenerator(seed: 11)
    for round in 0..<3000 {
      let count = 1 + random.index(600)
      let old = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.below(3)) }
      var new = old
      for _ in 0..<random.index(12) {
        let at = random.index(count)
        let length = min(count - at, 1 + random.index(40))
        for i in at..<(at + length) { new[i] = UInt8(truncatingIfNeeded: random.below(3)) }
      }
      #expect(DeltaTests.spans(old, new) == DeltaTests.oracle(old, new), "round \(round)")
    }
  }
  @Test("Equal bytes give nothing; one byte gives one; a gap of 15 is kept, one of 16 is cut")
  func edges() {
    let zeros = [UInt8](repeating: 0, count: 64)
    #expect(DeltaTests.spans(zeros, zeros).isEmpty)
    var new = zeros
    new[63] = 1
    #expect(DeltaTests.spans(zeros, new, at: 100) == [.init(offset: 163, count: 1)])
    new = zeros
    new[3] = 1
    new[19] = 1
    #expect(DeltaTests.spans(zeros, new) == [.init(offset: 3, count: 17)])
    new[19] = 0
    new[20] = 1
    #expect(DeltaTests.spans(zeros, new) == [.init(offset: 3, count: 1), .init(offset: 20, count: 1)])
  }
  @Test("Trailing zeros are left out of images")
  func trimming() {
    var random = DeterministicGenerator(seed: 12)
    for _ in 0..<200 {
      let used = random.index(65)
      let page = (0..<64).map { $0 < used ? UInt8(truncatingIfNeeded: 1 + random.below(255)) : 0 }
      #expect(page.withUnsafeBytes { DeltaEncoder.trimmedCount($0) } == used)
    }
  }
}
