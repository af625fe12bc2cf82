import BorealisCore
import BorealisWire

/// Stream records at a reader, put into the volume's order by the volume chain.
///
/// Messages come per group, in any order, twice or never; each record says which one came before it in the volume.
/// Records that link up to the last one known are *ready*; the others wait for the hole to fill.
struct StreamBuffer: Sendable {
  struct Ready: Sendable {
    var lsn: LSN
    var slot: UInt32
    var offset: UInt32
    var isConsistencyPoint: Bool
  }
  private struct Place: Sendable {
    var slot: UInt32
    var offset: UInt32
  }
  private struct Slot: Sendable {
    var batch = RecordBatch([])
    var epoch = VolumeEpoch.zero
    /// Records not taken yet.
    var count = 0
  }
  private var slots: [Slot] = []
  private var free: [Int] = []
  /// Records that wait, by the LSN of the one before them.
  private var waiting: [LSN: Place] = [:]
  private var ready = Ring(filler: Ready(lsn: .zero, slot: 0, offset: 0, isConsistencyPoint: false))
  /// The last record that links up.
  private(set) var chainEnd = LSN.zero
  private var isStarted = false
  private(set) var bytes = 0

  var readyCount: Int { ready.count }
  var waitingCount: Int { waiting.count }
  func readyRecord(_ index: Int) -> Ready { ready[index] }

  /// Forgets everything; what arrives from now on is kept for `start`.
  mutating func stop() {
    self = StreamBuffer()
  }
  /// The chain goes on above `vdl`, at this epoch: records that came early are put in their places.
  mutating func start(after vdl: LSN, epoch: VolumeEpoch) throws(DecodeError) {
    let early = slots
    self = StreamBuffer()
    chainEnd = vdl
    isStarted = true
    for slot in early where slot.epoch == epoch { try add(slot.batch, epoch: epoch) }
  }
  /// Takes the records of a message in.
  mutating func add(_ batch: RecordBatch, epoch: VolumeEpoch) throws(DecodeError) {
    var slot = Slot(batch: batch, epoch: epoch)
    let number = free.popLast() ?? slots.count
    if isStarted {
      var at = batch.range.lowerBound
      var failure: DecodeError?
      batch.bytes.withUnsafeBytes { raw in
        do throws(DecodeError) {
          while at < batch.range.upperBound {
            // The message's checksum has been verified: that covers the record.
            let header = try RecordHeader.decode(raw, at: at, verifying: false)
            if header.lsn > chainEnd, waiting[header.previousInVolume] == nil {
              waiting[header.previousInVolume] = Place(slot: UInt32(number), offset: UInt32(at))
              slot.count += 1
            }
            at += header.encodedSize
          }
        } catch { failure = error }
      }
      if let failure { throw failure }
      guard slot.count > 0 else {
        if number < slots.count { free.append(number) }
        return
      }
    }
    bytes += batch.bytes.count
    if number == slots.count { slots.append(slot) } else { slots[number] = slot }
    if isStarted { try link() }
  }
  private mutating func link() throws(DecodeError) {
    while let place = waiting.removeValue(forKey: chainEnd) {
      let header = try slots[Int(place.slot)].batch.bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
        try RecordHeader.decode(raw, at: Int(place.offset), verifying: false)
      }
      chainEnd = header.lsn
      ready.append(
        Ready(
          lsn: header.lsn, slot: place.slot, offset: place.offset, isConsistencyPoint: header.isConsistencyPoint))
    }
  }
  /// The message that holds the first ready record, and where in it the record begins.
  func first() -> (bytes: [UInt8], offset: Int)? {
    guard let first = ready.first else { return nil }
    return (slots[Int(first.slot)].batch.bytes, Int(first.offset))
  }
  /// Lets go of the first ready record.
  mutating func removeFirst() {
    guard let first = ready.popFirst() else { return }
    let number = Int(first.slot)
    slots[number].count -= 1
    if slots[number].count == 0 {
      bytes -= slots[number].batch.bytes.count
      slots[number] = Slot()
      free.append(number)
    }
  }
  func checkInvariants() -> [String] {
    var last = LSN.zero
    for i in 0..<ready.count {
      if ready[i].lsn <= last { return ["stream: ready records are out of order"] }
      last = ready[i].lsn
    }
    return isStarted && !ready.isEmpty && last != chainEnd ? ["stream: the chain does not end at its last record"] : []
  }
}
