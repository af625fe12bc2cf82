import BorealisCore
public import BorealisStorageBackend

/// The checks that every `StorageBackend` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: StorageBackendConformance.checks)
///     func conforms(check: StorageBackendConformance.Check) throws {
///       #expect(try check.run { MyPlace() } == .passed)
///     }
///
/// A check opens, closes, crashes and fills places, so it takes a maker of places and not a backend.
public enum StorageBackendConformance {
  /// What some checks do to a place beyond opening it, where that is possible.
  public enum Ability: String, Sendable, Hashable, CaseIterable {
    /// Lose power: what was not synced may be gone.
    case losePower
    /// Be full, and have space again.
    case fillUp
    /// Fail syncs.
    case failSyncs
  }
  /// How a check ended that did not fail.
  public enum Outcome: Sendable, Hashable {
    /// The backend does what is promised.
    case passed
    /// The place lacks an ability that the check needs: nothing is known.
    case impossible(Ability)
  }
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    /// What a place must be able to do for this check.
    public let needs: [Ability]
    let body: @Sendable (StorageTrial) throws -> Void

    /// Runs the check on a new place, which is destroyed afterwards.
    ///
    /// - Throws: what was promised and not found.
    public func run(_ makePlace: () throws -> any StorageBackendPlace) throws(ConformanceFailure) -> Outcome {
      let place: any StorageBackendPlace
      do { place = try makePlace() } catch {
        throw ConformanceFailure(check: name, reason: "no place to check: \(error)")
      }
      defer { place.destroy() }
      for ability in needs where !place.abilities.contains(ability) { return .impossible(ability) }
      do { try body(StorageTrial(place: place)) } catch {
        throw ConformanceFailure(check: name, reason: "\(error)")
      }
      return .passed
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = contents + durability + space + lifetime + queue
}

/// A place that a backend keeps its bytes in, for conformance checks: a directory, a disk, an object in memory.
///
/// A check opens it at most once at a time, except to see the second opening refused. `losePower`, `setFull` and
/// `setSyncsFail` are called only where `abilities` says that they work.
public protocol StorageBackendPlace: AnyObject, Sendable {
  /// What can be done to this place.
  var abilities: [StorageBackendConformance.Ability] { get }
  /// Opens the place; empty the first time.
  func open() throws(StorageBackendError) -> any StorageBackend
  /// Ends the open backend as loss of power would and opens the place again; `seed` chooses which unsynced changes are
  /// lost.
  func losePower(seed: UInt64) throws -> any StorageBackend
  /// Takes all free space away, or gives it back.
  func setFull(_ isFull: Bool) throws
  /// Makes the open backend's syncs of the file fail, or succeed again.
  func setSyncsFail(_ fail: Bool, of file: StorageFile) throws
  /// Closes and removes everything.
  func destroy()
}

extension StorageBackendPlace {
  /// Not possible unless implemented.
  public func losePower(seed: UInt64) throws -> any StorageBackend { throw StorageTrial.Violation("no losePower") }
  /// Not possible unless implemented.
  public func setFull(_ isFull: Bool) throws { throw StorageTrial.Violation("no setFull") }
  /// Not possible unless implemented.
  public func setSyncsFail(_ fail: Bool, of file: StorageFile) throws {
    throw StorageTrial.Violation("no setSyncsFail")
  }
}

/// What a check works with.
struct StorageTrial: Sendable {
  struct Violation: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
  }
  let place: any StorageBackendPlace

  func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw Violation(message()) }
  }
  /// Expects `bytes` at `offset`.
  func expect(
    _ backend: any StorageBackend, _ file: StorageFile, at offset: UInt64, is bytes: [UInt8], _ what: String
  ) throws {
    let found = try backend.bytes(file, at: offset, count: bytes.count)
    if bytesAreEqual(found, bytes) { return }
    let index = bytes.indices.first { found[$0] != bytes[$0] } ?? 0
    throw Violation(
      "\(what): \(file) at \(offset + UInt64(index)) is \(found[index]), not \(bytes[index])")
  }
  /// Expects `count` zeros at `offset`.
  func expectZeros(
    _ backend: any StorageBackend, _ file: StorageFile, at offset: UInt64, count: Int, _ what: String
  ) throws {
    try expect(backend, file, at: offset, is: [UInt8](repeating: 0, count: count), what)
  }
  /// Expects the call to throw `code`.
  func expect(
    _ code: StorageBackendError.Code, from what: String, _ body: () throws(StorageBackendError) -> Void
  ) throws {
    do throws(StorageBackendError) { try body() } catch {
      if error.code == code { return }
      throw Violation("\(what) threw \(error.code), not \(code): \(error)")
    }
    throw Violation("\(what) did not throw \(code)")
  }
}

extension StorageBackend {
  /// Writes an array.
  func put(_ file: StorageFile, at offset: UInt64, _ bytes: [UInt8]) throws(StorageBackendError) {
    try perform(.write(file, at: offset, bytes))
  }
  /// Reads into a new array; the buffer is full of rubbish before, so that bytes left alone are seen.
  func bytes(_ file: StorageFile, at offset: UInt64, count: Int) throws(StorageBackendError) -> [UInt8] {
    var result = [UInt8](repeating: 0xA5, count: count)
    let failure: StorageBackendError? = result.withUnsafeMutableBytes { raw in
      do throws(StorageBackendError) { try read(file, at: offset, into: raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
    return result
  }
}

extension DeterministicGenerator {
  /// That many random bytes, none of them zero.
  mutating func bytes(_ count: Int) -> [UInt8] {
    var words = [UInt64](repeating: 0, count: (count + 7) / 8)
    for index in words.indices { words[index] = next() | 0x0101_0101_0101_0101 }
    return words.withUnsafeBytes { Array($0[..<count]) }
  }
}
