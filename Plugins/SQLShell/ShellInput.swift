/// Where a shell's lines come from.
public protocol ShellInput: AnyObject {
  /// The next line, with the line feed that ends it; `prompt` is shown where a person types.
  func next(prompt: String) -> ShellLine
}

/// What comes when a line is asked for.
public enum ShellLine: Equatable, Sendable {
  /// A line with its line feed; the last one may have none.
  case line(String)
  /// Ctrl-C: what was typed is forgotten.
  case interrupted
  /// There are no more.
  case end
}

/// Lines of a text.
public final class TextInput: ShellInput {
  private var rest: Substring.UTF8View

  /// Lines of `text`.
  public init(_ text: String) { rest = text[...].utf8 }
  /// The next line; there is no prompt.
  public func next(prompt: String) -> ShellLine {
    guard !rest.isEmpty else { return .end }
    let end = rest.firstIndex(of: 10).map { rest.index(after: $0) } ?? rest.endIndex
    defer { rest = rest[end...] }
    return .line(String(Substring(rest[..<end])))
  }
}
