import BorealisCore
import BorealisWire
import Testing

/// Inputs in all, over the decoders below.
private let inputsTotal = 6_000_000

/// Throws millions of mutated and random inputs at every decoder.
///
/// Each input is either refused with a `DecodeError` or gives a value that encodes to the same bytes. A trap ends the test process, which is how one would be seen.
@Suite struct FuzzTests {
  private static let shares: [(decoder: String, share: Int)] = [
    ("message", 60), ("record", 15), ("payload", 10), ("configuration", 15),
  ]
  private func count(_ decoder: String) -> Int {
    inputsTotal / 100 * (Self.shares.first { $0.decoder == decoder }?.share ?? 0)
  }

  /// Four suites' worth of messages, so that two cores share them.
  @Test(arguments: 0..<4) func messages(part: Int) throws {
    let seed = 0xF022 + UInt64(part)
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    let inputs = count("message") / 4
    var accepted = 0
    var base: [UInt8] = []
    for i in 0..<inputs {
      if i % 16 == 0 { base = values.message(kind: UInt8(1 + (i / 16) % 34)).encoded(values.header()) }
      var input = base
      mutate(&input, &values.g, from: values.g.chance(7, in: 8) ? MessageHeader.encodedSize : 0)
      if values.g.chance(1, in: 64), input.count > 5 { input[5] = UInt8(1 + values.g.index(35)) }
      // Most inputs get a right length and checksum, or none would come past the envelope.
      if values.g.chance(15, in: 16), input.count >= MessageHeader.encodedSize { Message.seal(&input) }
      do throws(DecodeError) {
        let (header, message) = try Message.decode(input)
        accepted += 1
        if message.encoded(header) != input {
          Issue.record("seed \(seed) input \(i): \(message) does not encode to what it was decoded from")
        }
        checkBatch(message, seed, i)
      } catch { expectInside(error, input, seed, i) }
    }
    print("fuzz: message part \(part): \(inputs) inputs, \(accepted) accepted, seed \(seed)")
    #expect(accepted > inputs / 100 && accepted < inputs)
  }

  @Test func records() throws {
    let seed: UInt64 = 0xF0_0001
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    let inputs = count("record")
    var accepted = 0
    var base: [UInt8] = []
    for i in 0..<inputs {
      if i % 16 == 0 { base = values.record() }
      var input = base
      mutate(&input, &values.g, from: 0)
      let isVerifying = values.g.chance(1, in: 2)
      if isVerifying, values.g.chance(15, in: 16), input.count >= RecordHeader.encodedSize {
        RecordHeader.seal(at: 0, in: &input)
      }
      do throws(DecodeError) {
        let header = try input.withUnsafeBytesTyped { raw throws(DecodeError) in
          try RecordHeader.decode(raw, verifying: isVerifying)
        }
        accepted += 1
        var again: [UInt8] = []
        input.withUnsafeBytesTyped { raw in
          header.encode(
            payload: UnsafeRawBufferPointer(rebasing: raw[RecordHeader.encodedSize..<header.encodedSize]), into: &again)
        }
        // An unverified checksum is the only thing that may differ; what follows the record is not its own.
        if again[4...] != input[4..<header.encodedSize] || (isVerifying && again[..<4] != input[..<4]) {
          Issue.record("seed \(seed) input \(i): \(header) does not encode to what it was decoded from")
        }
      } catch { expectInside(error, input, seed, i) }
    }
    print("fuzz: record: \(inputs) inputs, \(accepted) accepted, seed \(seed)")
    #expect(accepted > inputs / 100 && accepted < inputs)
  }

  /// Payloads are applied to a page between two guards; a delta that is accepted also encodes to itself.
  @Test func payloads() throws {
    let seed: UInt64 = 0xF0_0002
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    let inputs = count("payload")
    var accepted = 0
    let pageSize = 512
    var memory = [UInt8](repeating: 0xA5, count: pageSize + 128)
    var base: [UInt8] = []
    var kind = RecordKind.delta
    for i in 0..<inputs {
      if i % 16 == 0 {
        kind = [RecordKind.delta, .delta, .delta, .image, .discard][values.g.index(5)]
        base = values.payload(kind, pageSize: pageSize)
      }
      var input = base
      mutate(&input, &values.g, from: 0)
      do throws(DecodeError) {
        try input.withUnsafeBytesTyped { payload throws(DecodeError) in
          let failure: DecodeError? = memory.withUnsafeMutableBytes { raw in
            let page = UnsafeMutableRawBufferPointer(rebasing: raw[64..<(64 + pageSize)])
            do throws(DecodeError) { try RecordPayload.apply(kind: kind, payload: payload, to: page) } catch {
              return error
            }
            return nil
          }
          if let failure { throw failure }
        }
        accepted += 1
        if kind == .delta, !isSpelledBy(memory, input) {
          Issue.record("seed \(seed) input \(i): the page does not hold what the delta says")
        }
      } catch { expectInside(error, input, seed, i) }
      if i % 64 == 0, !(memory[..<64] + memory[(64 + pageSize)...]).allSatisfy({ $0 == 0xA5 }) {
        Issue.record("seed \(seed) input \(i): wrote outside the page")
        return
      }
    }
    print("fuzz: payload: \(inputs) inputs, \(accepted) accepted, seed \(seed)")
    #expect(accepted > inputs / 100 && accepted < inputs)
  }

