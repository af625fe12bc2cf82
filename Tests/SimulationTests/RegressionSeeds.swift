/// Seeds that failed once; they run in every test run.
///
/// What a seed means changes when the drawing of options does: then these are as good as any others.
enum RegressionSeeds {
  static let all: [UInt64] = [
    163,  // Folding left out records of younger chunks that had come out of order.
    78, 29, 133,  // A repeated record tore the segment chain.
    39, 8,  // A read of the writer ended in the middle of a mini-transaction.
    28, 38, 80,  // Nodes that are full for one group and tail for another waited for each other to drop the log.
    21, 47, 259,  // A discarded page in the cache was served at a read point before the discard.
    58, 120,  // Damaged pages of an idle group were refused by every peer.
    237, 173, 166,  // gcPoint rose before the pages were installed, on a full disk.
    54, 123,  // A baseline copy of pages that were held already never ended.
    194,  // Two proposals for one membership epoch.
    107, 197, 770,  // Answers ran ahead of the journal; a segment came back into a chunk that was retired.
    1714, 8179,  // A baseline copy always began again at a source that was gone.
    1450, 4269, 6503, 9721, 8795, 10224,  // A fold's page landed behind a baseline copy that had dropped it.
    895, 7675,  // The checker held a lapsed reader's read point for protected.
    1760,  // The only other holder of a new group lost its disk.
    523, 1489, 1043, 1390, 1183, 1444, 1199, 4229, 9317, 9501,
    188, 5,  // No room for repair in full logs.
  ]
}
