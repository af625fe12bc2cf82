/// Cuts text into SQL statements at the semicolons that end them.
///
/// Knows quotes, comments and the bodies of triggers, as `sqlite3_complete` does; never looks at a byte twice.
public struct StatementReader {
  /// A statement as it was written.
  public struct Statement: Equatable, Sendable {
    /// With its semicolon; without the space before it.
    public var text: String
    /// The line that it begins in, counted from 1.
    public var line: Int
  }
  private enum Token: Int {
    case semicolon, space, other, explain, create, temporary, trigger, end
  }
  private enum Quote {
    case none, lineComment, blockComment
    case quoted(UInt8)
  }
  /// What a token leads to in each state of `sqlite3_complete`: 1 is "complete".
  private static let table: [[Int]] = [
    [1, 0, 2, 3, 4, 2, 2, 2], [1, 1, 2, 3, 4, 2, 2, 2], [1, 2, 2, 2, 2, 2, 2, 2], [1, 3, 3, 2, 4, 2, 2, 2],
    [1, 4, 2, 2, 2, 4, 5, 2], [6, 5, 5, 5, 5, 5, 5, 5], [6, 6, 5, 5, 5, 5, 5, 7], [1, 7, 5, 5, 5, 5, 5, 5],
  ]
  private var bytes: [UInt8] = []
  /// Bytes looked at.
  private var at = 0
  private var state = 1
  private var quote = Quote.none
  /// Where the first token of the statement under way is; nil before it.
  private var start: Int?
  private var line = 1
  private var startLine = 1

  /// Makes one that has read nothing.
  public init() {}

  /// Reads on; `text` ends where a line ends, or is the last.
  public mutating func add(_ text: String) {
    let used = start ?? at
    bytes.removeFirst(used)
    at -= used
    if start != nil { start = 0 }
    bytes.append(contentsOf: text.utf8)
  }

  /// Counts a line that was no SQL.
  public mutating func skipLine() { line += 1 }

  /// The next complete statement.
  public mutating func next() -> Statement? {
    while at < bytes.count {
      let isDone = step()
      guard isDone, let first = start else { continue }
      return take(first)
    }
    return nil
  }
  /// What has been read and is not complete, after which it begins anew; nil where there is only space and comments.
  public mutating func rest() -> Statement? {
    let rest = start.map { Statement(text: text($0..<bytes.count), line: startLine) }
    discard()
    return rest
  }
  /// Whether a statement or a comment has begun and is not complete, when `next` has no more to give.
  public var isInside: Bool {
    if start != nil { return true }
    if case .blockComment = quote { return true }
    return false
  }
  /// Forgets what is not complete.
  public mutating func discard() {
    bytes = []
    at = 0
    state = 1
    quote = .none
    start = nil
  }

  private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
  private mutating func take(_ first: Int) -> Statement {
    let statement = Statement(text: text(first..<at), line: startLine)
    start = nil
    return statement
  }
  private func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }

  /// Takes one token, or the whole of what is quoted; true where it ends a statement.
  private mutating func step() -> Bool {
    let current = bytes[at]
    switch quote {
    case .lineComment:
      if current == 10 { quote = .none }
      skip(1)
      return false
    case .blockComment:
      let ends = current == 42 && byte(at + 1) == 47
      if ends { quote = .none }
      skip(ends ? 2 : 1)
      return false
    case .quoted(let end):
      // A doubled quote ends one piece and begins the next.
      if current == end { quote = .none }
      skip(1)
      return false
    case .none: break
    }
    switch current {
    case 59:
      let wasInside = start != nil
      if !wasInside { begin() }
      skip(1)
      move(.semicolon)
      guard state == 1 else { return false }
      // A semicolon alone is no statement.
      if !wasInside { start = nil }
      return wasInside
    case 9, 10, 12, 13, 32: skip(1)
    case 45 where byte(at + 1) == 45:
      quote = .lineComment
      skip(2)
    case 47 where byte(at + 1) == 42:
      quote = .blockComment
      skip(2)
    case 39, 34, 96, 91:
      begin()
      quote = .quoted(current == 91 ? 93 : current)
      skip(1)
      move(.other)
    case _ where StatementReader.isWord(current):
      begin()
      let first = at
      while at < bytes.count, StatementReader.isWord(bytes[at]) { at += 1 }
      move(StatementReader.token(bytes[first..<at]))
    default:
      begin()
      skip(1)
      move(.other)
    }
    return false
  }
  private mutating func begin() {
    guard start == nil else { return }
    start = at
    startLine = line
  }
  private mutating func skip(_ count: Int) {
    for index in at..<min(at + count, bytes.count) where bytes[index] == 10 { line += 1 }
    at = min(at + count, bytes.count)
  }
  private mutating func move(_ token: Token) { state = StatementReader.table[state][token.rawValue] }

  private static func isWord(_ byte: UInt8) -> Bool {
    byte == 95 || byte == 36 || byte >= 128 || (48...57).contains(byte) || (65...90).contains(byte)
      || (97...122).contains(byte)
  }
  private static func token(_ word: ArraySlice<UInt8>) -> Token {
    guard word.count <= 9 else { return .other }
    switch String(decoding: word, as: UTF8.self).lowercased() {
    case "create": return .create
    case "trigger": return .trigger
    case "temp", "temporary": return .temporary
    case "end": return .end
    case "explain": return .explain
    default: return .other
    }
  }
}
