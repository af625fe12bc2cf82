#ifndef BOREALIS_FLUSH_RING_H
#define BOREALIS_FLUSH_RING_H
#include <stdint.h>

/// A submission and a completion queue of the kernel's (io_uring, Linux 5.6 and later), for writes and flushes.
///
/// It belongs to the thread that made it: only that one may call the functions below.
typedef struct borealis_flush_ring borealis_flush_ring;

/// Makes a ring for up to `entries` requests at once. 0, or an errno value: ENOSYS where the system has none, EPERM where it
/// does not allow it (containers).
int borealis_flush_ring_make(unsigned entries, borealis_flush_ring **ring);

/// Gives the ring up; no request may be under way.
void borealis_flush_ring_free(borealis_flush_ring *ring);

/// Puts a write, a flush of data (fdatasync) or a read into the queue, for the next `enter`; `bytes` must live until its
/// completion was taken. `tag` comes back with that. 0, or EAGAIN where the queue is full.
int borealis_flush_ring_write(
  borealis_flush_ring *ring, int descriptor, const void *bytes, uint32_t length, uint64_t offset, uint64_t tag);
int borealis_flush_ring_data_sync(borealis_flush_ring *ring, int descriptor, uint64_t tag);
int borealis_flush_ring_read(
  borealis_flush_ring *ring, int descriptor, void *bytes, uint32_t length, uint64_t tag);

/// Hands what was queued to the kernel, and blocks until `least` completions can be taken. 0, or an errno value; EINTR, EAGAIN
/// and EBUSY: call it again, after taking what there is.
int borealis_flush_ring_enter(borealis_flush_ring *ring, unsigned least);

/// Takes a completion: 1 with its tag and result (bytes, or minus an errno value); 0 where there is none.
int borealis_flush_ring_take(borealis_flush_ring *ring, uint64_t *tag, int32_t *result);

/// A counter that wakes who reads it (eventfd), or -1 with errno; adding to it is safe from any thread.
int borealis_flush_ring_bell(void);
/// Rings the bell.
void borealis_flush_ring_ring(int bell);

#endif
