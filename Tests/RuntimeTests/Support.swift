import Borealis
import Foundation

/// A directory of its own, removed at the end.
final class TemporaryDirectory {
  let path: String
  init() throws {
    path = NSTemporaryDirectory() + "/borealis-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

extension Volume {
  /// The whole page, at the head or at a read point.
  func bytes(_ page: PageID, at readPoint: LSN? = nil) throws(VolumeError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0xEE, count: metadata.pageSize)
    let failure: VolumeError? = buffer.withUnsafeMutableBytes { raw in
      do throws(VolumeError) { _ = try read(page, at: readPoint, into: raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    return buffer
  }
}

extension VolumeReaderInstance {
  /// The first bytes of a page as the reader shows it.
  func prefix(_ page: PageID, _ count: Int, pageSize: Int) throws(VolumeError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0xEE, count: pageSize)
    let failure: VolumeError? = buffer.withUnsafeMutableBytes { raw in
      do throws(VolumeError) { _ = try read(page, into: raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    return Array(buffer.prefix(count))
  }
}

/// Polls until `condition` holds; generous, since machines are slow and shared.
func eventually(seconds: Double = 60, _ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = Date().addingTimeInterval(seconds)
  while Date() < deadline {
    if try condition() { return true }
    Thread.sleep(forTimeInterval: 0.01)
  }
  return try condition()
}

/// Page `index` of object 1.
func page(_ index: UInt64, object: UInt64 = 1) -> PageID { PageID(object: ObjectID(object), index: index) }
