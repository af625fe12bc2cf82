import Foundation

/// Talks to a cluster that another process runs (`borealis up`); blocks, for one thread at a time.
public final class ControlClient {
  private let socket: LineSocket

  /// Connects to the cluster that is kept in a directory.
  ///
  /// - Throws: where no process runs it.
  public init(directory: String) throws(ControlError) {
    do throws(ControlError) { socket = try LineSocket(path: ControlServer.socketPath(in: directory)) } catch {
      throw ControlError("the cluster in \(directory) does not run (\(error)); `borealis up \(directory)` starts it")
    }
  }
  /// Whether a process runs the cluster in a directory.
  public static func isRunning(_ directory: String) -> Bool {
    (try? LineSocket(path: ControlServer.socketPath(in: directory))) != nil
  }
  /// Has a call that waits, on another thread too, end with an error; the client is of no use afterwards.
  ///
  /// May be called from a signal handler.
  public func interrupt() { socket.shutdown() }

  /// Asks, hands every line of the answer to `body`, and returns the text of `done`.
  ///
  /// - Throws: the answer's error, as text; a connection that broke.
  @discardableResult
  public func ask(_ request: ControlRequest, _ body: (ControlReply) -> Void = { _ in }) throws(ControlError) -> String {
    try socket.write(request)
    while let reply = try socket.read(ControlReply.self) {
      switch reply {
      case .done(let text): return text
      case .error(let text, _, _):
        body(reply)
        throw ControlError(text)
      default: body(reply)
      }
    }
    throw ControlError("the cluster has ended before it had answered")
  }
}
