/// A source file as the rules see it: lines with comments and string literals blanked, so that only code is left.
struct SourceText {
  /// Path from the root of the package: `Modules/Core/CRC32C.swift`.
  let path: String
  /// Lines as written.
  let lines: [Substring]
  /// The same lines with blanks for comments and for what stands inside string literals.
  let code: [String]

  init(path: String, text: String) {
    self.path = path
    lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    code = SourceText.blank(text).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// Number of lines; a final line feed does not begin another.
  var lineCount: Int { lines.last == "" ? lines.count - 1 : lines.count }

  /// Modules that the file imports, with line numbers counted from 1.
  var imports: [(line: Int, module: String)] {
    code.enumerated().compactMap { index, line in
      var words = line.split(whereSeparator: \.isWhitespace)
      while let first = words.first, first.hasPrefix("@") || SourceText.accessLevels.contains(first) {
        words.removeFirst()
      }
      guard words.count >= 2, words[0] == "import" else { return nil }
      let kinds: [Substring] = ["struct", "class", "enum", "func", "protocol", "typealias", "var", "let", "actor"]
      let name = kinds.contains(words[1]) && words.count > 2 ? words[2] : words[1]
      return (index + 1, String(name.prefix { $0 != "." && $0 != ";" }))
    }
  }
  private static let accessLevels: [Substring] = ["public", "package", "internal", "fileprivate", "private"]

  private enum State {
    case code
    case line
    case block(depth: Int)
    case string(hashes: Int, isMultiline: Bool)
  }

  /// Replaces comments and the contents of string literals by blanks; line feeds stay.
  private static func blank(_ text: String) -> String {
    let source = Array(text.utf8)
    var out: [UInt8] = []
    out.reserveCapacity(source.count)
    var state = State.code
    var i = 0
    func at(_ k: Int) -> UInt8 { k < source.count ? source[k] : 0 }
    func starts(_ word: String, at k: Int) -> Bool { Array(word.utf8).enumerated().allSatisfy { at(k + $0) == $1 } }
    func skip(_ count: Int) {
      for k in i..<min(i + count, source.count) { out.append(source[k] == 10 ? 10 : 32) }
      i += count
    }
    while i < source.count {
      switch state {
      case .code:
        if starts("//", at: i) {
          state = .line
          skip(2)
        } else if starts("/*", at: i) {
          state = .block(depth: 1)
          skip(2)
        } else {
          var hashes = 0
          while at(i + hashes) == 35 { hashes += 1 }
          if at(i + hashes) == 34 {
            let isMultiline = starts("\"\"\"", at: i + hashes)
            state = .string(hashes: hashes, isMultiline: isMultiline)
            skip(hashes + (isMultiline ? 3 : 1))
          } else {
            out.append(source[i])
            i += 1
          }
        }
      case .line:
        if source[i] == 10 { state = .code }
        skip(1)
      case .block(let depth):
        if starts("*/", at: i) {
          state = depth == 1 ? .code : .block(depth: depth - 1)
          skip(2)
        } else if starts("/*", at: i) {
          state = .block(depth: depth + 1)
          skip(2)
        } else {
          skip(1)
        }
      case .string(let hashes, let isMultiline):
        let marks = String(repeating: "#", count: hashes)
        let end = (isMultiline ? "\"\"\"" : "\"") + marks
        if starts("\\" + marks, at: i), at(i + 1 + hashes) != 10 {
          skip(hashes + 2)
        } else if starts(end, at: i) {
          state = .code
          skip(end.utf8.count)
        } else if source[i] == 10, !isMultiline {
          state = .code
          skip(1)
        } else {
          skip(1)
        }
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
