import BorealisSQLite
import Foundation

extension SQLShell {
  /// What `.help` says.
  public static let help = """
    .tables [PATTERN]        names of tables and views (LIKE)
    .schema [NAME]           the statements that made a table, a view, an index or a trigger
    .indexes [TABLE]         names of indexes
    .mode table|csv|json|line|list
    .headers on|off          names of columns before rows
    .nullvalue TEXT          what stands for NULL
    .timer on|off            the time of each statement
    .read FILE               runs the statements of a file
    .dump [TABLE]            the database as SQL
    .import FILE [--replace] copies a SQLite database into this one
    .help                    this
    .quit                    ends; so does Ctrl-D. Ctrl-C ends the statement that runs, or forgets what is typed.

    A statement ends with a semicolon. For history and editing of lines: rlwrap borealis sql ...

    """

  /// The lines of a file of this machine.
  public static func localFile(_ path: String) throws -> any ShellInput {
    guard let data = FileManager.default.contents(atPath: path) else { throw ShellError("\(path) cannot be read") }
    return TextInput(String(decoding: data, as: UTF8.self))
  }

  /// Runs a line that begins with a dot.
  func run(command line: String) throws {
    let words = try SQLShell.words(line)
    let arguments = Array(words.dropFirst())
    func argument() throws -> String? {
      guard arguments.count <= 1 else { throw ShellError("\(words[0]) takes one argument at most") }
      return arguments.first
    }
    switch words[0] {
    case ".tables", "\\dt": try showTables(try argument())
    case ".schema", "\\d": try showSchema(try argument())
    case ".indexes", ".indices", "\\di": try showIndexes(try argument())
    case ".mode":
      guard let name = try argument(), let mode = ResultFormat(rawValue: name) else {
        throw ShellError(".mode takes one of \(ResultFormat.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      format = mode
    case ".headers", ".header": hasHeaders = try SQLShell.isOn(words[0], try argument())
    case ".timer", "\\timing": isTimed = try SQLShell.isOn(words[0], try argument() ?? (isTimed ? "off" : "on"))
    case ".nullvalue": nullText = try argument() ?? ""
    case ".read", "\\i":
      guard let path = try argument() else { throw ShellError(".read takes a file") }
      try read(path)
    case ".dump":
      let dump = SQLDump(executor) { self.output($0) }
      try dump.run(matching: try argument())
    case ".import": try importDatabase(arguments)
    case ".help", "\\?", "\\h": output(SQLShell.help)
    case ".quit", ".exit", "\\q": isEnding = true
    default: throw ShellError("there is no command \(words[0]); .help tells which there are")
    }
  }
  private static func isOn(_ command: String, _ argument: String?) throws -> Bool {
    switch argument {
    case "on", "yes", "1": return true
    case "off", "no", "0": return false
    default: throw ShellError("\(command) takes on or off")
    }
  }
  /// Words between blanks; a word that holds blanks stands between quotes.
  static func words(_ line: String) throws -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    for character in line {
      if let open = quote {
        if character == open { quote = nil } else { word = (word ?? "") + String(character) }
      } else if character == "'" || character == "\"" {
        quote = character
        word = word ?? ""
      } else if character.isWhitespace {
        if let done = word { words.append(done) }
        word = nil
      } else {
        word = (word ?? "") + String(character)
      }
    }
    guard quote == nil else { throw ShellError("a quote is not closed") }
    if let done = word { words.append(done) }
    // A semicolon at the end is a habit.
    if let last = words.last, last.count > 1, last.last == ";" { words[words.count - 1].removeLast() }
    return words
  }

  // MARK: The schema

  private func names(_ sql: String) throws -> [String] {
    try executor.rows(sql).compactMap { row in
      if case .text(let name)? = row.first { return name }
      return nil
    }
  }
  private func showTables(_ pattern: String?) throws {
    let condition = pattern.map { " AND name LIKE \(SQLDump.quoted($0))" } ?? ""
    let found = try names(
      "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        + "\(condition) ORDER BY name")
    for name in found { output(name + "\n") }
  }
  private func showIndexes(_ table: String?) throws {
    let condition = table.map { " AND tbl_name LIKE \(SQLDump.quoted($0))" } ?? ""
    for name in try names("SELECT name FROM sqlite_master WHERE type = 'index'\(condition) ORDER BY name") {
      output(name + "\n")
    }
  }
  private func showSchema(_ name: String?) throws {
    let condition = name.map { " AND (name LIKE \(SQLDump.quoted($0)) OR tbl_name LIKE \(SQLDump.quoted($0)))" } ?? ""
    let found = try names(
      "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        + "\(condition) ORDER BY rowid")
    if found.isEmpty, let name { throw ShellError("there is no table, view, index or trigger \(name)") }
    for sql in found { output(sql + ";\n") }
  }

  // MARK: Import

  private func importDatabase(_ arguments: [String]) throws {
    let paths = arguments.filter { $0 != "--replace" }
    guard paths.count == 1, arguments.count <= 2 else { throw ShellError(".import takes a file, and --replace") }
    let report = try executor.importDatabase(paths[0], replacing: arguments.contains("--replace"))
    output("imported \(report.tables) tables, \(report.rows) rows, \(report.bytes) bytes\n")
  }
}
