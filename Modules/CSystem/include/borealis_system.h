#ifndef BOREALIS_SYSTEM_H
#define BOREALIS_SYSTEM_H
#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli, RFC 3720 appendix B.4) of `length` bytes, continuing from `seed` (0 to begin).
/// Uses the processor's instruction where it has one (SSE 4.2, ARMv8 CRC), a table otherwise.
uint32_t borealis_crc32c(uint32_t seed, const void *bytes, size_t length);

/// The same by table alone: the oracle for tests.
uint32_t borealis_crc32c_table(uint32_t seed, const void *bytes, size_t length);

/// 1 when `borealis_crc32c` uses a hardware instruction on this machine.
int borealis_crc32c_is_hardware(void);

/// Gives a range of an open file back to the file system (hole punching). 0, or -1 with errno.
int borealis_punch_hole(int descriptor, int64_t offset, int64_t length);

/// Flushes a file's data and the metadata needed to read it back. 0, or -1 with errno.
int borealis_data_sync(int descriptor);

/// Reserves space for a range of an open file without changing its contents. 0, or an errno value.
int borealis_preallocate(int descriptor, int64_t offset, int64_t length);

/// Has the calling thread never preempt the one that wakes it (Linux: SCHED_BATCH). 0, or an errno value.
int borealis_schedule_as_batch(void);

/// Resident set size of this process in bytes; 0 where it is not known.
uint64_t borealis_resident_bytes(void);

#endif
