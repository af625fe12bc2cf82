import ArgumentParser
import Borealis
import BorealisControl
import Foundation

/// `borealis endpoint`.
struct EndpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "endpoint", abstract: "Add, change, remove and list the endpoints of a running cluster.",
    discussion: """
      A custom endpoint leads to a list of instances (--static-members), or to all but a list (--excluded-members): \
      instances that come later belong to that one. Endpoints of a PostgreSQL cluster get a port and a name at once.
      """,
    subcommands: [Add.self, Modify.self, Remove.self, List.self])

  /// What an endpoint leads to.
  struct Members: ParsableArguments {
    @Option(help: "Roles that it leads to: any, or reader (a reader that becomes the writer drops out). Default: any.")
    var type: String?
    @Option(help: ArgumentHelp("These instances alone, comma-separated.", valueName: "names")) var staticMembers:
      String?
    @Option(help: ArgumentHelp("All instances but these, comma-separated.", valueName: "names"))
    var excludedMembers: String?

    func validate() throws {
      if staticMembers != nil, excludedMembers != nil {
        throw ValidationError("give --static-members or --excluded-members, not both")
      }
      if let type, CustomEndpoint.Kind(rawValue: type) == nil { throw ValidationError("--type is any or reader") }
    }
    func arguments(_ action: String, _ name: String) -> [String: String] {
      var arguments = ["action": action, "name": name]
      arguments["type"] = type
      arguments["static-members"] = staticMembers
      arguments["excluded-members"] = excludedMembers
      return arguments
    }
  }

  /// `borealis endpoint add`.
  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add", abstract: "Add a custom endpoint; without members, it leads to all instances.")
    @Argument(help: "The cluster's directory.") var directory: String
    @Argument(help: "The endpoint's name.") var name: String
    @OptionGroup var members: Members
    @Option(help: "With a server engine: its port. Default: any.") var port: UInt16?

    func run() throws {
      let client = try ControlClient(directory: directory)
      var arguments = members.arguments("add", name)
      arguments["port"] = port.map { "\($0)" }
      try client.ask(ControlRequest("endpoint", arguments))
      print(try EndpointCommand.endpoints(client).first { $0.name == name }?.line ?? "")
    }
  }
  /// `borealis endpoint modify`.
  struct Modify: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "modify", abstract: "Change a custom endpoint; connections that are open stay.")
    @Argument(help: "The cluster's directory.") var directory: String
    @Argument(help: "The endpoint's name.") var name: String
    @OptionGroup var members: Members

    func validate() throws {
      if members.type == nil, members.staticMembers == nil, members.excludedMembers == nil {
        throw ValidationError("give --type, --static-members or --excluded-members")
      }
    }
    func run() throws {
      let client = try ControlClient(directory: directory)
      try client.ask(ControlRequest("endpoint", members.arguments("modify", name)))
      print(try EndpointCommand.endpoints(client).first { $0.name == name }?.line ?? "")
    }
  }
  /// `borealis endpoint remove`.
  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "remove", abstract: "Remove a custom endpoint; connections that are open stay.")
    @Argument(help: "The cluster's directory.") var directory: String
    @Argument(help: "The endpoint's name.") var name: String

    func run() throws {
      let client = try ControlClient(directory: directory)
      try client.ask(ControlRequest("endpoint", ["action": "remove", "name": name]))
      print("\(name) was removed")
    }
  }
  /// `borealis endpoint list`.
  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Show all endpoints.")
    @Argument(help: "The cluster's directory.") var directory: String
    @Flag(help: "As a list of JSON.") var json = false

    func run() throws {
      let all = try EndpointCommand.endpoints(ControlClient(directory: directory))
      if json {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return print(String(decoding: try encoder.encode(all), as: UTF8.self))
      }
      let lines = table(
        ["endpoint", "type", "members", "leads to", "address"],
        all.map { [$0.name, $0.type, $0.rule, $0.targets, $0.address ?? ""] })
      print(lines.joined(separator: "\n"))
    }
  }

  fileprivate static func endpoints(_ client: ControlClient) throws -> [ClusterStatus.Endpoint] {
    var found: [ClusterStatus.Endpoint] = []
    try client.ask(ControlRequest("status")) { reply in
      if case .status(let status) = reply { found = status.endpoints }
    }
    return found
  }
}

extension ClusterStatus.Endpoint {
  fileprivate var type: String { kind.map { "custom, \($0.rawValue)" } ?? (name == "reader" ? "readers" : "writer") }
  /// Who belongs to it.
  fileprivate var rule: String {
    if let staticMembers { return staticMembers.joined(separator: " ") }
    guard let excludedMembers else { return "" }
    return excludedMembers.isEmpty ? "all" : "all but " + excludedMembers.joined(separator: " ")
  }
  fileprivate var targets: String { members.isEmpty ? "nobody" : members.joined(separator: " ") }
  fileprivate var line: String { "\(name) leads to \(targets)" + (address.map { "; it listens on \($0)" } ?? "") }
}
