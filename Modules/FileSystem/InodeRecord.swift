import BorealisCore

/// The bytes of attributes and directory entries in the tree.
enum InodeRecord {
  static let version: UInt8 = 1
  static let size = 80
  static let entrySize = 9

  static func encode(_ a: FileAttributes) -> [UInt8] {
    var b: [UInt8] = []
    b.reserveCapacity(size)
    b.append(version)
    b.append(a.type.rawValue)
    b.appendInteger(a.mode)
    b.appendInteger(a.links)
    b.appendInteger(a.uid)
    b.appendInteger(a.gid)
    b.appendInteger(a.size)
    b.appendInteger(a.object)
    b.appendInteger(a.parent.value)
    b.appendInteger(a.modified)
    b.appendInteger(a.changed)
    b.appendInteger(a.accessed)
    b.appendInteger(a.created)
    b.appendInteger(UInt64(0))
    return b
  }
  static func decode(_ value: ArraySlice<UInt8>, _ inode: InodeNumber) throws(DecodeError) -> FileAttributes {
    let name: StaticString = "inode"
    guard value.count == size else { throw DecodeError(.truncated, name) }
    let result: Result<FileAttributes, DecodeError> = value.withUnsafeBytes { raw in
      Result { () throws(DecodeError) in
        var r = ByteReader(raw, structure: name)
        guard try r.u8() == version else { throw DecodeError(.unsupportedVersion, name) }
        guard let type = FileType(rawValue: try r.u8()) else { throw DecodeError(.invalidField, name, offset: 1) }
        let (mode, links, uid, gid) = (try r.u16(), try r.u32(), try r.u32(), try r.u32())
        let (size, object, parent) = (try r.u64(), try r.u64(), try r.u64())
        let times = (try r.u64(), try r.u64(), try r.u64(), try r.u64())
        guard try r.u64() == 0, mode <= 0o7777, size <= VolumeFileSystem.fileSizeMax, object != 1,
          (type == .directory) == (parent != 0), type != .directory || (size == 0 && object == 0)
        else { throw DecodeError(.invalidField, name, offset: 2) }
        return FileAttributes(
          inode: inode, type: type, mode: mode, links: links, uid: uid, gid: gid, size: size,
          modified: Int64(bitPattern: times.0), changed: Int64(bitPattern: times.1),
          accessed: Int64(bitPattern: times.2), created: Int64(bitPattern: times.3), parent: InodeNumber(parent),
          object: object)
      }
    }
    return try result.get()
  }

  static func encodeEntry(_ inode: InodeNumber, _ type: FileType) -> [UInt8] {
    var b: [UInt8] = []
    b.reserveCapacity(entrySize)
    b.appendInteger(inode.value)
    b.append(type.rawValue)
    return b
  }
  static func decodeEntry(_ value: ArraySlice<UInt8>) throws(DecodeError) -> (inode: InodeNumber, type: FileType) {
    guard value.count == entrySize else { throw DecodeError(.truncated, "entry") }
    let inode = value.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard inode != 0, let type = FileType(rawValue: value[value.startIndex + 8]) else {
      throw DecodeError(.invalidField, "entry")
    }
    return (InodeNumber(inode), type)
  }
}
