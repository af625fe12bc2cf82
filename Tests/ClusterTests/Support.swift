import Borealis
import Foundation
import Testing

/// Waits until `condition` holds, generously; an error counts as not yet.
func eventually(
  _ what: Comment? = nil, seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = Date().addingTimeInterval(seconds)
  while true {
    if (try? await condition()) == true { return }
    if Date() > deadline {
      Issue.record(what ?? "did not come true within \(seconds) s", sourceLocation: sourceLocation)
      return
    }
    try await Task.sleep(for: .milliseconds(5))
  }
}

/// A directory that is removed afterwards.
func withTemporaryDirectory<T>(_ body: (String) async throws -> T) async throws -> T {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("borealis-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try await body(path)
}
