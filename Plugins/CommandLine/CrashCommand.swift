import ArgumentParser
import Borealis
import Foundation

/// `borealis crash`: kills a writing process again and again and checks that nothing acknowledged is lost.
struct CrashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash",
    abstract: "Kill -9 a process that writes to a volume on files, many times in a row, and check what is left.",
    discussion: """
      With --sql the process runs SQL transactions on two databases of the volume, and after each crash both databases,
      every transaction that was acknowledged and the file system are checked.
      """)

  @Flag(help: "Run SQL transactions instead of mini-transactions.") var sql = false
  @Option(help: "How many times.") var times = 200
  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(help: "Seed of the moments and of the nodes that are down.") var seed: UInt64 = 1
  @Option(help: "Longest life of a child in milliseconds, after it has opened.") var life: UInt64 = 250
  @Flag(help: "Print one JSON object at the end.") var json = false
  @Option(help: ArgumentHelp("Do it wrong (with --sql): early, half or nodes.", visibility: .hidden))
  var lie: String?

  func run() throws {
    if sql {
      var harness = SQLCrash(times: times, directory: directory, seed: seed, life: life, lie: lie, isJSON: json)
      return try harness.run()
    }
    let work = directory + "/borealis-crash-\(getpid())"
    var generator = DeterministicGenerator(seed: seed)
    var acked = [UInt64](repeating: 0, count: CrashWorkload.slots)
    var highest: UInt64 = 0
    var commits = 0
    var withNodesDown = 0
    var problems: [String] = []
    for time in 1...(times + 1) {
      let isLast = time == times + 1
      // Up to two nodes are down from the start, and at times a third one goes while commits are under way.
      var nodes = (0..<6).map { $0 }
      for i in stride(from: 5, to: 0, by: -1) { nodes.swapAt(i, generator.index(i + 1)) }
      let down = isLast ? [] : Array(nodes.prefix(generator.index(3)))
      let later = !isLast && down.count < 2 && generator.chance(1, in: 3) ? nodes[5] : -1
      if !down.isEmpty || later >= 0 { withNodesDown += 1 }
      var arguments = ["crash-child", work, "--first", String(highest + 1000), "--later=\(later)"]
      arguments += ["--down", down.map(String.init).joined(separator: ",")]
      if isLast { arguments.append("--verify") }
      let child = try ChildProcess(arguments)
      var opened = false
      while let line = child.readLine() {
        let words = line.split(separator: " ").map(String.init)
        switch words.first {
        case "found":
          guard words.count == 3, let slot = Int(words[1]), let number = UInt64(words[2]) else { break }
          if number < acked[slot] {
            problems.append("run \(time): slot \(slot) says \(number), but \(acked[slot]) was acknowledged")
          }
          acked[slot] = max(acked[slot], number)
          highest = max(highest, number)
          continue
        case "opened": opened = true
        case "broken": problems.append("run \(time): \(line)")
        case "failed": problems.append("run \(time): \(line)")
        default: break
        }
        if opened { break }
      }
      if !opened { problems.append("run \(time): the volume did not open (nodes down: \(down))") }
      if !isLast {
        usleep(UInt32(generator.below(life * 1000)))
        child.kill()
        while let line = child.readLine() {
          let words = line.split(separator: " ").map(String.init)
          if words.first == "failed" { problems.append("run \(time): \(line)") }
          guard words.count == 3, words[0] == "acked", let slot = Int(words[1]), let number = UInt64(words[2]) else {
            continue
          }
          acked[slot] = max(acked[slot], number)
          highest = max(highest, number)
          commits += 1
        }
      } else {
        _ = child.wait()
      }
      if !problems.isEmpty { break }
      if time % 20 == 0, !json { print("  \(time) crashes, \(commits) commits acknowledged, none lost") }
    }
    for problem in problems { print("PROBLEM \(problem)") }
    if json {
      print(
        #"{"crashes":\#(times),"acknowledged":\#(commits),"withNodesDown":\#(withNodesDown),"problems":\#(problems.count)}"#
      )
    } else {
      print(
        "\(times) times kill -9, \(withNodesDown) with nodes down: \(commits) commits acknowledged, \(problems.count) problems"
      )
    }
    if problems.isEmpty {
      try? FileManager.default.removeItem(atPath: work)
    } else {
      print("the files are kept in \(work)")
      throw ExitCode.failure
    }
  }
}
