import CBorealisSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The processes below one, from `/proc`.
///
/// A server's backends are sessions of their own, so that no process group has them all.
enum ProcessTree {
  /// All processes below `root`; none where the system has no `/proc`.
  static func descendants(of root: pid_t) -> [pid_t] {
    var children: [pid_t: [pid_t]] = [:]
    for name in SystemFiles.names(in: "/proc") {
      guard let pid = pid_t(name), let parent = parent(of: pid) else { continue }
      children[parent, default: []].append(pid)
    }
    var found: [pid_t] = []
    var next = children[root] ?? []
    while let pid = next.popLast() {
      found.append(pid)
      next += children[pid] ?? []
    }
    return found
  }
  private static func parent(of pid: pid_t) -> pid_t? {
    // `number (name) state parent …`; the name may hold anything, parentheses too.
    guard let text = SystemFiles.text(of: "/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 1 ? pid_t(fields[1]) : nil
  }

  /// Ends a process and everything below it at once, as a loss of power would.
  ///
  /// The caller makes sure that `root` cannot be another process meanwhile.
  static func kill(_ root: pid_t) {
    // Stopped first: else it might start another one between the look and the kill.
    _ = signal(root, SIGSTOP)
    for pid in descendants(of: root) { _ = signal(pid, SIGKILL) }
    _ = signal(root, SIGKILL)
  }
  /// Ends servers' backends that work in a directory, or below it, and have no postmaster any more.
  ///
  /// Not each of them notices by itself: one that waits for a lock which another one held at its end waits for ever, and its
  /// client with it.
  static func killOrphans(below directory: String) {
    for name in SystemFiles.names(in: "/proc") {
      guard let pid = pid_t(name), isServer(pid), let place = SystemFiles.target(of: "/proc/\(pid)/cwd"),
        place == directory || place.hasPrefix(directory + "/"),
        let title = SystemFiles.text(of: "/proc/\(pid)/cmdline"),
        title.hasPrefix("postgres: "), let parent = parent(of: pid), !isServer(parent)
      else { continue }
      _ = signal(pid, SIGKILL)
    }
  }
  private static func isServer(_ pid: pid_t) -> Bool {
    SystemFiles.target(of: "/proc/\(pid)/exe")?.split(separator: "/").last?.hasPrefix("postgres") == true
  }
  private static func signal(_ pid: pid_t, _ number: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.kill(pid, number)
    #elseif canImport(Musl)
      Musl.kill(pid, number)
    #else
      Darwin.kill(pid, number)
    #endif
  }
}

/// Shared memory that outlives a server that was killed, and nobody would remove: its data directory is another mount, with
/// another device number, the next time, by which PostgreSQL knows its own.
struct SharedLeftovers: Hashable, Sendable {
  /// The postmaster.
  let creator: pid_t
  /// The System V segment; nil: none is known.
  let segment: Int32?
  /// Names of POSIX segments.
  let names: [String]

  private static let folder = "/dev/shm/"

  /// What a running server would leave.
  init(of postmaster: pid_t, segment: Int32?) {
    creator = postmaster
    self.segment = segment
    names = Self.names(mappedBy: postmaster).sorted()
  }
  private static func names(mappedBy pid: pid_t) -> Set<String> {
    let maps = SystemFiles.text(of: "/proc/\(pid)/maps", bytesMax: 8 << 20) ?? ""
    return Set(
      maps.split(separator: "\n").compactMap { line -> String? in
        guard let start = line.firstRange(of: folder + "PostgreSQL.") else { return nil }
        return line[start.lowerBound...].dropFirst(folder.count).split(separator: " ").first.map(String.init)
      })
  }
  /// Reads `text`; nil where it is none of ours.
  init?(_ text: String) {
    let fields = text.split(whereSeparator: \.isWhitespace)
    guard fields.count >= 2, let creator = pid_t(fields[0]) else { return nil }
    self.creator = creator
    segment = Int32(fields[1])
    names = fields.dropFirst(2).map(String.init).filter { $0.hasPrefix("PostgreSQL.") && !$0.contains("/") }
  }
  /// For a file.
  var text: String { ([String(creator), segment.map(String.init) ?? "-"] + names).joined(separator: " ") + "\n" }

  /// Whether the server may still run: there is a process of its number.
  var isInUse: Bool { SystemFiles.exists("/proc/\(creator)") }

  /// Removes them; the server has ended.
  func remove() {
    if let segment { _ = borealis_remove_shared_memory(segment, creator) }
    for name in names {
      for other in Self.names(listedIn: name) { unlink(Self.folder + other) }
      unlink(Self.folder + name)
    }
  }

  /// What PostgreSQL's list of its segments, one that the postmaster always has, tells of: others may be mapped by nobody.
  ///
  /// Source: `dsm_control_header` and `dsm_control_item` in PostgreSQL's `dsm.c`: magic, items in use, items, then for each
  /// item its handle first; an item has 40 bytes, 24 before version 14. A number that is no handle is no name of a file.
  private static func names(listedIn name: String) -> Set<String> {
    let (magic, header, itemSizes) = (UInt32(0x9a50_3d32), 16, [40, 24])
    let bytes = SystemFiles.bytes(of: folder + name)
    func number(_ at: Int) -> UInt32 {
      guard at + 4 <= bytes.count else { return 0 }
      return bytes[at..<at + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard number(0) == magic else { return [] }
    let count = Int(min(number(4), number(8)))
    return itemSizes.reduce(into: []) { names, size in
      for i in 0..<count where header + i * size + 4 <= bytes.count {
        names.insert("PostgreSQL.\(number(header + i * size))")
      }
    }
  }
}
