import BorealisFileSystem
import CBorealisFUSE

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The functions that libfuse calls.
enum FUSEOperations {
  // Written once, before any session has it, and only read from then on.
  nonisolated(unsafe) static let table: UnsafeMutablePointer<fuse_lowlevel_ops> = {
    let table = UnsafeMutablePointer<fuse_lowlevel_ops>.allocate(capacity: 1)
    table.initialize(to: fuse_lowlevel_ops())
    addNames(table)
    addData(table)
    addDirectories(table)
    table.pointee.`init` = { owner, connection in
      guard let owner, let connection else { return }
      Unmanaged<FUSEMount>.fromOpaque(owner).takeUnretainedValue().begin(&connection.pointee)
    }
    // Not here, so that the kernel does it itself: locks (they end with the process, since this mount is the only way
    // to the files), access, copy_file_range. flush has nothing to do. There are no extended attributes.
    return table
  }()

  private static func addNames(_ table: UnsafeMutablePointer<fuse_lowlevel_ops>) {
    table.pointee.lookup = { request, parent, name in
      FUSERequest(request).query { mount, _ throws(FileSystemError) in
        try mount.lookup(FileName(name), in: InodeNumber(parent))
      }
    }
    table.pointee.forget = { request, inode, _ in
      let request = FUSERequest(request)
      request.mount.forget(InodeNumber(inode))
      request.none()
    }
    table.pointee.forget_multi = { request, count, list in
      let request = FUSERequest(request)
      for one in UnsafeBufferPointer(start: list, count: count) {
        request.mount.forget(InodeNumber(one.ino))
      }
      request.none()
    }
    table.pointee.getattr = { request, inode, _ in
      FUSERequest(request).query { mount, _ throws(FileSystemError) in
        try mount.attributes(InodeNumber(inode))
      }
    }
    table.pointee.setattr = { request, inode, numbers, which, _ in
      FUSERequest(request).change { mount throws(FileSystemError) in
        guard let numbers else { return .error(EINVAL) }
        return try mount.setAttributes(InodeNumber(inode), numbers.pointee, which)
      }
    }
    table.pointee.readlink = { request, inode in
      FUSERequest(request).query { mount, _ throws(FileSystemError) in
        .target(try mount.files.readLink(InodeNumber(inode)))
      }
    }
    table.pointee.mknod = { request, parent, name, mode, _ in
      let request = FUSERequest(request)
      request.change { mount throws(FileSystemError) in
        // Devices, sockets and FIFOs are not for a volume.
        guard mode & S_IFMT == S_IFREG || mode & S_IFMT == 0 else { return .error(EPERM) }
        return try mount.makeFile(FileName(name), in: InodeNumber(parent), request.owner(mode: mode))
      }
    }
    table.pointee.mkdir = { request, parent, name, mode in
      let request = FUSERequest(request)
      request.change { mount throws(FileSystemError) in
        try mount.makeDirectory(FileName(name), in: InodeNumber(parent), request.owner(mode: mode))
      }
    }
    table.pointee.symlink = { request, target, parent, name in
      let request = FUSERequest(request)
      request.change { mount throws(FileSystemError) in
        try mount.makeLink(
          FileName(name), in: InodeNumber(parent), FileName(target).bytes, request.owner(mode: 0o777))
      }
    }
    table.pointee.unlink = { request, parent, name in
      FUSERequest(request).change { mount throws(FileSystemError) in
        try mount.unlink(FileName(name), in: InodeNumber(parent))
      }
    }
    table.pointee.rmdir = { request, parent, name in
      FUSERequest(request).change { mount throws(FileSystemError) in
        try mount.removeDirectory(FileName(name), in: InodeNumber(parent))
      }
    }
    table.pointee.rename = { request, parent, name, newParent, newName, flags in
      FUSERequest(request).change { mount throws(FileSystemError) in
        try mount.rename(
          FileName(name), in: InodeNumber(parent), to: FileName(newName), in: InodeNumber(newParent), flags)
      }
    }
    table.pointee.link = { request, inode, newParent, newName in
      FUSERequest(request).change { mount throws(FileSystemError) in
        try mount.files.link(InodeNumber(inode), as: FileName(newName), in: InodeNumber(newParent))
        return .entry(try mount.files.attributes(of: InodeNumber(inode)))
      }
    }
  }

