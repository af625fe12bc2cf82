import BorealisCore
import BorealisSimulation
import Testing

@Suite struct PlantedBugTests {
  /// Needs two laggards that answer first: the long hunt behind `Documentation/PlantedBugs.md` looks for it.
  ///
  /// A torn tail with whole-looking records is as rare: the last hunt saw none by a checker that should.
  static let rare: [PlantedBug] = [.recoverWithTwoAnswers, .tornTailAccepted]

  @Test(
    "each planted bug is found, by a checker that should find it",
    arguments: PlantedBug.allCases.filter { !rare.contains($0) })
  func isFound(bug: PlantedBug) {
    let finding = PlantedBugCampaign.hunt(bug, seedsMax: 60)
    #expect(finding.seeds != nil, "\(bug) was not found in 60 seeds")
    if let report = finding.report {
      #expect(finding.isAsExpected, "\(bug) was found by another checker: \(report.explanation)")
    }
  }
}
