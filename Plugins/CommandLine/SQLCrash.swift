import ArgumentParser
import Borealis
import Foundation

/// The parent of the SQL crash harness: starts a child, kills it at a random moment, and compares what the next one finds
/// with what was acknowledged.
struct SQLCrash {
  private struct Counts {
    var withNodesDown = 0
    var wiped = 0
    var replaced = 0
    var seen = 0
  }
  private let times: Int
  private let work: String
  private let seed: UInt64
  private let life: UInt64
  private let lie: String?
  private let isJSON: Bool
  private var generator: DeterministicGenerator
  private var history = SQLCrashHistory(clients: SQLCrashChild.clients)
  private var problems: [String] = []
  private var counts = Counts()
  /// Nodes whose disks are gone for good; one at a time that still counts as a member.
  private var wiped: [Int] = []
  private var members: [Int] = []

  init(times: Int, directory: String, seed: UInt64, life: UInt64, lie: String?, isJSON: Bool) {
    self.times = times
    work = directory + "/borealis-crash-sql-\(getpid())"
    self.seed = seed
    self.life = life
    self.lie = lie
    self.isJSON = isJSON
    generator = DeterministicGenerator(seed: seed)
  }

  mutating func run() throws {
    let start = ContinuousClock.now
    for time in 1...(times + 1) {
      if time > 1, time <= times, time % max(2, times / 4) == 0 { try loseDisk() }
      try round(time, isLast: time == times + 1)
      if !problems.isEmpty { break }
      if time % 20 == 0, !isJSON {
        print("  \(time) crashes, \(history.acknowledged) transactions acknowledged, none lost")
        fflush(nil)
      }
    }
    try tell(seconds: (ContinuousClock.now - start).seconds)
  }

  /// A node's disk is gone: its zone's spare takes its place in the coming rounds.
  private mutating func loseDisk() throws {
    let isSettled = wiped.allSatisfy { !members.contains($0) }
    guard isSettled, let node = (0..<3).map({ $0 * 3 + wiped.count % 3 }).first(where: { members.contains($0) }),
      wiped.count < SQLCrashChild.spares
    else { return }
    try FileManager.default.removeItem(atPath: "\(work)/zone-\(ZoneID(UInt8(node % 3)))/node-\(node)")
    wiped.append(node)
    counts.wiped += 1
  }

  private struct Trouble {
    var down: [Int] = []
    var later: [Int] = []
    var life: UInt64
  }
  /// At most two copies are away when the volume is opened; then any number may go.
  private mutating func draw() -> Trouble {
    var trouble = Trouble(life: generator.below(life * 1000))
    let missing = wiped.count { members.contains($0) }
    var nodes = Array(0..<(6 + SQLCrashChild.spares)).filter { !wiped.contains($0) }
    for i in stride(from: nodes.count - 1, to: 0, by: -1) { nodes.swapAt(i, generator.index(i + 1)) }
    switch generator.below(6) {
    case 0, 1: trouble.down = Array(nodes.prefix(generator.index(3 - missing)))
    case 2 where missing == 0:
      let zone = generator.index(3)
      trouble.down = Array(members.filter { $0 % 3 == zone }.prefix(2))
    case 3: trouble.later = Array(nodes.prefix(1 + generator.index(4)))
    case 4:
      let zone = generator.index(3)
      trouble.later = nodes.filter { $0 % 3 == zone }
    default: break
    }
    // Time for the spare to take over.
    if missing > 0, generator.chance(1, in: 2) {
      trouble.down = []
      trouble.later = []
      trouble.life += 300_000
    }
    return trouble
  }

  private mutating func round(_ time: Int, isLast: Bool) throws {
    let trouble = isLast ? Trouble(life: 0) : draw()
    if !trouble.down.isEmpty || !trouble.later.isEmpty { counts.withNodesDown += 1 }
    var arguments = ["sql-crash-child", work, "--seed", String(generator.next())]
    arguments += ["--down", trouble.down.map(String.init).joined(separator: ",")]
    if !trouble.later.isEmpty {
      arguments += ["--later", trouble.later.map(String.init).joined(separator: ",")]
      arguments += ["--later-after", String(generator.below(trouble.life / 1000 + 1))]
    }
    if let lie { arguments += ["--lie", lie] }
    if isLast { arguments.append("--verify") }
    let child = try ChildProcess(arguments)
    var isOpened = false
    while !isOpened, let line = child.readLine() { isOpened = take(line, time) }
    if !isOpened { problems.append("run \(time): the databases did not open (nodes down: \(trouble.down))") }
    if isLast {
      _ = child.wait()
    } else {
      if problems.isEmpty { child.listen(microseconds: trouble.life) }
      child.kill()
      while let line = child.readLine() { _ = take(line, time) }
    }
  }

  /// Takes in one line of a child; whether it says that it has opened.
  private mutating func take(_ line: String, _ time: Int) -> Bool {
    let words = line.split(separator: " ")
    let numbers = words.dropFirst().compactMap { Int64($0) }
    var problem: String?
    switch words.first {
    case "begin": problem = SQLCrashTransaction(words.dropFirst()).map { history.begins($0) } ?? line
    case "acked" where numbers.count == 2:
      problem = history.acknowledges(client: Int(numbers[0]), number: numbers[1])
    case "seen" where numbers.count == 2:
      counts.seen += 1
      problem = history.acknowledges(client: Int(numbers[0]), number: numbers[1])
    case "found" where numbers.count == 3:
      problem = history.finds(client: Int(numbers[0]), number: numbers[1], weight: numbers[2])
    case "members":
      let before = wiped.count { members.contains($0) }
      members = numbers.map(Int.init)
      if wiped.count(where: { members.contains($0) }) < before { counts.replaced += 1 }
    case "opened": return true
    default: problem = line
    }
    if let problem { problems.append("run \(time): \(problem)") }
    return false
  }

  private func tell(seconds: Double) throws {
    for problem in problems.prefix(20) { print("PROBLEM \(problem)") }
    if isJSON {
      print(
        #"{"crashes":\#(times),"acknowledged":\#(history.acknowledged),"foundInDoubt":\#(history.foundInDoubt),"#
          + #""goneInDoubt":\#(history.goneInDoubt),"seen":\#(counts.seen),"withNodesDown":\#(counts.withNodesDown),"#
          + #""disksLost":\#(counts.wiped),"seed":\#(seed),"problems":\#(problems.count)}"#)
    } else {
      print(
        "\(times) times kill -9, \(counts.withNodesDown) with nodes down, \(counts.wiped) disks lost (\(counts.replaced) "
          + "replaced): \(history.acknowledged) transactions acknowledged, \(history.foundInDoubt + history.goneInDoubt) "
          + "in doubt (\(history.foundInDoubt) were there, whole), \(problems.count) problems"
          + note(" in %.0f s", seconds))
    }
    guard !problems.isEmpty else {
      try? FileManager.default.removeItem(atPath: work)
      return
    }
    print("the files are kept in \(work); seed \(seed)")
    throw ExitCode.failure
  }
}
