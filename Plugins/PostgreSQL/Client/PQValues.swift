import BorealisComputeEngine
import CBorealisPQ

/// Values as PostgreSQL's text format has them.
///
/// int2, int4, int8 and oid become INTEGER, bool INTEGER 1 or 0, float4 and float8 REAL, bytea BLOB; everything else, numeric
/// too, which no Swift number holds, TEXT.
enum PQValues {
  /// Numbers of types.
  ///
  /// Source: PostgreSQL's `pg_type.dat`; they never change.
  enum TypeNumber {
    static let bool: Oid = 16
    static let bytea: Oid = 17
    static let int8: Oid = 20
    static let int2: Oid = 21
    static let int4: Oid = 23
    static let oid: Oid = 26
    static let float4: Oid = 700
    static let float8: Oid = 701
  }

  static func value(_ result: OpaquePointer, _ row: Int32, _ column: Int32, _ type: Oid) -> SQLValue {
    guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else { return .null }
    let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, row, column)))
    switch type {
    case TypeNumber.bool: return .integer(bytes.first == UInt8(ascii: "t") ? 1 : 0)
    case TypeNumber.int2, TypeNumber.int4, TypeNumber.int8, TypeNumber.oid:
      return Int64(text(bytes)).map { .integer($0) } ?? .text(text(bytes))
    case TypeNumber.float4, TypeNumber.float8:
      return Double(text(bytes)).map { .real($0) } ?? .text(text(bytes))
    case TypeNumber.bytea: return .blob(blob(bytes))
    default: return .text(text(bytes))
    }
  }
  private static func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

  /// `\x` and two digits for each byte: `bytea_output=hex`.
  private static func blob(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    guard bytes.count >= 2, bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "x") else { return Array(bytes) }
    func digit(_ byte: UInt8) -> UInt8 { byte >= 97 ? byte - 87 : byte - 48 }
    return stride(from: 2, to: bytes.count - 1, by: 2).map { digit(bytes[$0]) << 4 | digit(bytes[$0 + 1]) }
  }

  /// Parameters as libpq takes them, for as long as `body` runs.
  ///
  /// Without types, but for BLOB: the server takes each for what its place asks for, and `$1::int8` says it where nothing
  /// else does.
  static func withParameters<T>(
    _ values: [SQLValue],
    _ body: (
      UnsafePointer<Oid>, UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>, UnsafePointer<Int32>
    ) -> T
  ) -> T {
    var bytes: [UInt8] = []
    var places: [(start: Int, count: Int)?] = []
    for value in values {
      let start = bytes.count
      switch value {
      case .null:
        places.append(nil)
        continue
      case .integer(let number): bytes += "\(number)".utf8
      case .real(let number): bytes += self.text(number).utf8
      case .text(let text): bytes += text.utf8
      case .blob(let blob): bytes += blob
      }
      places.append((start, bytes.count - start))
      bytes.append(0)
    }
    // An array without an element may have no address, and libpq looks at none of it then.
    let types = values.map { value -> Oid in if case .blob = value { TypeNumber.bytea } else { 0 } } + [0]
    let formats = values.map { value -> Int32 in if case .blob = value { 1 } else { 0 } } + [0]
    let lengths = places.map { Int32(clamping: $0?.count ?? 0) } + [0]
    return bytes.withUnsafeBytes { raw in
      let base = raw.bindMemory(to: CChar.self).baseAddress
      let pointers = places.map { place in place.flatMap { base?.advanced(by: $0.start) } } + [nil]
      return types.withUnsafeBufferPointer { types in
        pointers.withUnsafeBufferPointer { pointers in
          lengths.withUnsafeBufferPointer { lengths in
            formats.withUnsafeBufferPointer { formats in
              guard let types = types.baseAddress, let pointers = pointers.baseAddress,
                let lengths = lengths.baseAddress, let formats = formats.baseAddress
              else { preconditionFailure("an array with an element has an address") }
              return body(types, pointers, lengths, formats)
            }
          }
        }
      }
    }
  }
  private static func text(_ number: Double) -> String {
    if number.isNaN { return "NaN" }
    if number.isInfinite { return number < 0 ? "-Infinity" : "Infinity" }
    return "\(number)"
  }
}
