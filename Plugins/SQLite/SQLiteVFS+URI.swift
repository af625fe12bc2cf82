import CBorealisSQLite

// For programs that name the VFS in a URI, since they have no other way.
extension SQLiteVFS {
  /// The name under which any program opens a database here: `file:/orders.db?vfs=borealis-1`.
  ///
  /// The program must ask for URIs (`SQLITE_OPEN_URI`), or the library take them from all (`readsURIs`).
  public func uri(_ path: String) -> String {
    var text = "file:" + (path.hasPrefix("/") ? "" : "/")
    for byte in path.utf8 {
      switch byte {
      // Letters, digits and -._~/ stand for themselves.
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x2F, 0x5F, 0x7E:
        text.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        text += byte < 16 ? "%0" : "%"
        text += String(byte, radix: 16, uppercase: true)
      }
    }
    return text + "?vfs=" + name
  }

  /// Whether the SQLite library of this process takes URIs from programs that do not ask for it.
  ///
  /// Debian's does. Others do when a `SQLiteVFS` is made before anything else uses SQLite.
  public static let readsURIs: Bool = {
    var handle: OpaquePointer?
    // Without URIs this names a local file, which is not there and is not made.
    let code = sqlite3_open_v2("file:/borealis.probe/none?mode=memory", &handle, SQLITE_OPEN_READWRITE, nil)
    sqlite3_close_v2(handle)
    return code == SQLITE_OK
  }()
}
