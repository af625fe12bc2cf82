import ArgumentParser
import Borealis
import BorealisRuntime
import Foundation

/// `borealis demo-volume`: a volume of six nodes on files, under load, through the loss of a zone and more.
struct VolumeDemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo-volume",
    abstract: "See a six-node volume lose a zone under load, then a node more, heal and recover.")

  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(help: "Seconds for each act.") var act = 2.5

  func run() throws {
    let work = directory + "/borealis-demo-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: work) }
    let fleet = try StorageFleet.files(at: work)
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.groupBytes = .mebibytes(64)
    var volume = try Volume.create(on: fleet, options: options)
    let load = VolumeDemoLoad(volume)
    let screen = VolumeDemoScreen(fleet: fleet, load: load)
    defer { load.stop() }
    func play(_ title: String, seconds: Double) { screen.play(title, seconds: seconds, volume: volume) }

    play("six copies in three zones, four clients committing", seconds: act)
    fleet.stopZone(ZoneID(2))
    play("zone c is lost: 4 of 6 copies are left, commits go on", seconds: act)
    fleet.stop(NodeID(1))
    play("one node more is lost: 3 of 6, nothing can be acknowledged, nothing is lost", seconds: act)
    try fleet.start(NodeID(1))
    play("the node is back: its copy catches up from its peers, commits go on", seconds: act)
    try fleet.startZone(ZoneID(2))
    play("zone c is back: its copies heal while clients commit", seconds: act)

    let old = volume
    let start = ContinuousClock.now
    volume = try Volume.open(on: fleet, options: options)
    let opening = (ContinuousClock.now - start).seconds
    load.moveTo(volume)
    play(
      "a new writer took over in \(note("%.0f ms", opening * 1000)): epoch \(old.epoch) is fenced, epoch \(volume.epoch) commits",
      seconds: act)
    let wasFenced = old.isFenced
    old.close()
    load.stop()

    let missing = try load.verify(on: volume)
    screen.close()
    print("")
    print(
      "\(load.acknowledged) commits acknowledged, \(missing) of them missing; the old writer is fenced: \(wasFenced ? "yes" : "no")"
    )
    print(screen.summary)
    print(
      """

      Try next:
        swift run -c release borealis sim --seeds 100      the same machines in the deterministic simulator
        swift run -c release borealis bench volume --quick figures of this machine, beside the physical limit
        swift run -c release borealis crash --times 50     real processes, kill -9, nothing acknowledged lost
      """)
    volume.close()
    if missing > 0 { throw ExitCode.failure }
  }
}