  @Test func configurations() throws {
    let seed: UInt64 = 0xF0_0003
    var values = RandomValues(g: DeterministicGenerator(seed: seed))
    let inputs = count("configuration")
    var accepted = 0
    var base: [UInt8] = []
    for i in 0..<inputs {
      if i % 16 == 0 { base = values.configuration().encoded() }
      var input = base
      mutate(&input, &values.g, from: 0)
      do throws(DecodeError) {
        let value = try input.withUnsafeBytesTyped { raw throws(DecodeError) in try GroupConfiguration.decode(raw) }
        accepted += 1
        if value.encoded() != input { Issue.record("seed \(seed) input \(i): \(value) encodes differently") }
        // What was accepted can be worked with.
        _ = value.isWriteQuorum(.first(value.members.count)) && value.isReadQuorum([])
      } catch { expectInside(error, input, seed, i) }
    }
    print("fuzz: configuration: \(inputs) inputs, \(accepted) accepted, seed \(seed)")
    #expect(accepted > inputs / 100 && accepted < inputs)
  }

  @Test func sharesAreAll() { #expect(Self.shares.reduce(0) { $0 + $1.share } == 100) }

  // MARK: Helpers

  private func expectInside(_ error: DecodeError, _ input: [UInt8], _ seed: UInt64, _ i: Int) {
    if error.offset < 0 || error.offset > input.count {
      Issue.record("seed \(seed) input \(i): \(error) lies outside \(input.count) bytes")
    }
  }

  private func checkBatch(_ message: Message, _ seed: UInt64, _ i: Int) {
    let batch: RecordBatch
    switch message {
    case .append(_, _, let b), .records(_, let b), .stream(_, let b): batch = b
    default: return
    }
    var size = 0
    do throws(DecodeError) {
      try batch.forEach { header, bytes in
        size += bytes.count
        if header.encodedSize != bytes.count { Issue.record("seed \(seed) input \(i): a record's size") }
      }
      if size != batch.range.count { Issue.record("seed \(seed) input \(i): \(size) of \(batch.range.count) bytes") }
    } catch {}
  }

  /// Whether every range of `delta` stands in the page, which begins 64 bytes into `memory`.
  private func isSpelledBy(_ memory: [UInt8], _ delta: [UInt8]) -> Bool {
    var at = 0
    while at < delta.count {
      func u32(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(delta[at + $1]) << (8 * $1) } }
      let (offset, length) = (u32(at), u32(at + 4))
      for k in 0..<length where memory[64 + offset + k] != delta[at + 8 + k] { return false }
      at += 8 + length
    }
    return true
  }

  /// One to three of: a flipped bit, an interesting byte or word, a cut, an insertion, a copy of another part; now and
  /// then nothing of the original is left.
  private func mutate(_ bytes: inout [UInt8], _ g: inout DeterministicGenerator, from: Int) {
    if g.chance(1, in: 32) {
      bytes.removeSubrange(min(from, bytes.count)...)
      for _ in 0..<g.index(16) { bytes.appendInteger(g.next()) }
      return
    }
    if g.chance(1, in: 16) { return }
    for _ in 0...g.index(3) {
      guard bytes.count > from else { return }
      let at = from + g.index(bytes.count - from)
      switch g.index(10) {
      case 0, 1, 2: bytes[at] ^= 1 << UInt8(g.index(8))
      case 3, 4: bytes[at] = [0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF][g.index(7)]
      case 5:
        if at + 4 <= bytes.count {
          bytes.storeInteger([0, 1, .max, .max - 7, 1 << 31, 1 << 16, UInt32(bytes.count)][g.index(7)], at: at)
        }
      case 6:
        if at + 8 <= bytes.count { bytes.storeInteger([0, .max, .max - 1, 1 << 63][g.index(4)] as UInt64, at: at) }
      case 7: bytes.removeSubrange(at...)
      case 8: bytes.insert(UInt8(truncatingIfNeeded: g.next()), at: at)
      default:
        let source = from + g.index(bytes.count - from)
        let length = min(1 + g.index(16), bytes.count - max(at, source))
        for k in 0..<length { bytes[at + k] = bytes[source + k] }
      }
    }
  }
}
