import Borealis
import Foundation

/// What the crash harness writes: each slot is two pages, in different extents, that always change together.
enum CrashWorkload {
  static let pageSize = 4096
  static let slots = 64
  static let threads = 4

  /// Small groups, so that the two pages of a slot often lie in different protection groups.
  static var options: VolumeOptions {
    var options = VolumeOptions()
    options.extentPages = 16
    options.groupBytes = .kibibytes(256)
    options.cacheBytes = .mebibytes(1)
    return options
  }

  static func pages(of slot: Int) -> (PageID, PageID) {
    (PageID(object: ObjectID(1), index: UInt64(slot)), PageID(object: ObjectID(2), index: UInt64(slot) * 3))
  }

  /// A page that says `number` everywhere.
  static func image(_ number: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: pageSize)
    for at in stride(from: 0, to: bytes.count, by: 8) { bytes.storeInteger(number &+ UInt64(at) &* number, at: at) }
    return bytes
  }

  /// The number that both pages of a slot say; nil with a reason where they are torn or differ.
  static func number(in slot: Int, of volume: Volume) throws -> Result<UInt64, BenchError> {
    let (first, second) = pages(of: slot)
    let images = try [first, second].map { page in
      var buffer = [UInt8](repeating: 0, count: pageSize)
      try buffer.withUnsafeMutableBytes { _ = try volume.read(page, into: $0) }
      return buffer
    }
    let number = images[0].withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    let expected = image(number)
    if images[0] != expected { return .failure(BenchError("slot \(slot): the first page is torn (begins with \(number))")) }
    if images[1] != expected {
      let other = images[1].withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
      return .failure(BenchError("slot \(slot): half a mini-transaction: \(number) in one page, \(other) in the other"))
    }
    return .success(number)
  }
}
