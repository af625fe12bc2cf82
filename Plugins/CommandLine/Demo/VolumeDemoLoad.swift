import Borealis
import BorealisRuntime
import Synchronization

/// Four clients that commit numbered pages and remember what was acknowledged.
final class VolumeDemoLoad: Sendable {
  private static let clients = 4
  private static let pages: UInt64 = 256
  private struct State {
    var volume: Volume
    var acknowledged: [UInt64]  // highest acknowledged number of each client's pages
    var latencies: [UInt64] = []
  }
  private let state: Mutex<State>
  private let count = Atomic<UInt64>(0)
  private let isRunning = Atomic<Bool>(true)
  private let threads = Mutex<[WorkerThread]>([])

  init(_ volume: Volume) {
    state = Mutex(
      State(
        volume: volume, acknowledged: Array(repeating: 0, count: VolumeDemoLoad.clients * Int(VolumeDemoLoad.pages))))
    threads.withLock { threads in
      threads = (0..<VolumeDemoLoad.clients).map { client in WorkerThread { [self] in run(client) } }
    }
  }

  /// Commits acknowledged so far.
  var acknowledged: UInt64 { count.load(ordering: .relaxed) }

  /// The latencies since the last call, in nanoseconds.
  func takeLatencies() -> [UInt64] {
    state.withLock { state in
      defer { state.latencies.removeAll(keepingCapacity: true) }
      return state.latencies
    }
  }

  /// Clients go on with another writer; a commit whose fate is unknown is made again.
  func moveTo(_ volume: Volume) { state.withLock { $0.volume = volume } }

  /// Ends the clients.
  func stop() {
    isRunning.store(false, ordering: .releasing)
    for thread in threads.withLock({ $0 }) { thread.join() }
    threads.withLock { $0 = [] }
  }

  /// How many acknowledged pages do not show what was acknowledged.
  func verify(on volume: Volume) throws -> Int {
    var missing = 0
    var buffer = [UInt8](repeating: 0, count: volume.metadata.pageSize)
    let acknowledged = state.withLock { $0.acknowledged }
    for client in 0..<VolumeDemoLoad.clients {
      for page in 0..<VolumeDemoLoad.pages {
        try buffer.withUnsafeMutableBytes { _ = try volume.read(VolumeDemoLoad.page(client, page), into: $0) }
        let found = buffer.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        if found < acknowledged[client * Int(VolumeDemoLoad.pages) + Int(page)] { missing += 1 }
      }
    }
    return missing
  }

  private static func page(_ client: Int, _ index: UInt64) -> PageID {
    PageID(object: ObjectID(UInt64(client + 1)), index: index)
  }

  private func run(_ client: Int) {
    var number: UInt64 = 0
    while isRunning.load(ordering: .acquiring) {
      number += 1
      let index = number % VolumeDemoLoad.pages
      var bytes: [UInt8] = []
      for _ in 0..<25 { bytes.appendInteger(number) }
      while isRunning.load(ordering: .acquiring) {
        let volume = state.withLock { $0.volume }
        let start = SystemClock.now
        do throws(VolumeError) {
          try volume.waitUntilDurable(try volume.write { $0.write(VolumeDemoLoad.page(client, index), at: 0, bytes) })
        } catch {
          // Fenced: the load is about to be moved to the new writer.
          _ = ThreadSignal().wait(milliseconds: 5)
          continue
        }
        let nanoseconds = SystemClock.now.nanoseconds(since: start)
        state.withLock { state in
          state.acknowledged[client * Int(VolumeDemoLoad.pages) + Int(index)] = number
          state.latencies.append(nanoseconds)
        }
        count.wrappingAdd(1, ordering: .relaxed)
        break
      }
    }
  }
}
