/// The targets of `Package.swift`, read from its text.
struct Manifest {
  struct Target: Equatable {
    let name: String
    let path: String
    let dependencies: [String]
  }
  let targets: [Target]

  init(text: String) {
    var found: [Target] = []
    for kind in [".target(", ".executableTarget(", ".testTarget("] {
      var rest = text[...]
      while let start = rest.firstRange(of: kind) {
        rest = rest[start.upperBound...]
        let body = Manifest.balanced(rest, open: "(", close: ")")
        rest = rest[body.endIndex...]
        guard let name = Manifest.value(of: "name", in: body), let path = Manifest.value(of: "path", in: body) else {
          continue
        }
        found.append(Target(name: name, path: path, dependencies: Manifest.dependencies(in: body)))
      }
    }
    targets = found
  }

  /// The target with the longest path that holds `file`.
  func target(owning file: String) -> Target? {
    targets.filter { file.hasPrefix($0.path + "/") }.max { $0.path.count < $1.path.count }
  }

  /// Text up to the bracket that closes the one just before it.
  private static func balanced(_ text: Substring, open: Character, close: Character) -> Substring {
    var depth = 1
    for index in text.indices {
      if text[index] == open { depth += 1 }
      if text[index] == close { depth -= 1 }
      if depth == 0 { return text[..<index] }
    }
    return text
  }
  private static func value(of label: String, in text: Substring) -> String? {
    guard let start = text.firstRange(of: label + ": \"") else { return nil }
    return String(text[start.upperBound...].prefix { $0 != "\"" })
  }
  private static func dependencies(in text: Substring) -> [String] {
    guard let start = text.firstRange(of: "dependencies: [") else { return [] }
    var list = balanced(text[start.upperBound...], open: "[", close: "]")
    var names: [String] = []
    while let quote = list.firstIndex(of: "\"") {
      let label = list[..<quote]
      let name = list[list.index(after: quote)...].prefix { $0 != "\"" }
      // Of `.product(name: "X", package: "y")` only the name is a module.
      if !label.hasSuffix("package: ") { names.append(String(name)) }
      list = list[list.index(after: name.endIndex)...]
    }
    return names
  }
}
