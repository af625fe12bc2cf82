#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What this machine has.
enum Machine {
  /// Bytes of memory; 1 GiB where that cannot be found out.
  static let memoryBytes: UInt64 = {
    let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    guard pages > 0, size > 0 else { return 1 << 30 }
    return UInt64(pages) * UInt64(size)
  }()
}
