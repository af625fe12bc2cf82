/// Placeholder of the journal's machine.
struct NodeJournal: ~Copyable, Sendable {
  /// The facts that are durable.
  var state = JournalState()
}
