import BorealisCore
import BorealisFileStorageBackend
import BorealisStorageBackend
import Glibc
import Synchronization
import Testing

@Suite struct FileStorageBackendTests {
  private func blocks(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : -1
  }

  @Test func makesTheDirectoryAndNamesItsFiles() throws {
    let place = try TemporaryDirectory()
    let path = "\(place.path)/a/b/c/"
    let backend = try FileStorageBackend(directory: path)
    for name in ["log", "pages", "journal-a", "journal-b", "lock"] {
      #expect(blocks("\(path)/\(name)") >= 0, "\(name) is missing")
    }
    backend.close()
    let again = try FileStorageBackend(directory: path, options: FileStorageOptions(creation: .mustExist))
    again.close()
  }

  @Test func saysWhyItCannotOpen() throws {
    let place = try TemporaryDirectory()
    func openCode(_ path: String, _ creation: FileStorageOptions.Creation) -> StorageBackendError.Code? {
      code { () throws(StorageBackendError) in
        _ = try FileStorageBackend(directory: path, options: FileStorageOptions(creation: creation))
      }
    }
    #expect(openCode("\(place.path)/missing", .mustExist) == .cannotOpen)
    close(open("\(place.path)/file", O_CREAT | O_RDWR, 0o600))
    #expect(openCode("\(place.path)/file", .createIfMissing) == .cannotOpen)
    #expect(openCode("\(place.path)/file/below", .createIfMissing) == .cannotOpen)
    mkdir("\(place.path)/odd", 0o700)
    mkdir("\(place.path)/odd/pages", 0o700)
    #expect(openCode("\(place.path)/odd", .createIfMissing) == .cannotOpen)
    // A refused opening leaves no lock behind.
    rmdir("\(place.path)/odd/pages")
    #expect(openCode("\(place.path)/odd", .createIfMissing) == nil)
  }

  /// The lock is held against other processes, and a killed one does not keep it.
  @Test func aKilledProcessGivesTheLockBack() throws {
    let place = try TemporaryDirectory()
    try FileStorageBackend(directory: place.path).close()
    var child = pid_t()
    let arguments = ["sh", "-c", "exec 9<'\(place.path)/lock'; flock -x 9; echo locked; exec sleep 600"]
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_addclose(&actions, ends[0])
    var pointers = arguments.map { strdup($0) }
    pointers.append(nil)
    try #require(posix_spawn(&child, "/bin/sh", &actions, nil, pointers, environ) == 0)
    close(ends[1])
    for pointer in pointers { free(pointer) }
    posix_spawn_file_actions_destroy(&actions)
    var line = [UInt8](repeating: 0, count: 7)
    #expect(read(ends[0], &line, 7) == 7 && line == Array("locked\n".utf8), "the child has the lock")
    close(ends[0])
    let path = place.path
    #expect(code { () throws(StorageBackendError) in _ = try FileStorageBackend(directory: path) } == .locked)
    kill(child, SIGKILL)
    var status: Int32 = 0
    waitpid(child, &status, 0)
    #expect(code { () throws(StorageBackendError) in _ = try FileStorageBackend(directory: path) } == nil)
  }

  @Test func reservedSpaceIsAllocatedAndReleasedSpaceGivenBack() throws {
    let place = try TemporaryDirectory()
    let backend = try FileStorageBackend(directory: place.path)
    for file in [StorageFile.log, .pages] {
      try backend.reserve(file, upTo: .mebibytes(3))
      #expect(blocks("\(place.path)/\(file)") >= 3 << 20, "\(file) reserved")
      try backend.put(file, at: 0, [UInt8](repeating: 1, count: 3 << 20))
      try backend.sync(file)
      try backend.release(file, from: 1 << 20, length: .mebibytes(1))
      let left = blocks("\(place.path)/\(file)")
      #expect(left >= 2 << 20 && left < 3 << 20, "\(file) released")
    }
  }

