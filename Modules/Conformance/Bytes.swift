#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

// Arrays of bytes by whole ranges: element by element they are slow in debug builds.

/// Whether both hold the same bytes; quick in debug builds, too.
func bytesAreEqual(_ first: [UInt8], _ second: [UInt8]) -> Bool {
  if first.count != second.count || first.isEmpty { return first.count == second.count }
  return memcmp(first, second, first.count) == 0
}
/// Sets a range of an array to zero; an empty one may lie anywhere.
func fillWithZeros(_ bytes: inout [UInt8], _ range: Range<Int>) {
  if range.isEmpty { return }
  bytes.withUnsafeMutableBytes { raw in
    _ = UnsafeMutableRawBufferPointer(rebasing: raw[range]).initializeMemory(as: UInt8.self, repeating: 0)
  }
}
/// Puts `bytes` over what is at `offset`.
func overwrite(_ model: inout [UInt8], at offset: Int, _ bytes: [UInt8]) {
  model.withUnsafeMutableBytes { raw in
    bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: raw[offset...]).copyMemory(from: $0) }
  }
}
/// Cuts, or extends with zeros.
func setSize(_ model: inout [UInt8], _ size: Int) {
  if size < model.count { model.removeLast(model.count - size) }
  if size > model.count { model += [UInt8](repeating: 0, count: size - model.count) }
}
