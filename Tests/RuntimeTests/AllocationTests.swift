import Borealis
import CBorealisAllocationCounter
import Testing

/// The promise of the hot path: no heap allocation per record in the steady state, on append and ack, in all six nodes.
///
/// In a process of its own, since every thread's allocations count.
@Suite struct AllocationTests {
  #if canImport(Glibc)
    @Test("Appending a record to six nodes allocates nothing: batches allocate, records do not")
    func appending() async {
      await #expect(processExitsWith: .success) {
        let fleet = try StorageFleet.inMemory()
        let volume = try Volume.create(on: fleet)
        try AllocationTests.append(102_400, to: volume)
        let before = borealis_allocations()
        try AllocationTests.append(204_800, to: volume)
        let perRecord = Double(borealis_allocations() - before) / 204_800
        #expect(before > 1000, "nothing was counted")
        // Some tens for each batch, whose size depends on how busy the machine is, but which holds 512 records at least. One
        // allocation a record, anywhere, would make it 1 or more; in the nodes, 6.
        #expect(perRecord < 0.5, "\(perRecord) allocations a record")
      }
    }
  #endif

  /// Appends records of 100 bytes to pages in the cache, 512 a mini-transaction.
  static func append(_ count: Int, to volume: Volume) throws {
    var transaction = MiniTransaction(pageSize: volume.metadata.pageSize)
    var payload = [UInt8](repeating: 0, count: 100)
    for i in 0..<(count / 512) {
      transaction.removeAll()
      for k in 0..<512 {
        payload.storeInteger(UInt64(i * 512 + k) &* 0x9E37_79B9_7F4A_7C15, at: 8 * (k % 8))
        transaction.write(PageID(object: ObjectID(1), index: UInt64(k)), at: 100 * (i % 40), payload)
      }
      let lsn = try volume.commit(transaction)
      if i % 8 == 7 { try volume.waitUntilDurable(lsn) }
    }
  }
}
