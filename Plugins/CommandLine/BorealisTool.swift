import ArgumentParser

/// The `borealis` command.
@main
struct BorealisTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "borealis",
    abstract: "An Aurora that you can run yourself: a log-structured cluster volume with six copies in three zones.",
    subcommands: [
      DemoCommand.self, FormatCommand.self, FileSystemCommand.self, SQLCommand.self, SimulateCommand.self,
      BenchCommand.self, CrashCommand.self, ChildCommand.self,
    ])
}
