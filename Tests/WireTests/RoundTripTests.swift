import BorealisCore
import BorealisWire
import Testing

@Suite struct RoundTripTests {
  private func failure(_ bytes: [UInt8]) -> DecodeError? {
    do throws(DecodeError) { _ = try Message.decode(bytes) } catch { return error }
    return nil
  }

  @Test(arguments: UInt8(1)...34) func everyKindOfMessage(kind: UInt8) throws {
    let seed = 0x0D0 + UInt64(kind)
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    for round in 0..<200 {
      let (header, message) = (values.header(), values.message(kind: kind))
      #expect(message.kind == kind)
      let bytes = message.encoded(header)
      let (readHeader, read) = try Message.decode(bytes)
      #expect(readHeader == header, "seed \(seed) round \(round)")
      #expect(read.encoded(readHeader) == bytes, "seed \(seed) round \(round)")
      let unverified = try Message.decode(bytes, verifying: false)
      #expect(unverified.message == read)
      switch (read, message) {
      case (.append(_, _, let a), .append(_, _, let b)), (.records(_, let a), .records(_, let b)),
        (.stream(_, let a), .stream(_, let b)):
        #expect(Array(a.bytes[a.range]) == b.bytes, "seed \(seed) round \(round)")
      default: #expect(read == message, "seed \(seed) round \(round)")
      }
    }
  }

  @Test func kindsAreDistinctAndUnknownOnesRefused() throws {
    #expect(Set(Samples.messages.map(\.message.kind)).count == 34)
    for kind in [UInt8(0), 35, 255] {
      var bytes = Message.begin(kind: kind, Samples.header, capacity: 0)
      Message.seal(&bytes)
      #expect(failure(bytes) == DecodeError(.invalidField, "message.kind", offset: 5))
    }
  }

