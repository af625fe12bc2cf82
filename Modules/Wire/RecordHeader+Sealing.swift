import BorealisCore

extension RecordHeader {
  /// Makes the record that begins at `start` and ends with `buffer` a consistency point, and seals it.
  ///
  /// For a writer that learns only afterwards which record of a mini-transaction is the last one.
  public static func sealAsConsistencyPoint(at start: Int, timestamp: UInt64, in buffer: inout [UInt8]) {
    precondition(start >= 0 && buffer.count - start >= encodedSize)
    buffer[start + 65] = 1
    buffer.storeInteger(timestamp, at: start + 72)
    seal(at: start, in: &buffer)
  }
}