  /// The real thing, on a file system of 2 MiB; the same write succeeds once there is space.
  @Test func aFullFileSystemRefusesAndHeals() throws {
    let place = try TemporaryDirectory(mounting: 2 << 20)
    if !place.isMounted {
      print("no right to mount: a full disk was tried as a file size limit only (aFileSizeLimitRefusesAndHeals)")
      return
    }
    let backend = try FileStorageBackend(directory: "\(place.path)/node")
    let bytes = [UInt8](repeating: 7, count: 256 << 10)
    var written: UInt64 = 0
    var failure: StorageBackendError.Code?
    while failure == nil && written < 4 << 20 {
      failure = code { () throws(StorageBackendError) in try backend.put(.log, at: written, bytes) }
      if failure == nil { written += UInt64(bytes.count) }
    }
    #expect(failure == .noSpace)
    #expect(written >= 1 << 20)
    #expect(
      code { () throws(StorageBackendError) in try backend.reserve(.pages, upTo: .mebibytes(1)) } == .noSpace)
    // Reads, syncs and what needs no space go on.
    try backend.sync(.log)
    try backend.put(.log, at: 0, [8])
    #expect(try backend.bytes(.log, at: 0, count: 2) == [8, 7])
    // Space comes back: by a larger file system, or by a released range.
    try backend.release(.log, from: 0, length: .mebibytes(1))
    try backend.put(.log, at: written, bytes)
    #expect(mount("none", place.path, "tmpfs", UInt(MS_REMOUNT), "size=8m") == 0)
    try backend.reserve(.pages, upTo: .mebibytes(4))
    try backend.sync(.log)
    #expect(try backend.bytes(.log, at: written, count: bytes.count) == bytes)
  }

  /// Without any rights: the process's limit for file sizes, far above what other tests write.
  @Test func aFileSizeLimitRefusesAndHeals() throws {
    let place = try TemporaryDirectory()
    let backend = try FileStorageBackend(directory: place.path)
    var old = rlimit()
    try #require(getrlimit(__rlimit_resource_t(1), &old) == 0)  // 1: RLIMIT_FSIZE
    let limit: UInt64 = 64 << 30
    signal(SIGXFSZ, SIG_IGN)
    var lower = old
    lower.rlim_cur = rlim_t(limit)
    try #require(setrlimit(__rlimit_resource_t(1), &lower) == 0)
    let bytes = [UInt8](repeating: 3, count: 100_000)
    let start = limit - 50_000
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: start, bytes) } == .noSpace)
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: limit, bytes) } == .noSpace)
    #expect(setrlimit(__rlimit_resource_t(1), &old) == 0)
    try backend.put(.log, at: start, bytes)
    try backend.sync(.log)
    #expect(try backend.bytes(.log, at: start, count: bytes.count) == bytes)
  }

  @Test func afterAFailedFlushTheFileRefusesChangesUntilOpenedAgain() throws {
    let place = try FilePlace(onOwnFileSystem: false)
    let backend = try place.open()
    try backend.put(.log, at: 0, [1])
    try backend.sync(.log)
    try backend.put(.log, at: 0, [2])
    try place.setSyncsFail(true, of: .log)
    #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
    try place.setSyncsFail(false, of: .log)
    // A second flush would succeed now, without the page that the first one lost.
    for _ in 0..<2 {
      #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
      #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 0, [3]) } == .inputOutput)
      #expect(
        code { () throws(StorageBackendError) in try backend.reserve(.log, upTo: .mebibytes(1)) } == .inputOutput)
      #expect(
        code { () throws(StorageBackendError) in try backend.truncate(.log, to: ByteCount(0)) } == .inputOutput)
      #expect(
        code { () throws(StorageBackendError) in
          try backend.release(.log, from: 0, length: ByteCount(1))
        } == .inputOutput)
    }
    #expect(try backend.bytes(.log, at: 0, count: 1) == [2], "reads go on")
    try backend.put(.pages, at: 0, [1])
    try backend.sync(.pages)
    backend.close()
    let again = try place.open()
    try again.put(.log, at: 0, [4])
    try again.sync(.log)
    #expect(try again.bytes(.log, at: 0, count: 1) == [4])
  }

  /// `close` waits: a call under way must not write into a file that got the descriptor's number afterwards.
  @Test func callsThatRaceWithCloseHitNothingElse() throws {
    for _ in 0..<20 {
      let first = try TemporaryDirectory()
      let second = try TemporaryDirectory()
      let backend = try FileStorageBackend(directory: first.path)
      let unexpected = Mutex<[StorageBackendError]>([])
      let started = Atomic(0)
      try onThreads(4) { index in
        if index == 3 {
          while started.load(ordering: .relaxed) < 3 { sched_yield() }
          backend.close()
          let other = try FileStorageBackend(directory: second.path)
          for file in StorageFile.allCases {
            if try other.size(of: file).value != 0 { throw TestFailure("\(file) of the other directory was written") }
          }
          usleep(500)
          for file in StorageFile.allCases {
            if try other.size(of: file).value != 0 { throw TestFailure("\(file) of the other directory was written") }
          }
          return
        }
        started.wrappingAdd(1, ordering: .relaxed)
        var offset: UInt64 = 0
        while true {
          do throws(StorageBackendError) {
            try backend.put(StorageFile.allCases[index], at: offset, [1, 2, 3])
            offset += 3
          } catch {
            if error.code != .closed { unexpected.withLock { $0.append(error) } }
            return
          }
        }
      }
      #expect(unexpected.withLock { $0.isEmpty })
    }
  }

  @Test func anotherFileGoesOnWhileOneIsFlushed() throws {
    let place = try TemporaryDirectory()
    let backend = try FileStorageBackend(directory: place.path)
    let bytes = [UInt8](repeating: 1, count: 1 << 20)
    let reserving = Atomic(true)
    let written = Atomic(UInt64(0))
    try onThreads(2) { index in
      if index == 0 {
        defer { reserving.store(false, ordering: .relaxed) }
        // Again on a machine that gives the other thread no time meanwhile.
        for size in UInt64(1)...32 where written.load(ordering: .relaxed) == 0 {
          try backend.reserve(.log, upTo: .mebibytes(16 * size))
        }
        return
      }
      while reserving.load(ordering: .relaxed) {
        try backend.put(.pages, at: written.load(ordering: .relaxed) % 64 << 20, bytes)
        written.wrappingAdd(1, ordering: .relaxed)
      }
    }
    #expect(try backend.size(of: .log) >= .mebibytes(16))
    #expect(written.load(ordering: .relaxed) > 0)
  }
}
