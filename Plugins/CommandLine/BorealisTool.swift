import ArgumentParser

/// The `borealis` command.
@main
struct BorealisTool: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "borealis",
    abstract: "An Aurora that you can run yourself: a log-structured cluster volume with six copies in three zones.",
    subcommands: [
      DemoCommand.self, VolumeDemoCommand.self, UpCommand.self, DownCommand.self, SQLCommand.self, StatusCommand.self,
      EventsCommand.self,
      AddReaderCommand.self, RemoveInstanceCommand.self, ModifyCommand.self, FailoverCommand.self, EndpointCommand.self,
      ChaosCommand.self,
      FormatCommand.self, FileSystemCommand.self, MountCommand.self, SimulateCommand.self, BenchCommand.self,
      CrashCommand.self, ChildCommand.self,
    ])
}
