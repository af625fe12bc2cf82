import BorealisCore
import Testing

@Suite struct CRC32CTests {
  /// RFC 3720 appendix B.4; the read PDU is the appendix's "iSCSI - SCSI Read (10) Command PDU".
  static let rfcVectors: [(bytes: [UInt8], sum: UInt32)] = [
    ([UInt8](repeating: 0, count: 32), UInt32(0x8A91_36AA)),
    ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
    ([UInt8](0..<32), 0x46DD_794E),
    ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
    (
      [
        0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0,
        0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
      ], 0xD996_3A56
    ),
    (Array("123456789".utf8), 0xE306_9283),
    ([], 0),
  ]
  @Test func vectors() {
    for (bytes, sum) in Self.rfcVectors {
      #expect(CRC32C.checksum(bytes) == sum)
      #expect(CRC32C.tableChecksum(bytes) == sum)
    }
  }

  @Test func instructionTableAndBitwiseDefinitionAgree() {
    let seed: UInt64 = 3720
    var g = DeterministicGenerator(seed: seed)
    for round in 0..<2000 {
      let bytes = (0..<g.index(100)).map { _ in UInt8(truncatingIfNeeded: g.next()) }
      let start = g.chance(1, in: 2) ? 0 : UInt32(truncatingIfNeeded: g.next())
      // Every alignment: the instruction takes eight bytes at a time.
      let skip = g.index(min(9, bytes.count + 1))
      let part = Array(bytes[skip...])
      let expected = bitwise(part, seed: start)
      let found = bytes.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[skip...]), seed: start) }
      #expect(found == expected, "seed \(seed) round \(round)")
      #expect(CRC32C.tableChecksum(part, seed: start) == expected, "seed \(seed) round \(round)")
    }
  }

  /// Long ones are done in three parts side by side: every length around those parts, and every alignment.
  @Test func longOnesAgreeWithTheTable() {
    var g = DeterministicGenerator(seed: 1024)
    let bytes = (0..<20_000).map { _ in UInt8(truncatingIfNeeded: g.next()) }
    var lengths = (0..<400).map { _ in g.index(19_000) }
    for part in [384, 768, 3072, 3456, 6144, 8256] { lengths += (part - 9)...(part + 9) }
    for length in lengths {
      let part = Array(bytes[g.index(9)...].prefix(length))
      let start = UInt32(truncatingIfNeeded: g.next())
      #expect(CRC32C.checksum(part, seed: start) == CRC32C.tableChecksum(part, seed: start), "length \(length)")
    }
  }

  @Test func aChecksumMayBeContinued() {
    var g = DeterministicGenerator(seed: 1)
    let bytes = (0..<333).map { _ in UInt8(truncatingIfNeeded: g.next()) }
    let whole = CRC32C.checksum(bytes)
    for cut in 0...bytes.count {
      #expect(CRC32C.checksum(Array(bytes[cut...]), seed: CRC32C.checksum(Array(bytes[..<cut]))) == whole)
    }
  }

  @Test func everySingleBitFlipIsSeen() {
    var bytes = [UInt8]((0..<64))
    let sum = CRC32C.checksum(bytes)
    for bit in 0..<(bytes.count * 8) {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(CRC32C.checksum(bytes) != sum)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  /// The definition: the reflected polynomial, bit by bit.
  private func bitwise(_ bytes: [UInt8], seed: UInt32) -> UInt32 {
    var c = ~seed
    for byte in bytes {
      c ^= UInt32(byte)
      for _ in 0..<8 { c = c & 1 == 1 ? (c >> 1) ^ 0x82F6_3B78 : c >> 1 }
    }
    return ~c
  }
}
