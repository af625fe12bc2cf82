public import Borealis
import BorealisRuntime
import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Lets other processes of the same user see and change a running cluster, and run SQL on it, over a local socket.
public final class ControlServer: Sendable {
  /// The socket of a cluster's directory.
  public static func socketPath(in directory: String) -> String { directory + "/control.sock" }

  private let cluster: Cluster
  private let path: String
  private let listener: Int32
  private let onChange: @Sendable () async -> Void
  private let onEndpoints: @Sendable ([String: UInt16]) async throws -> Void
  private let onStop: @Sendable () -> Void
  private let endpointChanges = OneAtATime()
  private let thread = Mutex<WorkerThread?>(nil)
  private let isClosed = Atomic<Bool>(false)

  /// Listens in `directory`; only the same user can connect.
  ///
  /// - Parameters:
  ///   - onChange: called after each change of the cluster that should outlast its process, and awaited before the answer.
  ///   - onEndpoints: called after each change of the custom endpoints, one at a time, with the ports that were asked for, by
  ///     name; where it throws, what was added or changed is taken back, and the error is the answer.
  ///   - onStop: called when somebody asks the cluster to stop.
  /// - Throws: where another process listens there.
  public init(
    _ cluster: Cluster, directory: String, onChange: @escaping @Sendable () async -> Void = {},
    onEndpoints: @escaping @Sendable ([String: UInt16]) async throws -> Void = ControlServer.noPorts,
    onStop: @escaping @Sendable () -> Void = {}
  ) throws(ControlError) {
    self.cluster = cluster
    self.onChange = onChange
    self.onEndpoints = onEndpoints
    self.onStop = onStop
    path = ControlServer.socketPath(in: directory)
    if ControlClient.isRunning(directory) { throw ControlError("another process runs the cluster in \(directory)") }
    // Left over from a process that has ended.
    unlink(path)
    listener = LineSocket.make()
    let mask = umask(0o177)
    let bound = LineSocket.withAddress(path) { [listener] in bind(listener, $0, $1) }
    let failure = errno
    umask(mask)
    guard listener >= 0, bound == 0, listen(listener, 64) == 0 else {
      close(listener)
      throw ControlError("cannot listen at \(path): \(String(cString: strerror(failure)))")
    }
    thread.withLock { $0 = WorkerThread { [weak self, listener] in ControlServer.accept(listener) { self } } }
  }
  deinit { stop() }

  /// Takes changes of endpoints that nothing listens for.
  public static let noPorts: @Sendable ([String: UInt16]) async throws -> Void = { ports in
    guard ports.isEmpty else {
      throw ControlError("nothing listens for this cluster's endpoints: they have no ports; leave the port out")
    }
  }

  /// Listens no more.
  public func stop() {
    guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    unlink(path)
    #if canImport(Darwin)
      _ = Darwin.shutdown(listener, SHUT_RDWR)
    #else
      _ = Glibc.shutdown(listener, Int32(SHUT_RDWR))
    #endif
    close(listener)
  }

  private static func accept(_ listener: Int32, _ server: () -> ControlServer?) {
    while true {
      let descriptor = acceptNext(listener)
      if descriptor < 0, errno == EINTR { continue }
      guard descriptor >= 0, let server = server() else { return }
      let (cluster, onChange, onStop) = (server.cluster, server.onChange, server.onStop)
      let (onEndpoints, changes) = (server.onEndpoints, server.endpointChanges)
      _ = WorkerThread {
        ControlSession(
          LineSocket(descriptor: descriptor), cluster, onChange: onChange, onEndpoints: onEndpoints, onStop: onStop,
          changes
        ).run()
      }
    }
  }
}

/// What the sessions of one server do one after the other.
final class OneAtATime: Sendable {
  private let turn = Mutex(())
  func run<T>(_ body: () throws -> T) rethrows -> T { try turn.withLock { _ in try body() } }
}

private func acceptNext(_ listener: Int32) -> Int32 {
  let descriptor = accept(listener, nil, nil)
  if descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
  return descriptor
}
