import BorealisSimulation
import Foundation
import Synchronization

/// How far a campaign of seeds is, told on standard error while it runs: one line every few seconds.
///
/// On a terminal the line is written over; elsewhere each is a line of its own. Standard output is left to results.
final class CampaignProgress: Sendable {
  private struct State {
    var reports: [SimulationReport] = []
    var failures = 0
    var toldAt: ContinuousClock.Instant
    var hasLine = false
  }
  private let state: Mutex<State>
  private let start = ContinuousClock.now
  private let total: UInt64?
  private let isTerminal = isatty(2) == 1
  private let onFailure: @Sendable (_ report: SimulationReport, _ number: Int) -> Void

  /// Makes one for `total` seeds (nil: as many as time allows); `onFailure` is called for one failed run at a time.
  init(total: UInt64?, onFailure: @escaping @Sendable (_ report: SimulationReport, _ number: Int) -> Void) {
    self.total = total
    self.onFailure = onFailure
    state = Mutex(State(toldAt: start))
  }

  /// A run has ended: from any thread.
  func add(_ report: SimulationReport) {
    state.withLock { state in
      state.reports.append(report)
      if !report.passed {
        state.failures += 1
        wipe(&state)
        onFailure(report, state.failures)
      }
      let now = ContinuousClock.now
      guard now - state.toldAt >= (isTerminal ? .seconds(1) : .seconds(5)) else { return }
      state.toldAt = now
      tell(&state, now: now)
    }
  }

  /// The reports, in the order in which the runs ended.
  func finish() -> [SimulationReport] {
    state.withLock { state in
      wipe(&state)
      return state.reports
    }
  }

  private func tell(_ state: inout State, now: ContinuousClock.Instant) {
    let done = state.reports.count
    let of = total.map { " of \($0)" } ?? ""
    let rate = String(format: "%.1f", Double(done) / max((now - start).seconds, 0.001))
    let text = "\(done)\(of) seeds done, \(state.failures) failed, \(rate) seeds/s"
    write(isTerminal ? "\r\u{1B}[K\(text)" : "\(text)\n")
    state.hasLine = isTerminal
  }
  private func wipe(_ state: inout State) {
    if state.hasLine { write("\r\u{1B}[K") }
    state.hasLine = false
  }
  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