  @Test(arguments: Samples.messages.indices) func everyFlippedBitOfAMessageIsSeen(index: Int) {
    var bytes = Samples.messages[index].message.encoded(Samples.header)
    for bit in 0..<(bytes.count * 8) {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(failure(bytes) != nil, "bit \(bit)")
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  @Test(arguments: Samples.messages.indices) func everyCutAndEveryExtensionIsSeen(index: Int) {
    let bytes = Samples.messages[index].message.encoded(Samples.header)
    for length in 0..<bytes.count { #expect(failure(Array(bytes[..<length]))?.code == .truncated, "\(length)") }
    #expect(failure(bytes + [0])?.code == .trailingBytes)
  }

  @Test func envelopeErrorsAreNamed() {
    let good = Message.prepare.encoded(Samples.header)
    func changed(_ at: Int, _ value: UInt8, seal: Bool = false) -> DecodeError? {
      var bytes = good
      bytes[at] = value
      if seal { Message.seal(&bytes) }
      return failure(bytes)
    }
    #expect(changed(0, 0) == DecodeError(.badMagic, "message"))
    #expect(changed(4, 2) == DecodeError(.unsupportedVersion, "message", offset: 4))
    #expect(changed(6, 1) == DecodeError(.invalidField, "message.reserved", offset: 6))
    #expect(changed(8, 47) == DecodeError(.invalidField, "message.length", offset: 8))
    #expect(changed(11, 0x7F) == DecodeError(.invalidField, "message.length", offset: 8))
    #expect(changed(12, good[12] ^ 1) == DecodeError(.checksumMismatch, "message", offset: 12))
    #expect(changed(44, 1, seal: true) == DecodeError(.invalidField, "message.reserved", offset: 44))
    #expect(changed(20, good[20] ^ 1)?.code == .checksumMismatch)
  }

  // MARK: Records

  @Test func everyFlippedBitAndCutOfARecordIsSeen() {
    for (name, bytes) in Samples.records {
      for bit in 0..<(bytes.count * 8) {
        var bad = bytes
        bad[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(recordFailure(bad) != nil, "\(name) bit \(bit)")
      }
      for length in 0..<bytes.count { #expect(recordFailure(Array(bytes[..<length]))?.code == .truncated, "\(name)") }
    }
  }

  private func recordFailure(_ bytes: [UInt8], at offset: Int = 0) -> DecodeError? {
    bytes.withUnsafeBytesTyped { raw in
      do throws(DecodeError) { _ = try RecordHeader.decode(raw, at: offset) } catch { return error }
      return nil
    }
  }

  @Test func recordFieldsOutOfRangeAreRefused() {
    func changed(_ at: Int, _ value: UInt64, size: Int) -> DecodeError? {
      var bytes = Samples.record(.delta)
      for i in 0..<size { bytes[at + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
      RecordHeader.seal(at: 0, in: &bytes)
      return recordFailure(bytes)
    }
    #expect(changed(64, 0, size: 1) == DecodeError(.invalidField, "record.kind", offset: 64))
    #expect(changed(64, 4, size: 1) == DecodeError(.invalidField, "record.kind", offset: 64))
    #expect(changed(65, 2, size: 1) == DecodeError(.invalidField, "record.flags", offset: 65))
    #expect(changed(66, 2, size: 1) == DecodeError(.unsupportedVersion, "record", offset: 66))
    #expect(changed(67, 1, size: 1) == DecodeError(.invalidField, "record.flags", offset: 65))
    #expect(changed(71, 1, size: 1) == DecodeError(.invalidField, "record.flags", offset: 65))
    // lsn 1001, volume 999, group 990, page 900.
    for (at, value) in [(8, 999), (8, .max), (16, 1001), (16, 989), (24, 1000), (24, 899), (32, 991)] as [(Int, UInt64)]
    {
      #expect(
        changed(at, value, size: 8) == DecodeError(.invalidField, "record.backLinks", offset: 8), "\(at) \(value)")
    }
    #expect(recordFailure(Samples.record(.delta), at: -1)?.code == .truncated)
    #expect(recordFailure(Samples.record(.delta), at: .max)?.code == .truncated)
    #expect(recordFailure(Samples.record(.delta), at: .min)?.code == .truncated)
  }

  @Test func batchesGiveTheirRecordsInOrder() throws {
    let headers = try Samples.batch.headers()
    #expect(headers.map(\.lsn.value) == [1001, 1002, 1003])
    #expect(headers.map(\.kind) == [.delta, .image, .discard])
    #expect(RecordBatch([]).isEmpty)
    var cut = Samples.batch.bytes
    cut.removeLast()
    #expect(throws: DecodeError.self) { try RecordBatch(cut).headers() }
    // A batch within a larger message.
    let inside = RecordBatch(bytes: [9, 9] + Samples.batch.bytes + [9], range: 2..<(2 + Samples.batch.bytes.count))
    #expect(try inside.headers() == headers)
  }

  // MARK: Payloads, against an oracle

  @Test func payloadsDoWhatTheySay() throws {
    let seed: UInt64 = 31
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    var page = [UInt8](repeating: 0, count: 512)
    for round in 0..<3000 {
      let kind = [RecordKind.delta, .image, .discard][values.g.index(3)]
      let payload = values.payload(kind, pageSize: 512)
      var expected = page
      switch kind {
      case .discard: expected = [UInt8](repeating: 0, count: 512)
      case .image: expected = payload + [UInt8](repeating: 0, count: 512 - payload.count)
      case .delta:
        var at = 0
        while at < payload.count {
          let offset = Int(payload[at]) | Int(payload[at + 1]) << 8
          let length = Int(payload[at + 4])
          expected.replaceSubrange(offset..<(offset + length), with: payload[(at + 8)..<(at + 8 + length)])
          at += 8 + length
        }
      }
      try payload.withUnsafeBytesTyped { raw throws(DecodeError) in
        let failure: DecodeError? = page.withUnsafeMutableBytes { target in
          do throws(DecodeError) { try RecordPayload.apply(kind: kind, payload: raw, to: target) } catch {
            return error
          }
          return nil
        }
        if let failure { throw failure }
      }
      #expect(page == expected, "seed \(seed) round \(round) \(kind)")
    }
  }

  @Test func malformedPayloadsAreRefusedBeforeAnythingChanges() {
    func refusal(_ kind: RecordKind, _ payload: [UInt8], pageSize: Int = 64) -> DecodeError.Code? {
      var page = [UInt8](repeating: 7, count: pageSize)
      let code: DecodeError.Code? = page.withUnsafeMutableBytes { target in
        payload.withUnsafeBytesTyped { raw in
          do throws(DecodeError) { try RecordPayload.apply(kind: kind, payload: raw, to: target) } catch {
            return error.code
          }
          return nil
        }
      }
      if code != nil { #expect(page == [UInt8](repeating: 7, count: pageSize)) }
      return code
    }
    func range(_ offset: UInt32, _ length: UInt32, _ bytes: Int) -> [UInt8] {
      var b: [UInt8] = []
      b.appendInteger(offset)
      b.appendInteger(length)
      return b + [UInt8](repeating: 1, count: bytes)
    }
    #expect(refusal(.delta, []) == .truncated)
    #expect(refusal(.delta, [0, 0, 0]) == .truncated)
    #expect(refusal(.delta, range(0, 4, 3)) == .truncated)
    #expect(refusal(.delta, range(0, 0, 0)) == .invalidField)
    #expect(refusal(.delta, range(61, 4, 4)) == .invalidField)
    #expect(refusal(.delta, range(.max, .max, 4)) == .invalidField)
    #expect(refusal(.delta, range(0, 4, 4) + range(3, 1, 1)) == .invalidField)
    #expect(refusal(.delta, range(60, 4, 4) + range(0, 1, 1)) == .invalidField)
    #expect(refusal(.delta, range(0, 4, 4) + range(4, 60, 60)) == nil)
    #expect(refusal(.image, [UInt8](repeating: 0, count: 65)) == .invalidField)
    #expect(refusal(.image, []) == nil)
    #expect(refusal(.discard, [0]) == .trailingBytes)
    #expect(refusal(.discard, []) == nil)
  }

  // MARK: Lists

  @Test func truncationAndRetentionSayWhatIsVoidAndVisible() {
    let list = Samples.truncation
    #expect([100, 101, 200, 201, 350, 351].map { list.isVoid(LSN($0)) } == [false, true, true, true, true, false])
    let retention = Samples.retention
    #expect([1, 600, 601, 700, 701].map { retention.isVisible(LSN($0)) } == [true, true, false, false, true])
    #expect(Retention().isVisible(.max) && !Retention().isVisible(.zero))
    #expect(retention.supersedes(Retention(epoch: VolumeEpoch(4), sequence: 1)))
    #expect(!retention.supersedes(retention) && !retention.supersedes(Retention(epoch: VolumeEpoch(5))))
  }

  @Test func listsOutOfOrderAreRefused() {
    func refused(_ list: TruncationList) -> Bool {
      failure(Message.truncate(list, vdl: .zero, tail: .zero).encoded(Samples.header))?.code == .invalidField
    }
    func list(_ pairs: [(UInt64, UInt64)]) -> TruncationList {
      TruncationList(epoch: VolumeEpoch(1), ranges: pairs.map { LSNRange(after: LSN($0.0), through: LSN($0.1)) })
    }
    #expect(!refused(list([(1, 2), (2, 3)])))
    #expect(refused(list([(1, 3), (2, 4)])))
    #expect(refused(list([(5, 6), (1, 2)])))
    #expect(refused(list([(6, 5)])))
    let pins = Retention(epoch: VolumeEpoch(1), pins: [LSN(5), LSN(5)])
    #expect(failure(Message.retain(pins).encoded(Samples.header))?.code == .invalidField)
    let link = Samples.links[0]
    let twice = Message.prepared(
      Samples.status, Samples.truncation, Samples.retention, Samples.steady, links: [link, link])
    #expect(failure(twice.encoded(Samples.header))?.structure.description == "prepared.links")
  }

  @Test func configurationsThatMakeNoSenseAreRefused() {
    func refused(_ change: (inout GroupConfiguration) -> Void) -> String? {
      var c = Samples.steady
      change(&c)
      return failure(Message.configure(c).encoded(Samples.header))?.structure.description
    }
    #expect(refused { _ in } == nil)
    #expect(refused { $0.members = [] } == "configuration.members")
    #expect(
      refused { c in c.members = (0..<17).map { SegmentMember(node: NodeID($0), zone: ZoneID(0)) } }
        == "configuration.members")
    #expect(refused { $0.members[1].node = NodeID(0) } == "configuration.member")
    #expect(refused { $0.rule.write = [] } == "rule.clauses")
    #expect(refused { $0.rule.read = [[]] } == "rule.clause")
    #expect(refused { $0.rule.write[0][0].count = 0 } == "rule.threshold")
    #expect(refused { $0.rule.write[0][0].count = 7 } == "rule.threshold")
    #expect(refused { $0.rule.write[0][0].members = .first(7) } == "rule.threshold")
  }
}
