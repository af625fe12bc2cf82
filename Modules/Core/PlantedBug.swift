/// Deliberate faults of the protocol, switched on one at a time to prove that the simulator's checkers see them.
///
/// Not reachable from outside this package.
package enum PlantedBug: String, CaseIterable, Sendable, Hashable {
  // Storage node
  case ackBeforeFlush
  case countReceiptNotSCL
  case forgetEpochOnRestart
  case forgetTruncationOnRestart
  case gossipResurrectsVoid
  case acceptStaleEpoch
  case collectIgnoringReadPoint
  case serveIncompleteRead
  case coalesceAboveMinReadPoint
  case tornTailAccepted
  // Writer
  case quorumThreeOfSix
  case lostCommitWakeUp
  case evictDirtyPage
  case wakeOnVCLNotVDL
  case ignoreAllocationLimit
  case vdlAtNonConsistencyPoint
  // Reader
  case readerAppliesAboveVDL
  case partialMiniTransactionVisible
  case dropPendingMissRecords
  // Recovery and membership
  case sampleBeforeFencing
  case skipRepairBeforeOpening
  case reuseLSNAfterRecovery
  case recoverWithTwoAnswers
  case countUnhydratedMember
  case skipTruncation
}
