import BorealisFileSystem

/// The open files of a mount, by the number that the kernel has for each.
///
/// Numbers, not addresses: when the connection ends without the kernel's closing them, they are all here to be closed.
struct HandleTable: Sendable {
  private var files: [OpenFile?] = []
  private var free: [Int] = []

  mutating func add(_ file: OpenFile) -> UInt64 {
    if let index = free.popLast() {
      files[index] = file
      return UInt64(index + 1)
    }
    files.append(file)
    return UInt64(files.count)
  }
  func file(_ number: UInt64) -> OpenFile? {
    guard number > 0, number <= UInt64(files.count) else { return nil }
    return files[Int(number) - 1]
  }
  mutating func remove(_ number: UInt64) -> OpenFile? {
    guard let file = file(number) else { return nil }
    files[Int(number) - 1] = nil
    free.append(Int(number) - 1)
    return file
  }
  /// Removes all.
  mutating func removeAll() -> [OpenFile] {
    defer { self = HandleTable() }
    return files.compactMap { $0 }
  }
}
