import Testing

/// Planted violations have to be seen, and what only looks like one must not be.
@Suite struct TidyRuleTests {
  private let manifest = Manifest(
    text: """
      let package = Package(targets: [
        .target(name: "BorealisCore", dependencies: ["CBorealisSystem"], path: "Modules/Core"),
        .target(
          name: "BorealisWire",
          dependencies: ["BorealisCore", .product(name: "Other", package: "other-package")],
          path: "Modules/Wire"),
        .target(name: "FilePlugin", dependencies: ["BorealisCore"], path: "Plugins/File"),
        .target(name: "Borealis", dependencies: ["FilePlugin"], path: "Modules/Borealis"),
        .testTarget(name: "CoreTests", dependencies: ["BorealisCore"], path: "Tests/CoreTests", resources: [.copy("X")]),
      ])
      """)
  private func determinism(_ code: String, at path: String = "Modules/Core/X.swift") -> [String] {
    TidyRules.determinism(SourceText(path: path, text: code)).map(\.message)
  }
  private func layering(_ code: String, at path: String) -> [String] {
    TidyRules.layering(SourceText(path: path, text: code), manifest).map(\.message)
  }

  @Test func longFilesAreSeen() {
    func lines(_ count: Int, _ path: String) -> [Violation] {
      TidyRules.length(SourceText(path: path, text: String(repeating: "x\n", count: count)))
    }
    #expect(lines(600, "Modules/Core/X.swift").isEmpty)
    #expect(lines(601, "Modules/Core/X.swift").map(\.line) == [601])
    #expect(lines(601, "Plugins/X.swift").first?.message.contains("split it by aspect") == true)
    #expect(lines(800, "Tests/X.swift").isEmpty)
    #expect(lines(801, "Tests/X.swift").count == 1)
  }

  @Test(arguments: [
    "let d = Date()", "let t = ContinuousClock.now", "let t: Instant = .now", "let t = clock.now",
    "let t = DispatchTime.now()", "let n = Int.random(in: 0..<3)", "let x = list.shuffled()", "list.shuffle()",
    "let x = list.randomElement()", "let u = UUID()", "Task { await f() }", "Task.detached { }", "let h = x.hashValue",
    "let y = try! f()", "var g = SystemRandomNumberGenerator()",
  ]) func nondeterminismIsSeen(code: String) {
    #expect(determinism(code).count == 1, "\(code)")
    for folder in TidyRules.machineFolders { #expect(determinism("\n" + code, at: folder + "X.swift").count == 1) }
    // A shell may.
    #expect(determinism(code, at: "Modules/Runtime/X.swift").isEmpty)
    #expect(determinism(code, at: "Tests/CoreTests/X.swift").isEmpty)
  }

  @Test(arguments: [
    "// Date() and try! in a comment", "/* Task { /* nested */ hashValue */", "/// `.now`", "let s = \"Date() try!\"",
    "let s = #\"a \"quoted\" UUID()\"#", "let s = \"\"\"\n  Task { }\n  \"\"\"", "let t = world.now",
    "step(now: e.now)",
    "let updated = lastUpdate()", "let t = events[0].now", "f().now", "let nowhere = x.nowhere", "subTask {",
    "let myhashValues = 1", "case .nowhere:", "let x = \"\\\" UUID() \\\"\"",
  ]) func whatOnlyLooksLikeItIsNot(code: String) {
    #expect(determinism(code) == [], "\(code)")
  }

  @Test func codeAfterAStringOrACommentIsStillSeen() {
    #expect(determinism("let a = \"x\"; let d = Date()").count == 1)
    #expect(determinism("/* x */ let d = Date() // y").count == 1)
    #expect(determinism("let a = \"\"\"\n  \"x\"\n  \"\"\"\nlet d = Date()").count == 1)
    #expect(TidyRules.determinism(SourceText(path: "Modules/Core/X.swift", text: "\n\nDate()")).map(\.line) == [3])
  }

  @Test func messagesNameTheReplacement() {
    #expect(determinism("Date()") == ["`Date()` in a machine: take `now: Instant` as an argument"])
    for (call, replacement) in TidyRules.banned { #expect(!replacement.isEmpty, "\(call)") }
  }

  @Test func importsAgainstTheArrowsAreSeen() {
    #expect(layering("import BorealisCore\npublic import Synchronization", at: "Modules/Wire/X.swift") == [])
    #expect(layering("import Other", at: "Modules/Wire/X.swift") == [])
    #expect(layering("private import CBorealisSystem", at: "Modules/Core/X.swift") == [])
    #expect(
      layering("// import Foundation\nlet s = \"\"\"\nimport Foundation\n\"\"\"", at: "Modules/Core/X.swift") == [])
    for code in ["import Foundation", "@preconcurrency import Foundation", "package import struct Foundation.Date"] {
      #expect(
        layering(code, at: "Modules/Core/X.swift").first?.contains("must not import Foundation") == true, "\(code)")
    }
    #expect(layering("import BorealisWire", at: "Modules/Core/X.swift").first?.contains("does not depend on") == true)
    #expect(
      layering("import FilePlugin", at: "Modules/Wire/X.swift").first?.contains("must not import the plugin") == true)
    #expect(layering("@_exported public import FilePlugin", at: "Modules/Borealis/X.swift") == [])
    #expect(layering("import Foundation", at: "Plugins/File/X.swift") == [])
    #expect(layering("import BorealisConformance", at: "Plugins/File/X.swift").first?.contains("test support") == true)
    #expect(layering("import Foundation\nimport Testing\nimport BorealisCore", at: "Tests/CoreTests/X.swift") == [])
    #expect(layering("import BorealisWire", at: "Tests/CoreTests/X.swift").count == 1)
    #expect(
      layering("import BorealisCore", at: "Modules/Orphan/X.swift").first?.contains("belongs to no target") == true)
  }

  @Test func dependenciesAgainstTheArrowsAreSeen() {
    // "Other" is a package of somebody else's, and CBorealisSystem is not declared here.
    #expect(
      TidyRules.arrows(manifest).map(\.message) == [
        "BorealisCore must not depend on CBorealisSystem, outside Modules/",
        "BorealisWire must not depend on Other, outside Modules/",
      ])
  }

  @Test func heavyPluginsInTheQuickStartAreSeen() {
    #expect(TidyRules.quickStart(manifest) == [])
    let heavy = Manifest(
      text: """
        .target(name: "BorealisGRDB", dependencies: [.product(name: "GRDB", package: "x")], path: "Plugins/GRDB"),
        .target(name: "Middle", dependencies: ["BorealisGRDB"], path: "Plugins/Middle"),
        .executableTarget(name: "ClusterDemo", dependencies: ["Middle"], path: "Examples/ClusterDemo"),
        """)
    #expect(
      TidyRules.quickStart(heavy).map(\.message) == [
        "ClusterDemo must not depend on BorealisGRDB: the quick start builds it",
        "ClusterDemo must not depend on GRDB: the quick start builds it",
      ])
  }

  @Test func manifestsAreRead() {
    #expect(
      manifest.targets.map(\.name).sorted() == ["Borealis", "BorealisCore", "BorealisWire", "CoreTests", "FilePlugin"])
    #expect(manifest.target(owning: "Modules/Wire/Sub/X.swift")?.dependencies == ["BorealisCore", "Other"])
    #expect(manifest.target(owning: "Modules/Wireless/X.swift") == nil)
  }
}
