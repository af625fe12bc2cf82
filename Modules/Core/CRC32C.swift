private import CBorealisSystem

/// CRC32C (Castagnoli), the checksum of every format here; by the processor's instruction where it has one.
public enum CRC32C {
  /// The checksum of `bytes`, continuing from `seed` (0 to begin).
  public static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    borealis_crc32c(seed, bytes.baseAddress, bytes.count)
  }
  /// The checksum of a whole array.
  public static func checksum(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { checksum($0, seed: seed) }
  }
  /// The same result by table alone: the oracle that tests compare with.
  public static func tableChecksum(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { borealis_crc32c_table(seed, $0.baseAddress, $0.count) }
  }
  /// Whether a hardware instruction is in use on this machine.
  public static var isHardware: Bool { borealis_crc32c_is_hardware() != 0 }
}
