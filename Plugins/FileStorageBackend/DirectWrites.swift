import BorealisCore
import Synchronization

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Small writes that are durable when they return: around the page cache (O_DIRECT), each with its flush (O_DSYNC).
///
/// O_DSYNC promises of one write what fdatasync promises of all before it: the bytes, and whatever is needed to find them,
/// are on the device when the call returns, through a flush of the device's cache where it has one. Around the page cache,
/// because otherwise the kernel copies the bytes, marks the page, looks for marked pages at the flush and waits for each:
/// measured on six files (Performance.md), 350 instead of 590 us for four of six.
///
/// A failure leaves nothing in the page cache that a later flush could lose in silence; but the device may have failed to
/// flush, so that the caller must treat it as a failed flush.
final class DirectWrites: @unchecked Sendable {
  // @unchecked: `buffer` is touched by `write` only, which holds `turn`.

  /// What was written so is fetched into the page cache when it has come to this much, in one read that nobody waits for:
  /// it is read soon, record by record, when the log is folded into pages.
  private static let fetchLength: UInt64 = 256 << 10

  /// The longest write: beyond it the page cache is no slower, and reading back is faster.
  static let lengthMax = 64 << 10
  /// Offsets and lengths must be multiples of this; a device that asks for more refuses, and is left alone from then on.
  static let sector: UInt64 = 512

  enum Outcome {
    /// Durable.
    case written
    /// Nothing was done: to be written in another way.
    case declined
  }

  let descriptor: Descriptor
  private let buffer: UnsafeMutableRawBufferPointer
  /// The range written last, one piece behind the other, that was not fetched back yet.
  private let turn = Mutex<Range<UInt64>>(0..<0)
  private let isRefused = Atomic(false)
  private let isClosed = Atomic(false)

  /// For a file that is open by its path; nil where the system or the file system knows no such writes.
  init?(_ path: String) {
    guard let flags = DirectWrites.flags,
      let descriptor = try? Descriptor.open(path, flags: O_RDWR | flags)
    else { return nil }
    self.descriptor = descriptor
    buffer = .allocate(byteCount: DirectWrites.lengthMax, alignment: 4096)
  }
  deinit {
    close()
    buffer.deallocate()
  }
  func close() {
    if !isClosed.exchange(true, ordering: .acquiringAndReleasing) { descriptor.close() }
  }

  /// O_DIRECT and O_DSYNC, which Swift does not import.
  private static var flags: Int32? {
    #if os(Linux) && (arch(x86_64) || arch(i386) || arch(riscv64) || arch(s390x))
      0o40000 | 0o10000
    #elseif os(Linux) && (arch(arm64) || arch(arm))
      0o200000 | 0o10000
    #else
      nil
    #endif
  }

  /// Writes where that can be done in this way; throws what the system said.
  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(SystemFailure) -> Outcome {
    guard takes(offset, bytes.count) else { return .declined }
    // Somebody else is writing: no reason to wait for them.
    let outcome = try turn.withLockIfAvailable {
      (recent: inout sending Range<UInt64>) throws(SystemFailure) -> Outcome in
      buffer.copyMemory(from: bytes)
      do throws(SystemFailure) {
        try descriptor.write(at: offset, UnsafeRawBufferPointer(rebasing: buffer[..<bytes.count]))
        note(offset, UInt64(bytes.count), in: &recent)
        return Outcome.written
      } catch {
        guard refuses(error) else { throw error }
        return Outcome.declined
      }
    }
    return outcome ?? .declined
  }
  /// Whether a piece can be written in this way.
  func takes(_ offset: UInt64, _ length: Int) -> Bool {
    length > 0 && length <= DirectWrites.lengthMax && offset % DirectWrites.sector == 0
      && UInt64(length) % DirectWrites.sector == 0 && !isRefused.load(ordering: .relaxed)
  }
  /// Whether a failure says that the device asks for larger sectors, or that it cannot be done here at all.
  ///
  /// Nothing was written then, and it is not tried again.
  func refuses(_ failure: SystemFailure) -> Bool {
    guard failure.number == EINVAL || failure.number == EOPNOTSUPP else { return false }
    isRefused.store(true, ordering: .relaxed)
    return true
  }
  /// A piece was written through a queue.
  func note(_ offset: UInt64, _ length: Int) {
    turn.withLock { recent in note(offset, UInt64(length), in: &recent) }
  }
  private func note(_ offset: UInt64, _ length: UInt64, in recent: inout Range<UInt64>) {
    recent = (recent.upperBound == offset ? recent.lowerBound : offset)..<(offset + length)
    guard UInt64(recent.count) >= DirectWrites.fetchLength else { return }
    #if os(Linux)
      // A wish: where it is not granted, reading is slower.
      _ = posix_fadvise(
        descriptor.number, off_t(recent.lowerBound), off_t(recent.count), Int32(POSIX_FADV_WILLNEED))
    #endif
    recent = recent.upperBound..<recent.upperBound
  }
}
