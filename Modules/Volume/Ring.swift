/// A queue over one growing array: no allocation in the steady state.
struct Ring<Element: Sendable>: Sendable {
  private var storage: [Element]
  private var head = 0
  private(set) var count = 0
  private let filler: Element

  /// An empty queue; `filler` stands in slots not in use (so that they hold nothing alive).
  init(filler: Element, capacity: Int = 16) {
    var size = 16
    while size < capacity { size *= 2 }
    self.filler = filler
    storage = [Element](repeating: filler, count: size)
  }
  var isEmpty: Bool { count == 0 }
  /// The element `index` places behind the front.
  subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      return storage[(head + index) & (storage.count - 1)]
    }
    set {
      precondition(index >= 0 && index < count)
      storage[(head + index) & (storage.count - 1)] = newValue
    }
  }
  var first: Element? { count == 0 ? nil : self[0] }
  var last: Element? { count == 0 ? nil : self[count - 1] }

  mutating func append(_ element: Element) {
    if count == storage.count { grow() }
    storage[(head + count) & (storage.count - 1)] = element
    count += 1
  }
  @discardableResult mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = storage[head]
    storage[head] = filler
    head = (head + 1) & (storage.count - 1)
    count -= 1
    return element
  }
  mutating func removeAll() {
    while popFirst() != nil {}
  }
  private mutating func grow() {
    var larger = [Element](repeating: filler, count: storage.count * 2)
    for i in 0..<count { larger[i] = storage[(head + i) & (storage.count - 1)] }
    storage = larger
    head = 0
  }
}
