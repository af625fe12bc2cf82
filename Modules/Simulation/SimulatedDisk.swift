import BorealisCore
import BorealisStorageBackend

/// A node's disk: keeps its bytes through crashes of the node, loses unsynced sectors with the power, fills up, rots.
final class SimulatedDisk {
  let backend: FaultyStorageBackend<InMemoryStorageBackend>
  private var chance: DeterministicGenerator

  init(seed: UInt64) {
    chance = DeterministicGenerator(seed: seed)
    backend = FaultyStorageBackend(InMemoryStorageBackend(), seed: seed)
    backend.close()
  }
  /// A process opens it.
  func open() throws(StorageBackendError) { try backend.reopen() }
  /// The process is gone.
  func close() { backend.close() }

  /// The process is gone, perhaps with the power; returns the unsynced sectors that were lost.
  func crash(powerLoss: Bool) -> Int {
    backend.close()
    let kind: StorageCrash = powerLoss ? (chance.chance(1, in: 4) ? .dropAll : .random) : .keepAll
    return backend.crash(using: &chance, kind).lostSectors
  }
  /// Whether writes that need space fail.
  func setFull(_ isFull: Bool) { backend.setFull(isFull) }

  /// Flips bits that were synced; returns where.
  func rot(_ file: StorageFile, bits: Int) -> [UInt64] {
    let size = (try? backend.base.size(of: file).value) ?? 0
    return size == 0 ? [] : backend.flipBits(file, in: 0..<size, count: bits, using: &chance)
  }
}
