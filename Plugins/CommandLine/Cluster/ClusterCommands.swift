import ArgumentParser
import Borealis
import BorealisControl
import Foundation

/// `borealis status`.
struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show a running cluster: instances, roles, zones, copies, lag, epochs.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Flag(help: "As one object of JSON.") var json = false
  @Flag(help: "Again and again, until Ctrl-C.") var watch = false

  func run() throws {
    let client = try ControlClient(directory: directory)
    repeat {
      try client.ask(ControlRequest("status")) { reply in
        guard case .status(let status) = reply else { return }
        if json {
          let encoder = JSONEncoder()
          encoder.outputFormatting = [.sortedKeys]
          if let data = try? encoder.encode(status) { print(String(decoding: data, as: UTF8.self)) }
        } else {
          if watch, isatty(1) == 1 { print("\u{1B}[2J\u{1B}[H", terminator: "") }
          print(status.picture)
        }
      }
      fflush(nil)
      if watch { Thread.sleep(forTimeInterval: 1) }
    } while watch
  }
}

/// `borealis events`.
struct EventsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Show what has happened in a running cluster.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Flag(help: "And what happens from now on, until Ctrl-C.") var follow = false

  func run() throws {
    let client = try ControlClient(directory: directory)
    try client.ask(ControlRequest("events", ["follow": follow ? "yes" : "no"])) { reply in
      guard case .event(let time, let level, let text) = reply else { return }
      print(line(time: time, level: level, text: text))
      fflush(nil)
    }
  }
}

/// `borealis add-reader`.
struct AddReaderCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add-reader", abstract: "Add a reader to a running cluster; nothing is copied.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Option(help: "Its name.") var name: String?
  @Option(name: .customLong("class"), help: "Its class.") var size = InstanceClass.localSmall.name
  @Option(help: "Its promotion tier, 0 (first) to 15 (last).") var tier = PromotionTier.standard.value
  @Option(help: "Its zone.") var zone: String?

  func run() throws {
    let client = try ControlClient(directory: directory)
    var arguments = ["class": size, "tier": "\(tier)"]
    arguments["name"] = name
    arguments["zone"] = zone
    let start = ContinuousClock.now
    let added = try client.ask(ControlRequest("add-reader", arguments))
    print("\(added) takes connections after \(note("%.0f ms", (ContinuousClock.now - start).seconds * 1000))")
  }
}

/// `borealis remove`.
struct RemoveInstanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove an instance from a running cluster; of the writer, after a failover.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Argument(help: "The instance.") var instance: String

  func run() throws {
    let client = try ControlClient(directory: directory)
    print("\(try client.ask(ControlRequest("remove", ["instance": instance]))) was removed")
  }
}

/// `borealis modify`.
struct ModifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "modify", abstract: "Change the class or the promotion tier of an instance of a running cluster.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Argument(help: "The instance.") var instance: String
  @Option(name: .customLong("class"), help: "Its new class.") var size: String?
  @Option(help: "Its new tier, 0 (promoted first) to 15 (last).") var tier: Int?

  func validate() throws {
    if size == nil, tier == nil { throw ValidationError("give --class, --tier or both") }
  }
  func run() throws {
    let client = try ControlClient(directory: directory)
    var arguments = ["instance": instance]
    arguments["class"] = size
    arguments["tier"] = tier.map { "\($0)" }
    print("\(try client.ask(ControlRequest("modify", arguments))) was changed")
  }
}

/// `borealis failover`.
struct FailoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "failover", abstract: "Move the writer of a running cluster to a reader, in good order.")
  @Argument(help: "The cluster's directory.") var directory: String
  @Argument(help: "The reader; without it, the one that a failure would promote.") var instance: String?

  func run() throws {
    let client = try ControlClient(directory: directory)
    var arguments: [String: String] = [:]
    arguments["instance"] = instance
    try client.ask(ControlRequest("failover", arguments)) { reply in
      if case .failover(let report) = reply { print(report.timeline) }
    }
  }
}

/// `borealis chaos`.
struct ChaosCommand: ParsableCommand {
  /// What can be broken.
  enum Fault: String, CaseIterable, ExpressibleByArgument {
    case killWriter = "kill-writer"
    case killDuringCommit = "kill-during-commit"
    case kill, isolate
    case killNode = "kill-node"
    case startNode = "start-node"
    case zoneDown = "zone-down"
    case zoneUp = "zone-up"
  }
  static let configuration = CommandConfiguration(
    commandName: "chaos", abstract: "Break a part of a running cluster, and see what it does.",
    discussion: """
      kill-writer           end the writer as kill -9 would
      kill-during-commit    the same, in the middle of its next commit
      kill INSTANCE         end an instance
      isolate INSTANCE      cut an instance off from the cluster's checks: it goes on running
      kill-node NODE        end a storage node (n0)
      start-node NODE       start it again
      zone-down ZONE        take a zone away: its storage nodes and its instances
      zone-up ZONE          give it back
      """)
  @Argument(help: "The cluster's directory.") var directory: String
  @Argument(help: "What to do.") var fault: Fault
  @Argument(help: "To what: an instance, a storage node (n0) or a zone (a).") var target: String?

  func run() throws {
    let client = try ControlClient(directory: directory)
    var arguments = ["fault": fault.rawValue]
    arguments["target"] = target
    let done = try client.ask(ControlRequest("chaos", arguments))
    print("\(fault.rawValue) \(done): done; `borealis events \(directory)` tells what the cluster did")
  }
}

/// `borealis down`.
struct DownCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "down", abstract: "Stop a running cluster.")
  @Argument(help: "The cluster's directory.") var directory: String

  func run() throws {
    let client = try ControlClient(directory: directory)
    try client.ask(ControlRequest("stop"))
    let deadline = Date().addingTimeInterval(60)
    while ControlClient.isRunning(directory), Date() < deadline { Thread.sleep(forTimeInterval: 0.02) }
    print("the cluster in \(directory) was stopped")
  }
}