  private static func addData(_ table: UnsafeMutablePointer<fuse_lowlevel_ops>) {
    table.pointee.create = { request, parent, name, mode, information in
      guard let information else { return }
      let request = FUSERequest(request)
      request.opening(information.pointee) { mount, information throws(FileSystemError) in
        try mount.create(FileName(name), in: InodeNumber(parent), request.owner(mode: mode), information)
      }
    }
    table.pointee.open = { request, inode, information in
      guard let information else { return }
      FUSERequest(request).opening(information.pointee) { mount, information throws(FileSystemError) in
        try mount.open(InodeNumber(inode), information)
      }
    }
    table.pointee.release = { request, _, information in
      let request = FUSERequest(request)
      request.mount.counters.other()
      request.mount.release(information?.pointee.fh ?? 0)
      request.fail(0)
    }
    table.pointee.read = { request, _, count, offset, information in
      FUSERequest(request).query(counted: false) { mount, context throws(FileSystemError) in
        try mount.read(information?.pointee.fh ?? 0, at: UInt64(max(0, offset)), context.buffer(count))
      }
    }
    table.pointee.write = { request, _, bytes, count, offset, information in
      guard let information else { return }
      FUSERequest(request).write(
        UnsafeRawBufferPointer(start: bytes, count: count), at: UInt64(max(0, offset)), information.pointee)
    }
    table.pointee.fsync = { request, _, dataOnly, information in
      let number = information?.pointee.fh ?? 0
      FUSERequest(request).query(isLong: true, counted: false) { mount, _ throws(FileSystemError) in
        try mount.sync(number, dataOnly == 0 ? .all : .data)
      }
    }
    table.pointee.fallocate = { request, _, mode, offset, count, information in
      FUSERequest(request).change { mount throws(FileSystemError) in
        try mount.allocate(
          information?.pointee.fh ?? 0, mode, at: UInt64(max(0, offset)), count: UInt64(max(0, count)))
      }
    }
    table.pointee.lseek = { request, _, offset, whence, information in
      FUSERequest(request).query { mount, _ throws(FileSystemError) in
        try mount.seek(information?.pointee.fh ?? 0, from: UInt64(max(0, offset)), whence)
      }
    }
    table.pointee.statfs = { request, _ in
      FUSERequest(request).query { mount, _ throws(FileSystemError) in .numbers(mount.numbers) }
    }
  }

  private static func addDirectories(_ table: UnsafeMutablePointer<fuse_lowlevel_ops>) {
    table.pointee.opendir = { request, _, information in
      guard let information else { return }
      let opened = information.pointee
      FUSERequest(request).query { mount, _ throws(FileSystemError) in mount.openDirectory(opened) }
    }
    table.pointee.readdir = { request, inode, count, offset, _ in
      let request = FUSERequest(request)
      request.query { mount, context throws(FileSystemError) in
        try mount.list(
          InodeNumber(inode), after: UInt64(max(0, offset)), into: context.buffer(count), request, withAttributes: false
        )
      }
    }
    table.pointee.readdirplus = { request, inode, count, offset, _ in
      let request = FUSERequest(request)
      request.query { mount, context throws(FileSystemError) in
        try mount.list(
          InodeNumber(inode), after: UInt64(max(0, offset)), into: context.buffer(count), request, withAttributes: true)
      }
    }
    table.pointee.fsyncdir = { request, inode, _, _ in
      FUSERequest(request).query(isLong: true, counted: false) { mount, _ throws(FileSystemError) in
        try mount.syncDirectory(InodeNumber(inode))
      }
    }
  }
}

extension FileName {
  /// A name as C has it.
  fileprivate init(_ name: UnsafePointer<CChar>?) {
    guard let name else {
      self.init(bytes: [])
      return
    }
    self.init(bytes: Array(UnsafeRawBufferPointer(start: name, count: strlen(name))))
  }
}
