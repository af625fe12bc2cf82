#ifndef BOREALIS_BENCH_H
#define BOREALIS_BENCH_H
#include <stdint.h>

/// The least that a 4-of-6 durable append can cost on this machine: six threads, six preallocated files in `directory`,
/// one 4 KiB pwrite and one fdatasync each, a commit counts when four have returned. Fills `nanoseconds` with the
/// latency of each of `commits` commits. Returns 0, or -1 with errno.
int borealis_quorum_limit(const char *directory, int commits, uint64_t *nanoseconds);

#endif
