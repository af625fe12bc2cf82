/// A broken rule, at a line, with what to do instead.
struct Violation: CustomStringConvertible, Equatable {
  let path: String
  let line: Int
  let message: String
  var description: String { "\(path):\(line): \(message)" }
}

/// What the formatter and the compiler cannot check: each rule is a function from text to violations.
enum TidyRules {
  static let linesMax = 600
  static let testLinesMax = 800

  /// Files are short enough to be read.
  static func length(_ file: SourceText) -> [Violation] {
    let most = file.path.hasPrefix("Tests/") ? testLinesMax : linesMax
    guard file.lineCount > most else { return [] }
    let message = "\(file.lineCount) lines, at most \(most): split it by aspect into Type+Aspect.swift"
    return [Violation(path: file.path, line: most + 1, message: message)]
  }

  /// The folders whose code has to do the same thing every time.
  static let machineFolders = [
    "Modules/Core/", "Modules/Wire/", "Modules/StorageNode/", "Modules/Volume/", "Modules/Simulation/",
  ]

  /// What would make a machine depend on the process, the clock or the scheduler, and what to use instead.
  static let banned: [(call: String, replacement: String)] = [
    ("Date()", "take `now: Instant` as an argument"),
    (".now", "take `now: Instant` as an argument"),
    (".random(", "draw from a DeterministicGenerator that the caller passes"),
    (".randomElement(", "draw an index from a DeterministicGenerator"),
    (".shuffled(", "shuffle by indexes from a DeterministicGenerator"),
    (".shuffle(", "shuffle by indexes from a DeterministicGenerator"),
    ("SystemRandomNumberGenerator", "use DeterministicGenerator"),
    ("UUID()", "take an identity as an argument"),
    ("Task {", "return an effect; the shell runs it"),
    ("Task.detached", "return an effect; the shell runs it"),
    ("hashValue", "compute a CRC32C or compare values: hashes differ in every process"),
    ("try!", "handle the error, or use `precondition` for what cannot happen"),
  ]

  static func determinism(_ file: SourceText) -> [Violation] {
    guard machineFolders.contains(where: { file.path.hasPrefix($0) }) else { return [] }
    var found: [Violation] = []
    for (index, line) in file.code.enumerated() {
      for (call, replacement) in banned where uses(call, in: line) {
        found.append(
          Violation(path: file.path, line: index + 1, message: "`\(call)` in a machine: \(replacement)"))
      }
    }
    return found
  }

  /// Whether `line` has `call` as a whole word.
  ///
  /// A property of a value (`world.now`, virtual time) is not a clock.
  private static func uses(_ call: String, in line: String) -> Bool {
    let text = Array(line.utf8)
    let word = Array(call.utf8)
    guard text.count >= word.count else { return false }
    for start in 0...(text.count - word.count) where text[start..<(start + word.count)].elementsEqual(word) {
      let end = start + word.count
      if let last = word.last, isWord(last), end < text.count, isWord(text[end]) { continue }
      if let first = word.first, isWord(first), start > 0, isWord(text[start - 1]) { continue }
      if call == ".now" {
        var begin = start
        while begin > 0, isWord(text[begin - 1]) { begin -= 1 }
        let owner = text[begin..<start]
        let isValue = owner.first.map { (97...122).contains($0) } ?? (start > 0 && [41, 93].contains(text[start - 1]))
        if isValue, !owner.elementsEqual("clock".utf8) { continue }
      }
      return true
    }
    return false
  }
  private static func isWord(_ byte: UInt8) -> Bool {
    byte == 95 || (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
  }

  /// What every file may import without declaring it.
  static let systemModules = ["Swift", "Synchronization", "Glibc", "Musl", "Darwin", "WinSDK", "_Concurrency"]
  /// What plugins and tests may import besides.
  static let outerModules = ["Foundation", "Testing", "XCTest", "Dispatch", "PackageDescription"]
  /// The one module that puts plugins together for users.
  static let compositionRoot = "Modules/Borealis/"

  /// Imports go along the arrows of `Package.swift`, and Modules/ needs the toolchain only.
  static func layering(_ file: SourceText, _ manifest: Manifest) -> [Violation] {
    guard let target = manifest.target(owning: file.path) else {
      return [Violation(path: file.path, line: 1, message: "belongs to no target: add its folder to Package.swift")]
    }
    let isModule = file.path.hasPrefix("Modules/")
    return file.imports.compactMap { line, module in
      func broken(_ message: String) -> Violation { Violation(path: file.path, line: line, message: message) }
      if systemModules.contains(module) { return nil }
      if isModule, outerModules.contains(module) {
        return broken(
          "Modules/ must not import \(module): use the standard library, Synchronization or CBorealisSystem")
      }
      if outerModules.contains(module) { return nil }
      if isModule, !file.path.hasPrefix(compositionRoot),
        manifest.targets.contains(where: { $0.name == module && $0.path.hasPrefix("Plugins/") })
      {
        return broken("Modules/ must not import the plugin \(module): go through its seam")
      }
      if file.path.hasPrefix("Plugins/"), module == "BorealisConformance" {
        return broken("production must not import test support: move this to Tests/")
      }
      if target.dependencies.contains(module) { return nil }
      return broken("\(target.name) does not depend on \(module): add it to Package.swift if the arrow points down")
    }
  }

  /// Targets in Modules/ depend on targets in Modules/ alone, none on itself by a detour.
  static func arrows(_ manifest: Manifest) -> [Violation] {
    var found: [Violation] = []
    for target in manifest.targets where target.path.hasPrefix("Modules/") && target.path + "/" != compositionRoot {
      for name in target.dependencies {
        let path = manifest.targets.first { $0.name == name }?.path
        if path?.hasPrefix("Modules/") != true {
          found.append(
            Violation(
              path: "Package.swift", line: 1, message: "\(target.name) must not depend on \(name), outside Modules/"))
        }
      }
    }
    return found
  }

  /// What the quick start builds.
  static let quickStart = ["Borealis", "ClusterDemo", "VolumeQuickstart"]
  /// Plugins with packages of their own: they stand behind a trait, and the quick start does without.
  static let heavy = ["BorealisGRDB", "GRDB", "BorealisObservability", "Logging", "CoreMetrics", "NIOCore", "NIOPosix"]

  /// The quick start depends on no heavy plugin, by no detour.
  static func quickStart(_ manifest: Manifest) -> [Violation] {
    quickStart.flatMap { root in
      var reached = [root]
      var next = 0
      while next < reached.count {
        let found = manifest.targets.first { $0.name == reached[next] }?.dependencies ?? []
        reached += found.filter { !reached.contains($0) }
        next += 1
      }
      return heavy.filter { reached.contains($0) }.map { name in
        Violation(
          path: "Package.swift", line: 1, message: "\(root) must not depend on \(name): the quick start builds it")
      }
    }
  }
}
