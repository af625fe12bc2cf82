#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Finds ports that servers may listen on.
package enum ListeningAddress {
  /// A port that nobody listens on at the moment, chosen by the system; nil where there is none, or no such address.
  ///
  /// - Parameter port: only this one will do; 0: any.
  package static func freePort(on host: String, _ port: UInt16 = 0) -> UInt16? { bound(to: host, port) }
  /// Whether a server could listen there now.
  static func isFree(_ host: String, _ port: UInt16) -> Bool { bound(to: host, port) != nil }

  /// The port that could be taken; given back at once.
  private static func bound(to host: String, _ port: UInt16) -> UInt16? {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    // A name, or an address of another family: the system's own choice on the local one is as good.
    if inet_pton(AF_INET, host, &address.sin_addr) != 1 { inet_pton(AF_INET, "127.0.0.1", &address.sin_addr) }
    #if canImport(Darwin)
      let descriptor = socket(AF_INET, SOCK_STREAM, 0)
    #else
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #endif
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // As PostgreSQL does: what is left of old connections is in nobody's way.
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        bind(descriptor, generic, length) == 0 && getsockname(descriptor, generic, &length) == 0
      }
    }
    return isBound ? UInt16(bigEndian: address.sin_port) : nil
  }
}
