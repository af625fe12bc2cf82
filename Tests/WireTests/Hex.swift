/// Sixteen bytes a line, so that a difference shows where it is.
func hexDump(_ bytes: [UInt8]) -> String {
  var text = ""
  for start in stride(from: 0, to: bytes.count, by: 16) {
    let line = bytes[start..<min(start + 16, bytes.count)]
    text += line.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ") + "\n"
  }
  return text
}

/// The bytes of a dump; nil where it is none.
func parseHex(_ text: String) -> [UInt8]? {
  var result: [UInt8] = []
  for part in text.split(whereSeparator: \.isWhitespace) {
    guard part.count == 2, let byte = UInt8(part, radix: 16) else { return nil }
    result.append(byte)
  }
  return result
}
