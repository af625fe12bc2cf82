import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why the socket of a cluster cannot be used.
public struct ControlError: Error, Sendable, CustomStringConvertible {
  /// What happened and what to do.
  public let description: String
  /// Makes an error.
  public init(_ description: String) { self.description = description }
}

/// A connected local socket that carries lines; used by one thread at a time, blocking.
final class LineSocket {
  /// Bytes of a line, at most: a batch of rows, or a statement.
  static let lineMax = 64 << 20
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var scanned = 0

  init(descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  /// Connects to a cluster's socket.
  init(path: String) throws(ControlError) {
    let made = LineSocket.make()
    guard made >= 0 else { throw ControlError("a socket cannot be made: \(String(cString: strerror(errno)))") }
    descriptor = made
    let result = LineSocket.withAddress(path) { connect(made, $0, $1) }
    guard result == 0 else {
      throw ControlError("nobody listens at \(path): \(String(cString: strerror(errno)))")
    }
  }
  static func make() -> Int32 {
    #if canImport(Darwin)
      return socket(AF_UNIX, SOCK_STREAM, 0)
    #else
      return socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    #endif
  }
  static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard bytes.count < room else {
      errno = ENAMETOOLONG
      return -1
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  /// The next line; nil at the end.
  func readLine() throws(ControlError) -> [UInt8]? {
    while true {
      if let end = buffer[scanned...].firstIndex(of: 10) {
        let line = Array(buffer[..<end])
        buffer.removeSubrange(...end)
        scanned = 0
        return line
      }
      scanned = buffer.count
      guard buffer.count < LineSocket.lineMax else { throw ControlError("a line is longer than 64 MiB") }
      var part = [UInt8](repeating: 0, count: 1 << 16)
      let count = part.withUnsafeMutableBytes { readBytes(descriptor, $0.baseAddress, $0.count) }
      if count == 0 { return nil }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw ControlError("reading from the cluster failed: \(String(cString: strerror(errno)))")
      }
      buffer += part[..<count]
    }
  }
  /// Sends a line.
  func write(line: [UInt8]) throws(ControlError) {
    var rest = (line + [10])[...]
    while !rest.isEmpty {
      #if canImport(Darwin)
        let flags: Int32 = 0
      #else
        let flags = Int32(MSG_NOSIGNAL)
      #endif
      let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, flags) }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw ControlError("the other side of the socket is gone: \(String(cString: strerror(errno)))")
      }
      rest = rest.dropFirst(count)
    }
  }
  func write(_ value: some Encodable) throws(ControlError) {
    let data: Data
    do { data = try JSONEncoder().encode(value) } catch { throw ControlError("\(error)") }
    try write(line: Array(data))
  }
  func read<T: Decodable>(_ type: T.Type) throws(ControlError) -> T? {
    guard let line = try readLine() else { return nil }
    do { return try JSONDecoder().decode(type, from: Data(line)) } catch {
      throw ControlError("what came over the socket is not understood: \(error); are both sides of one version?")
    }
  }
  /// Has a read that waits, on another thread too, end.
  func shutdown() {
    #if canImport(Darwin)
      _ = Darwin.shutdown(descriptor, SHUT_RDWR)
    #else
      _ = Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
    #endif
  }
}

private func readBytes(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(descriptor, buffer, count)
}
