/// What is known of an inode.
public struct FileAttributes: Hashable, Sendable {
  /// The inode's number.
  public var inode: InodeNumber
  /// File, directory or symbolic link; never changes.
  public var type: FileType
  /// Permission bits, 0...0o7777; kept, not enforced.
  public var mode: UInt16
  /// Names of the file; 0 where it is only open still.
  ///
  /// A directory has 1.
  public var links: UInt32
  /// Owner.
  public var uid: UInt32
  /// Group of the owner.
  public var gid: UInt32
  /// Bytes; of a directory 0, of a symbolic link those of its target.
  public var size: UInt64
  /// Last change of the data, in nanoseconds since 1970.
  public var modified: Int64
  /// Last change of data or attributes, in nanoseconds since 1970.
  public var changed: Int64
  /// Last access as `setAttributes` left it (reading does not change it), in nanoseconds since 1970.
  public var accessed: Int64
  /// When it was made, in nanoseconds since 1970.
  public var created: Int64
  /// The directory that holds this directory (of the root: itself); 0 for what is no directory.
  public var parent: InodeNumber
  /// The volume's object with the data; 0 where nothing was ever written.
  var object: UInt64
}

/// Attributes to change; nil leaves one as it is.
public struct AttributeChange: Hashable, Sendable {
  /// Permission bits, 0...0o7777.
  public var mode: UInt16?
  /// Owner.
  public var uid: UInt32?
  /// Group.
  public var gid: UInt32?
  /// Bytes: cuts or grows a file.
  public var size: UInt64?
  /// Nanoseconds since 1970.
  public var modified: Int64?
  /// Nanoseconds since 1970.
  public var accessed: Int64?
  /// Changes nothing.
  public init() {}
}

/// Who a new inode belongs to, and its permission bits.
public struct FileOwner: Hashable, Sendable {
  /// Permission bits, 0...0o7777.
  public var mode: UInt16
  /// Owner.
  public var uid: UInt32
  /// Group.
  public var gid: UInt32
  /// Makes an owner.
  public init(mode: UInt16, uid: UInt32 = 0, gid: UInt32 = 0) {
    self.mode = mode
    self.uid = uid
    self.gid = gid
  }
  /// rw-r--r--, owned by user 0.
  public static let file = FileOwner(mode: 0o644)
  /// rwxr-xr-x, owned by user 0.
  public static let directory = FileOwner(mode: 0o755)
}

/// An entry of a directory.
public struct DirectoryEntry: Hashable, Sendable {
  /// The name.
  public var name: FileName
  /// What it names.
  public var inode: InodeNumber
  /// The type of what it names.
  public var type: FileType
  /// Where listing goes on after this entry: 16...2^63-1, stable for as long as the entry exists.
  public var cookie: UInt64
}
