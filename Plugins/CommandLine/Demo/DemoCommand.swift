import ArgumentParser
import BorealisDemo

/// `borealis demo`: a cluster on files, under load, through all that it is made for.
struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "See a cluster run SQL while readers are added and a node, a zone and the writer are lost.")

  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(help: "Seconds for each act.") var act = 2.0

  func run() async throws {
    guard try await ClusterDemo(directory: directory, act: act).run() else { throw ExitCode.failure }
  }
}
