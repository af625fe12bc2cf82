public import BorealisVolume

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why an operation of the file system failed.
public struct FileSystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// No such file or directory, or no file system on the volume.
    case notFound
    /// The name is taken.
    case exists
    /// A directory is needed here.
    case notDirectory
    /// A directory cannot be used here.
    case isDirectory
    /// The directory has entries.
    case notEmpty
    /// A name of more than 255 bytes, or a symbolic link's target of more than 4095.
    case nameTooLong
    /// An argument is outside its range.
    case invalidArgument
    /// The file system was mounted for reading only.
    case readOnly
    /// No room: in the overlay, or in the volume.
    case noSpace
    /// Beyond 16 TiB, or more than one mini-transaction can hold.
    case tooLarge
    /// A file has 4,294,967,295 links, or a directory would get a second one.
    case tooManyLinks
    /// Too many symbolic links in a path.
    case linkLoop
    /// The file is closed, or belongs to another file system.
    case badHandle
    /// No data or hole from there on (`seekData`, `seekHole`).
    case noSuchOffset
    /// The pages of the file system are malformed.
    case corrupt
    /// The volume failed; `volumeError` says how.
    case volume
  }
  /// The kind of failure.
  public let code: Code
  /// The operation that failed: `rename`.
  public let operation: StaticString
  /// The file or directory concerned, where there is one.
  public let inode: InodeNumber?
  /// The name or path concerned, where there is one.
  public let path: String?
  /// More for people.
  public let detail: String
  /// What the volume said, where it failed.
  public let volumeError: VolumeError?

  /// Makes an error.
  public init(
    _ code: Code, operation: StaticString, inode: InodeNumber? = nil, path: String? = nil, detail: String = ""
  ) {
    self.code = code
    self.operation = operation
    self.inode = inode
    self.path = path
    self.detail = detail
    volumeError = nil
  }
  /// An operation that failed in the volume.
  public init(_ error: VolumeError, operation: StaticString, inode: InodeNumber? = nil) {
    code =
      if error.isFull { .noSpace } else if error.code == .tooLarge { .tooLarge } else { .volume }
    self.operation = operation
    self.inode = inode
    path = nil
    detail = error.description
    volumeError = error
  }

  /// The number that POSIX has for it: the one place where errors are mapped.
  ///
  /// A volume that was taken over by another writer (`fenced`) gives EIO: an engine must stop, not try again.
  public var errno: Int32 {
    switch code {
    case .notFound: ENOENT
    case .exists: EEXIST
    case .notDirectory: ENOTDIR
    case .isDirectory: EISDIR
    case .notEmpty: ENOTEMPTY
    case .nameTooLong: ENAMETOOLONG
    case .invalidArgument: EINVAL
    case .readOnly: EROFS
    case .noSpace: ENOSPC
    case .tooLarge: EFBIG
    case .tooManyLinks: EMLINK
    case .linkLoop: ELOOP
    case .badHandle: EBADF
    case .noSuchOffset: ENXIO
    case .corrupt: EIO
    case .volume:
      switch volumeError?.code {
      case .wouldBlock: EAGAIN
      case .conflict: EBUSY
      case .readPointTooOld: ESTALE
      case .fenced, .unavailable, .closed, .damaged, .notFound, .invalidArgument, .tooLarge, nil: EIO
      }
    }
  }
  /// One line for people.
  public var description: String {
    var text = "file system \(operation) failed: \(code.rawValue)"
    if let path { text += ", \(path)" }
    if let inode { text += ", inode \(inode)" }
    if !detail.isEmpty { text += " (\(detail))" }
    return text
  }
  /// Equal when code, operation, inode and path are.
  public static func == (lhs: FileSystemError, rhs: FileSystemError) -> Bool {
    lhs.code == rhs.code && lhs.inode == rhs.inode && lhs.path == rhs.path
      && lhs.operation.description == rhs.operation.description && lhs.volumeError == rhs.volumeError
  }
  /// Hashes code, inode and path.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(inode)
    hasher.combine(path)
  }
}
