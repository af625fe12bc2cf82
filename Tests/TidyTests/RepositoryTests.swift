import Foundation
import Testing

/// The rules over the sources of this package.
@Suite struct RepositoryTests {
  static let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static let files: [SourceText] = ["Modules", "Plugins", "Examples", "Tests"].flatMap { files(in: $0) }

  private static func files(in folder: String) -> [SourceText] {
    let base = root.appending(path: folder).path
    let names = (FileManager.default.enumerator(atPath: base)?.allObjects ?? []).compactMap { $0 as? String }
    return names.filter { $0.hasSuffix(".swift") }.sorted().compactMap { name in
      let path = "\(folder)/\(name)"
      guard let text = try? String(contentsOf: root.appending(path: path), encoding: .utf8) else { return nil }
      return SourceText(path: path, text: text)
    }
  }
  static let manifest = Manifest(
    text: (try? String(contentsOf: root.appending(path: "Package.swift"), encoding: .utf8)) ?? "")

  private func expectNone(_ violations: [Violation]) {
    for violation in violations { Issue.record("\(violation)") }
  }

  @Test func theSourcesAreThere() {
    #expect(Self.files.count > 30)
    for folder in TidyRules.machineFolders {
      #expect(Self.files.contains { $0.path.hasPrefix(folder) }, "\(folder) has no sources: was it renamed?")
    }
    #expect(Self.manifest.targets.count >= 20)
    #expect(Self.manifest.targets.contains { $0.name == "BorealisWire" && $0.dependencies == ["BorealisCore"] })
  }
  @Test func filesAreShort() { expectNone(Self.files.flatMap { TidyRules.length($0) }) }
  @Test func machinesAreDeterministic() { expectNone(Self.files.flatMap { TidyRules.determinism($0) }) }
  @Test func importsFollowTheArrows() {
    expectNone(Self.files.flatMap { TidyRules.layering($0, Self.manifest) })
    expectNone(TidyRules.arrows(Self.manifest))
  }
  @Test func theQuickStartBuildsNothingHeavy() {
    for name in TidyRules.quickStart { #expect(Self.manifest.targets.contains { $0.name == name }, "\(name) is gone") }
    expectNone(TidyRules.quickStart(Self.manifest))
  }
  /// What is behind a trait that is off compiles to nothing, its tests too: `make test` must switch all of them on.
  @Test func theTestsSwitchOnEveryTrait() throws {
    let package = try String(contentsOf: Self.root.appending(path: "Package.swift"), encoding: .utf8)
    let traits = package.matches(of: /\.trait\(name: "(\w+)"/).map { String($0.output.1) }
    let makefile = try String(contentsOf: Self.root.appending(path: "Makefile"), encoding: .utf8)
    let given = try #require(makefile.firstMatch(of: /TEST_BUILD := .*--traits (\S+)/)).output.1.split(separator: ",")
    #expect(!traits.isEmpty)
    #expect(Set(traits) == Set(given.map(String.init)))
  }
}
