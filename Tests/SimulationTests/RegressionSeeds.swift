/// Seeds that failed once, with what they found.
///
/// They run in every test run.
enum RegressionSeeds {
  static let all: [UInt64] = [1]
}
