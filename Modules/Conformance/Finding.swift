/// What a check found to be otherwise than promised.
struct Finding: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Ends a check where `condition` does not hold.
func demand(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(Finding) {
  if !condition { throw Finding(otherwise()) }
}
