import BorealisSQLite

/// How a shell shows results.
public enum ResultFormat: String, CaseIterable, Sendable {
  /// Columns below each other, as wide as they have to be; numbers to the right.
  case table
  /// Comma-separated values (RFC 4180); NULL is empty, an empty text `""`.
  case csv
  /// An array of objects.
  case json
  /// A column on each line.
  case line
  /// Values with `|` between them.
  case list
}

/// Writes one result; `end` comes after its last row.
struct ResultWriter {
  /// Rows that are held back to find out how wide the columns of a table are.
  static let measuredRows = 500

  let format: ResultFormat
  let hasHeaders: Bool
  let nullText: String
  private let write: (String) -> Void
  private let columns: [String]
  private var count = 0
  private var held: [[SQLiteValue]] = []
  private var widths: [Int]?
  private var isNumeric: [Bool] = []

  init(
    _ format: ResultFormat, columns: [String], hasHeaders: Bool, nullText: String, _ write: @escaping (String) -> Void
  ) {
    self.format = format
    self.columns = columns
    self.hasHeaders = hasHeaders
    self.nullText = nullText
    self.write = write
  }

  mutating func add(_ row: [SQLiteValue]) {
    count += 1
    switch format {
    case .table:
      if widths == nil, held.count < ResultWriter.measuredRows {
        held.append(row)
      } else {
        measure()
        writeTableRow(row)
      }
    case .csv:
      if count == 1 { writeHeader { $0.map(ResultWriter.csv).joined(separator: ",") } }
      write(row.map { $0 == .null ? "" : ResultWriter.csv(plain($0)) }.joined(separator: ",") + "\n")
    case .json:
      let pairs = zip(columns, row).map { ResultWriter.json($0) + ":" + ResultWriter.json($1) }
      write((count == 1 ? "[{" : ",\n{") + pairs.joined(separator: ",") + "}")
    case .line:
      let width = columns.map(ShownText.width).max() ?? 0
      if count > 1 { write("\n") }
      for (name, value) in zip(columns, row) {
        write(String(repeating: " ", count: width - ShownText.width(name)) + name + " = " + plain(value) + "\n")
      }
    case .list:
      if count == 1 { writeHeader { $0.joined(separator: "|") } }
      write(row.map(plain).joined(separator: "|") + "\n")
    }
  }
  mutating func end() {
    switch format {
    case .table:
      measure()
      write("(\(count) row\(count == 1 ? "" : "s"))\n")
    case .json: write(count == 0 ? "[]\n" : "]\n")
    case .csv: if count == 0 { writeHeader { $0.map(ResultWriter.csv).joined(separator: ",") } }
    case .list: if count == 0 { writeHeader { $0.joined(separator: "|") } }
    case .line: break
    }
  }
  private func plain(_ value: SQLiteValue) -> String { value == .null ? nullText : "\(value)" }
  private func writeHeader(_ text: ([String]) -> String) {
    if hasHeaders { write(text(columns) + "\n") }
  }

  // MARK: Tables

  private func cell(_ value: SQLiteValue) -> String { ShownText.oneLine(plain(value)) }
  /// The widths are settled by the rows that are held, which are written now.
  private mutating func measure() {
    guard widths == nil else { return }
    var found = columns.map { hasHeaders ? ShownText.width(ShownText.oneLine($0)) : 0 }
    isNumeric = columns.indices.map { column in
      var hasNumbers = false
      for row in held {
        switch row[column] {
        case .integer, .real: hasNumbers = true
        case .text, .blob: return false
        case .null: continue
        }
      }
      return hasNumbers
    }
    for row in held {
      for (column, value) in row.enumerated() { found[column] = max(found[column], ShownText.width(cell(value))) }
    }
    widths = found
    if hasHeaders {
      let names = zip(columns, found).map { name, width in
        let text = ShownText.oneLine(name)
        let left = (width - ShownText.width(text)) / 2
        return ResultWriter.blanks(left) + text + ResultWriter.blanks(width - ShownText.width(text) - left)
      }
      write(ResultWriter.trimmed(" " + names.joined(separator: " | ")) + "\n")
      write(found.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "+") + "\n")
    }
    for row in held { writeTableRow(row) }
    held = []
  }
  private func writeTableRow(_ row: [SQLiteValue]) {
    let widths = widths ?? []
    let cells = row.indices.map { column in
      let text = cell(row[column])
      let space = ResultWriter.blanks(widths[column] - ShownText.width(text))
      return isNumeric[column] ? space + text : text + space
    }
    write(ResultWriter.trimmed(" " + cells.joined(separator: " | ")) + "\n")
  }
  private static func blanks(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
  private static func trimmed(_ text: String) -> String {
    var text = Substring(text)
    while text.last == " " { text.removeLast() }
    return String(text)
  }

  // MARK: Other formats

  static func csv(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { $0 != 0x22 && $0 != 0x2C && $0 != 0x0A && $0 != 0x0D }
    if isPlain, !text.isEmpty, text.first != " ", text.last != " " { return text }
    return "\"" + ShownText.doubled(text, "\"") + "\""
  }
  static func json(_ value: SQLiteValue) -> String {
    switch value {
    case .null: "null"
    case .integer(let value): "\(value)"
    // JSON has no infinity; this is read as one.
    case .real(let value): value.isInfinite ? (value < 0 ? "-1e999" : "1e999") : "\(value)"
    case .text(let value): json(value)
    case .blob: json("\(value)")
    }
  }
  static func json(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
