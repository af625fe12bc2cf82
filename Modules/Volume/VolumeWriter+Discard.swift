public import BorealisCore
import BorealisWire

extension VolumeWriter {
  /// Gives back one extent of an object that is being deleted; to be repeated until it returns nil.
  ///
  /// Its pages read as zeros, and its room is used again once no read point can need it.
  /// Each call is a mini-transaction of its own. Writing to the object meanwhile maps extents anew.
  ///
  /// - Returns: the LSN of its consistency point; nil where there is nothing to give back.
  /// - Throws: as `commit`.
  public mutating func discardExtent(
    of object: ObjectID, timestamp: UInt64, now: Instant, into e: inout VolumeEffects
  ) throws(VolumeError) -> LSN? {
    try checkUsable("discard")
    guard object != .catalog else {
      throw VolumeError(.invalidArgument, operation: "discard", detail: "object 0 is the volume's own")
    }
    var next = catalog.firstEntry(of: object)
    while let number = next, catalog.entries[number].state != .live {
      let following = catalog.entries[number].nextOfObject
      next = following == 0 ? nil : Int(following) - 1
    }
    guard let number = next else { return nil }
    let entry = catalog.entries[number]
    let records = Int(entry.touched) + 1
    let entryBytes = wholePages ? configuration.pageSize : VolumeCatalog.entrySize + RecordPayload.rangeOverhead
    try checkRoom(records: records, bytes: records * RecordHeader.encodedSize + entryBytes)
    for page in 0..<UInt64(entry.touched) {
      let address = PageID(object: object, index: catalog.firstPage(ofEntry: number) + page)
      emitDiscard(address, entry: number, now: now, into: &e)
    }
    // The entry's record is the last one of the mini-transaction: `nextLSN` is the LSN that it will have.
    catalog.markDying(number, at: nextLSN)
    emitEntry(number, now: now, into: &e)
    finishTransaction(timestamp: timestamp, now: now, into: &e)
    counters.commits += 1
    return lastRecord
  }
}
