import ArgumentParser
import Borealis
import BorealisRuntime
import Foundation
import Synchronization

/// `borealis child crash-child`: opens, says what it finds, then commits and says what was acknowledged, until killed.
struct CrashChild: ParsableCommand {
  @Argument var directory: String
  @Option(help: "Nodes that stay down in this run.") var down: String = ""
  @Option(help: "A node to stop after some commits; -1 for none.") var later: Int = -1
  @Option var first: UInt64
  @Flag(help: "Only open and say what is there.") var verify = false

  func run() throws {
    let fleet = try StorageFleet.files(at: directory, configuration: CrashChild.nodes)
    for node in down.split(separator: ",").compactMap({ UInt32($0) }) { fleet.stop(NodeID(node)) }
    let isNew = try fleet.coordinator.load() == nil
    let volume =
      isNew
      ? try Volume.create(on: fleet, options: CrashWorkload.options)
      : try Volume.open(on: fleet, options: CrashWorkload.options)
    for slot in 0..<CrashWorkload.slots {
      switch try CrashWorkload.number(in: slot, of: volume) {
      case .success(let number): say("found \(slot) \(number)")
      case .failure(let error): say("broken \(error)")
      }
    }
    say("opened \(volume.epoch)")
    if verify {
      volume.close()
      fleet.stop()
      return
    }
    let next = Atomic<UInt64>(first)
    let threads = (0..<CrashWorkload.threads).map { t in
      WorkerThread {
        do throws(VolumeError) {
          while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).newValue
            let mine = CrashWorkload.slots / CrashWorkload.threads
            let slot = t * mine + Int(number % UInt64(mine))
            let (a, b) = CrashWorkload.pages(of: slot)
            let image = CrashWorkload.image(number)
            let lsn = try volume.write {
              $0.write(a, at: 0, image)
              $0.write(b, at: 0, image)
            }
            try volume.waitUntilDurable(lsn)
            say("acked \(slot) \(number)")
            if t == 0, later >= 0, number > first + 40 { fleet.stop(NodeID(UInt32(later))) }
          }
        } catch { say("failed \(error)") }
      }
    }
    for thread in threads { thread.join() }
  }

  /// Small chunks, so that sealing, coalescing and reuse of the log happen within the harness's short lives.
  static var nodes: StorageNodeConfiguration {
    var nodes = StorageNodeConfiguration()
    nodes.pageSize = CrashWorkload.pageSize
    nodes.chunkSize = 1 << 20
    nodes.logLimit = 64 << 20
    return nodes
  }
}

/// One line, in one write: never half of it in the pipe.
func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
}
