import BorealisSQLite

/// A shell for SQL: statements go to an executor, results to a format, and lines that begin with a dot are for itself.
///
/// Knows nothing of how the executor reaches the database. One thread uses it.
///
///     let shell = SQLShell(SessionExecutor(session), name: "orders", output: { print($0, terminator: "") })
///     let isFine = shell.run(TextInput("SELECT * FROM orders; .tables"))
public final class SQLShell {
  /// How results are shown.
  public var format = ResultFormat.table
  /// Whether results begin with the names of their columns.
  public var hasHeaders = true
  /// Whether the time of each statement is told.
  public var isTimed = false
  /// What stands for NULL in tables and lists.
  public var nullText = "[null]"
  let executor: any SQLExecutor
  let output: (String) -> Void
  private let errors: (String) -> Void
  private let name: String
  /// A person types: errors end nothing.
  private let isInteractive: Bool
  /// `.quit` was seen.
  var isEnding = false
  /// Files that are read within each other.
  var depth = 0
  private let files: (String) throws -> any ShellInput

  /// Makes a shell.
  ///
  /// - Parameters:
  ///   - name: what the prompt calls the database.
  ///   - isInteractive: whether a person types: then there are prompts, and errors end nothing.
  ///   - files: opens the files that `.read` names.
  ///   - output: takes results, in pieces.
  ///   - errors: takes errors, a message a call.
  public init(
    _ executor: any SQLExecutor, name: String, isInteractive: Bool = false,
    files: @escaping (String) throws -> any ShellInput = SQLShell.localFile,
    output: @escaping (String) -> Void, errors: @escaping (String) -> Void
  ) {
    self.executor = executor
    self.name = name
    self.isInteractive = isInteractive
    self.files = files
    self.output = output
    self.errors = errors
  }

  /// Runs what `input` has, to its end, to `.quit`, or, where nobody types, to the first error.
  ///
  /// - Returns: whether there was no error that ended it.
  public func run(_ input: any ShellInput) -> Bool { run(input, isTyped: isInteractive, file: nil) }

  /// `file` is named in errors.
  func run(_ input: any ShellInput, isTyped: Bool, file: String?) -> Bool {
    var reader = StatementReader()
    var lineNumber = 0
    while !isEnding {
      switch input.next(prompt: isTyped ? prompt(reader.isInside) : "") {
      case .interrupted: reader = StatementReader()
      case .end:
        // The last statement may do without its semicolon.
        guard let last = reader.rest() else { return true }
        return run(last, file: file) || isTyped
      case .line(let line):
        lineNumber += 1
        if !reader.isInside, let command = SQLShell.command(line) {
          reader.skipLine()
          do { try run(command: command) } catch {
            report(error, line: lineNumber, file: file, text: command)
            if !isTyped { return false }
          }
          continue
        }
        reader.add(line)
        while !isEnding, let statement = reader.next() {
          if !run(statement, file: file), !isTyped { return false }
        }
      }
    }
    return true
  }
  /// The text of a line that is for the shell; nil for SQL.
  private static func command(_ line: String) -> String? {
    let text = line.drop { $0 == " " || $0 == "\t" }
    guard text.first == "." || text.first == "\\" else { return nil }
    return text.last?.isNewline == true ? String(text.dropLast()) : String(text)
  }
  private func prompt(_ isInside: Bool) -> String {
    name + (executor.isInTransaction ? "*" : "") + (isInside ? "-> " : "=> ")
  }

  // MARK: Statements

  /// Runs a statement and shows its result; false where it has failed.
  private func run(_ statement: StatementReader.Statement, file: String?) -> Bool {
    do {
      try show(statement.text)
      return true
    } catch {
      report(error, line: statement.line, file: file, text: statement.text)
      return false
    }
  }
  /// Runs a statement and shows its result.
  func show(_ sql: String) throws {
    var writer: ResultWriter?
    let summary = try executor.run(sql) { part in
      switch part {
      case .columns(let names):
        writer = ResultWriter(
          format, columns: names, hasHeaders: hasHeaders,
          nullText: format == .csv ? "" : nullText, output)
      case .row(let row): writer?.add(row)
      }
    }
    writer?.end()
    if isInteractive, writer == nil, let changes = summary.changes, changes > 0 {
      output("\(changes) row\(changes == 1 ? "" : "s") changed\n")
    }
    if isTimed { output("Time: \(SQLShell.milliseconds(summary.elapsed)) ms\n") }
  }
  static func milliseconds(_ time: Duration) -> String {
    let microseconds = time.components.seconds * 1_000_000 + time.components.attoseconds / 1_000_000_000_000
    let fraction = String(microseconds % 1000 + 1000).dropFirst()
    return "\(microseconds / 1000).\(fraction)"
  }

  // MARK: Errors

  private func report(_ error: any Error, line: Int, file: String?, text: String) {
    var message = "error"
    if !isInteractive || file != nil { message += " in \(file.map { "\($0), " } ?? "")line \(line)" }
    if let error = error as? SQLiteError {
      message += ": \(error.message) (SQLite code \(error.extendedCode))"
      if let cause = error.volumeError { message += "\n  \(cause)" }
      if error.isOutcomeUnknown { message += "\n  whether it was committed is unknown" }
    } else {
      message += ": \(error)"
    }
    if !isInteractive || file != nil { message += "\n  " + SQLShell.shortened(text) }
    errors(message + "\n")
  }
  /// The beginning of a statement, on one line.
  private static func shortened(_ text: String) -> String {
    let words = ShownText.oneLine(text.split(whereSeparator: \.isWhitespace).joined(separator: " "))
    return words.count <= 100 ? words : words.prefix(100) + " ..."
  }

  /// Reads another file, with its own numbers of lines.
  func read(_ path: String) throws {
    guard depth < 16 else { throw ShellError("files read each other more than 16 deep") }
    let input = try files(path)
    depth += 1
    defer { depth -= 1 }
    // An error in a file ends the file, and what has asked for it.
    if !run(input, isTyped: false, file: path) { throw ShellError("\(path) was not read to its end") }
  }
}

/// Why the shell cannot do what a command says.
struct ShellError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
