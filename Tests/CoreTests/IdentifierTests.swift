import BorealisCore
import Testing

@Suite struct IdentifierTests {
  @Test func lsnsSaturateAndCompare() {
    #expect(LSN(5).advanced(by: 3) == LSN(8))
    #expect(LSN.max.advanced(by: 1) == .max && LSN(2).advanced(by: .max) == .max)
    #expect(LSN.zero < LSN(1) && LSN(1) < .max)
    #expect("\(LSN.max) \(LSN(7))" == "max 7")
  }

  @Test func pagesOrderByObjectThenIndex() {
    let pages = [PageID(object: ObjectID(1), index: 0), PageID(object: .catalog, index: 9)]
    #expect(pages.sorted().map(\.description) == ["0:9", "1:0"])
    #expect(PageID(object: ObjectID(1), index: 1) < PageID(object: ObjectID(1), index: 2))
  }

  @Test func peersAreNodesOrInstances() {
    #expect(PeerID.node(NodeID(4)).node == NodeID(4))
    #expect(PeerID.instance(4).node == nil)
    #expect(PeerID.node(NodeID(.max)) < PeerID.instance(0))
    #expect("\(PeerID.node(NodeID(4))) \(PeerID.instance(4))" == "n4 i4")
    #expect(PeerID(rawValue: PeerID.instance(9).value) == .instance(9))
  }

  @Test func byteCountsPrintInTheUnitThatSuits() {
    let cases: [(ByteCount, String)] = [
      (ByteCount(0), "0 B"), (ByteCount(1023), "1023 B"), (.kibibytes(4), "4 KiB"), (ByteCount(1536), "1.5 KiB"),
      (.mebibytes(16), "16 MiB"), (.gibibytes(10), "10 GiB"), (.tebibytes(64), "64 TiB"),
    ]
    for (count, text) in cases { #expect(count.description == text) }
    // The largest count must print too.
    #expect(!ByteCount(.max).description.isEmpty)
    #expect(ByteCount.kibibytes(1) < .mebibytes(1))
  }

  @Test func instantsSaturateAndPrintMilliseconds() {
    #expect(Instant(nanoseconds: 1_234_567).description == "1.234ms")
    #expect(Instant(nanoseconds: 5_000).description == "0.005ms")
    #expect(Instant.zero.advanced(byMilliseconds: 2) == Instant(nanoseconds: 2_000_000))
    #expect(Instant(nanoseconds: .max).advanced(byNanoseconds: 1) == Instant(nanoseconds: .max))
    #expect(Instant(nanoseconds: 5).nanoseconds(since: Instant(nanoseconds: 9)) == 0)
    #expect(Instant(nanoseconds: 9).nanoseconds(since: Instant(nanoseconds: 5)) == 4)
  }

  @Test func namesForPeople() {
    #expect(
      "\(VolumeID(0xAB)) \(ProtectionGroupID(3)) \(ZoneID(2)) \(VolumeEpoch(4).next)" == "vol-00000000000000ab pg3 c 5")
    #expect("\(ZoneID(255))".count == 1)
    #expect(hexadecimal(0xF, digits: 4) == "000f" && hexadecimal(0x12345, digits: 4) == "12345")
    #expect(MembershipEpoch.zero.next > .zero && VolumeEpoch.zero < VolumeEpoch(1))
  }
}
