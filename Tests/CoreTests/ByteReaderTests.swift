import BorealisCore
import Testing

@Suite struct ByteReaderTests {
  private func read<R>(
    _ bytes: [UInt8], _ body: (inout ByteReader) throws(DecodeError) -> R
  ) throws(DecodeError) -> R {
    let result: Result<R, DecodeError> = bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw, structure: "test")
      do throws(DecodeError) { return .success(try body(&reader)) } catch { return .failure(error) }
    }
    return try result.get()
  }
  private func failure<R>(_ bytes: [UInt8], _ body: (inout ByteReader) throws(DecodeError) -> R) -> DecodeError? {
    do throws(DecodeError) { _ = try read(bytes, body) } catch { return error }
    return nil
  }

  @Test func fieldsAreLittleEndianAndUnaligned() throws {
    let bytes: [UInt8] = [9, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0, 0, 0, 0, 0, 0, 0x80, 5, 6]
    try read(bytes) { r throws(DecodeError) in
      #expect(try r.u8() == 9)
      #expect(try r.u16() == 0x0201)
      #expect(try r.u32() == 0x0403_0201)
      #expect(try r.u64() == 0x0807_0605_0403_0201)
      #expect(try r.lsn() == LSN(0x8000_0000_0000_0008))
      #expect(r.offset == 23 && r.remaining == 2)
      #expect(try r.array(2) == [5, 6])
      try r.finish()
    }
  }

  @Test func nothingIsReadPastTheEnd() {
    for size in 0..<8 {
      let bytes = [UInt8](repeating: 0xFF, count: size)
      #expect(failure(bytes) { r throws(DecodeError) in try r.u64() } == DecodeError(.truncated, "test", offset: 0))
      #expect((failure(bytes) { r throws(DecodeError) in try r.u32() } != nil) == (size < 4))
      #expect((failure(bytes) { r throws(DecodeError) in try r.u16() } != nil) == (size < 2))
      #expect((failure(bytes) { r throws(DecodeError) in try r.u8() } != nil) == (size < 1))
      #expect(failure(bytes) { r throws(DecodeError) in try r.raw(size + 1).count }?.code == .truncated)
      #expect(failure(bytes) { r throws(DecodeError) in try r.raw(-1).count }?.code == .truncated)
      #expect(failure(bytes) { r throws(DecodeError) in try r.array(.max) }?.code == .truncated)
      #expect(failure(bytes) { r throws(DecodeError) in try r.array(.min) }?.code == .truncated)
    }
  }

  @Test func aFailedReadDoesNotMove() throws {
    try read([1, 2, 3]) { r throws(DecodeError) in
      do throws(DecodeError) { _ = try r.u32() } catch { #expect(error.offset == 0) }
      #expect(r.offset == 0)
      #expect(try r.u8() == 1)
    }
  }

  @Test func countsThatCannotFitAreRefusedBeforeAnythingIsAllocated() throws {
    let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0]
    #expect(failure(huge) { r throws(DecodeError) in try r.count(itemSize: 1) }?.code == .invalidField)
    #expect(failure([3, 0, 0, 0, 0, 0]) { r throws(DecodeError) in try r.count(itemSize: 1) }?.code == .invalidField)
    #expect(try read([2, 0, 0, 0, 0, 0]) { r throws(DecodeError) in try r.count(itemSize: 1) } == 2)
    #expect(failure([2, 0, 0, 0, 0, 0]) { r throws(DecodeError) in try r.count(itemSize: 2) }?.code == .invalidField)
    #expect(try read([0, 0, 0, 0]) { r throws(DecodeError) in try r.count(itemSize: 0) } == 0)
  }

  @Test func finishRefusesWhatIsLeft() {
    #expect(failure([1]) { r throws(DecodeError) in try r.finish() } == DecodeError(.trailingBytes, "test", offset: 0))
    #expect(failure([]) { r throws(DecodeError) in try r.finish() } == nil)
  }

  @Test func whatIsAppendedIsRead() throws {
    var b: [UInt8] = []
    b.appendInteger(UInt8(1))
    b.appendInteger(UInt16(0xABCD))
    b.appendInteger(UInt32(0xDEAD_BEEF))
    b.append(LSN(.max))
    b.storeInteger(UInt16(0x1234), at: 1)
    #expect(b == [1, 0x34, 0x12, 0xEF, 0xBE, 0xAD, 0xDE] + [UInt8](repeating: 0xFF, count: 8))
  }

  @Test func errorsDescribeThemselves() {
    let error = DecodeError(.invalidField, "record.length", offset: 4)
    #expect("\(error)" == "record.length: invalidField at byte 4")
    #expect(error != DecodeError(.invalidField, "record.kind", offset: 4))
    #expect(error == DecodeError(.invalidField, "record.length", offset: 4))
  }
}
