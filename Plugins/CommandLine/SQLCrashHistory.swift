/// What the parent of the SQL crash harness knows of each client: what was begun, and what was acknowledged.
///
/// A client does one transaction after the other, so of each at most one is in doubt.
struct SQLCrashHistory {
  private struct Client {
    /// The last transaction that must be there, and the weight of all up to it.
    var settled: Int64 = 0
    var weight: Int64 = 0
    /// The one that was begun after it.
    var begun: SQLCrashTransaction?
  }
  private var clients: [Client]
  /// Transactions that were acknowledged, and that were in doubt: found afterwards, or gone.
  private(set) var acknowledged = 0
  private(set) var foundInDoubt = 0
  private(set) var goneInDoubt = 0

  init(clients: Int) { self.clients = Array(repeating: Client(), count: clients) }

  /// A client begins a transaction, perhaps once more after it was refused.
  mutating func begins(_ transaction: SQLCrashTransaction) -> String? {
    let expected = clients[transaction.client].settled + 1
    guard transaction.number == expected else {
      return "client \(transaction.client) begins transaction \(transaction.number), not \(expected)"
    }
    clients[transaction.client].begun = transaction
    return nil
  }
  /// A client was told that it is committed, or somebody has read it: from now on it must be there.
  mutating func acknowledges(client: Int, number: Int64) -> String? {
    guard clients[client].settled < number else { return nil }
    guard let begun = clients[client].begun, begun.number == number else {
      return "transaction \(number) of client \(client) is seen, and nobody has begun it"
    }
    settle(client, begun)
    acknowledged += 1
    return nil
  }
  /// After a crash the database holds the transactions of a client up to `number`, with this weight.
  mutating func finds(client: Int, number: Int64, weight: Int64) -> String? {
    defer { clients[client].begun = nil }
    let known = clients[client]
    if number == known.settled {
      if known.begun != nil { goneInDoubt += 1 }
    } else if let begun = known.begun, number == begun.number {
      settle(client, begun)
      foundInDoubt += 1
    } else if number < known.settled {
      return "client \(client): its last transaction is \(number), but \(known.settled) was acknowledged"
    } else {
      return "client \(client): transaction \(number) is there, but \(known.settled) was the last one begun"
    }
    guard weight == clients[client].weight else {
      return "client \(client): its transactions up to \(number) are other ones than it made"
    }
    return nil
  }
  private mutating func settle(_ client: Int, _ transaction: SQLCrashTransaction) {
    clients[client].settled = transaction.number
    clients[client].weight += transaction.weight
    clients[client].begun = nil
  }
}
