import BorealisCore
import BorealisVolume

/// What a client of the simulated database is doing on one instance.
struct DatabaseTask {
  /// What it reads for.
  enum Purpose {
    /// To change pages of the head; the instance's one write lock is held.
    case transaction(DatabaseModel.Plan)
    /// To see the whole database at one moment.
    case snapshot
  }
  let id: Int
  let peer: PeerID
  let purpose: Purpose
  /// The read point; nil: the head.
  let point: LSN?
  /// The transaction that a snapshot must contain.
  let floor: Int
  /// Pages wanted, ascending, and what was read of them.
  let pages: [Int]
  var images: [[UInt8]?]
  var left: Int
  /// A page read failed: nothing can be said.
  var isBroken = false
  /// What the same snapshot has shown before; nil: nothing yet.
  var shown: Int?

  init(id: Int, peer: PeerID, purpose: Purpose, point: LSN?, floor: Int, pages: [Int]) {
    self.id = id
    self.peer = peer
    self.purpose = purpose
    self.point = point
    self.floor = floor
    self.pages = pages
    images = Array(repeating: nil, count: pages.count)
    left = pages.count
  }
  var isTransaction: Bool { if case .transaction = purpose { true } else { false } }
}

/// The state of the workload that uses the volume as SQLite does.
struct DatabaseWorkload {
  let model: DatabaseModel
  var tasks: [DatabaseTask] = []
  var nextTask = 1

  init(_ options: SimulationOptions) {
    model = DatabaseModel(pageCount: options.objects * options.pagesPerObject, pageSize: options.pageSize)
  }
  func index(of task: Int) -> Int? { tasks.firstIndex { $0.id == task } }
}
