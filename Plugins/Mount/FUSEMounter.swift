public import BorealisFileSystem

/// Mounts file systems through the kernel's FUSE and libfuse3: as root, or as an ordinary user by `fusermount3`.
///
///     let mount = try FUSEMounter().mount(files, at: "/srv/orders", options: MountOptions())
///     // an unmodified engine works in /srv/orders; every fsync waits for the write quorum
///     try mount.unmount(timeoutMilliseconds: 5000)
///
/// Its threads are its own. What is durable when, and what the kernel keeps: Documentation/Mount.md.
public struct FUSEMounter: FileSystemMounter {
  private let device: String

  /// A mounter; nothing happens yet.
  public init() { device = MountPrerequisites.device }
  /// One that looks for the kernel's device elsewhere, so that a test can take it away.
  package init(device: String) { self.device = device }

  /// Mounts `files` at `path`, which must be an empty directory, or one that a process left mounted when it died.
  ///
  /// Returns when the directory can be used.
  /// - Throws: `.notPossible` where this machine or user cannot (the detail says what to do), `.unusableDirectory`,
  ///   `.system`.
  public func mount(
    _ files: VolumeFileSystem, at path: String, options: MountOptions
  ) throws(MountError) -> any MountedFileSystem {
    try mountFUSE(files, at: path, options: options)
  }
  private func mountFUSE(
    _ files: VolumeFileSystem, at path: String, options: MountOptions
  ) throws(MountError) -> FUSEMount {
    let point = try MountPoint(path)
    try MountPrerequisites.check(point.path, options, device: device)
    try point.makeUsable()
    let mount = try FUSEMount(files, at: point, options: options)
    try mount.start()
    return mount
  }
}
