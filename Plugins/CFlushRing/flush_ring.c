#define _GNU_SOURCE
#include "borealis_flush_ring.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The system calls themselves, by the kernel's header: all of liburing that is needed here is the arithmetic of two rings, and
// whoever builds the package would have to install it.
#if defined(__linux__)
#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

struct borealis_flush_ring {
  int descriptor;
  // The submission queue: this side writes the tail, the kernel the head.
  unsigned *sq_head, *sq_tail, *sq_array;
  unsigned sq_mask, sq_entries;
  struct io_uring_sqe *entries;
  // The completion queue: the other way about.
  unsigned *cq_head, *cq_tail;
  unsigned cq_mask;
  struct io_uring_cqe *completions;
  void *rings;
  size_t rings_size, entries_size;
  unsigned queued;
};

static int setup(unsigned entries, struct io_uring_params *params) {
  // Completions are delivered when this thread enters, and interrupt nobody (6.1); else as older kernels do it.
  const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0};
  int descriptor = -1;
  for (unsigned i = 0; i < 2; i++) {
    memset(params, 0, sizeof *params);
    params->flags = flags[i];
    descriptor = (int)syscall(SYS_io_uring_setup, entries, params);
    if (descriptor >= 0 || errno != EINVAL) break;
  }
  return descriptor;
}

int borealis_flush_ring_make(unsigned entries, borealis_flush_ring **ring) {
  struct io_uring_params params;
  int descriptor = setup(entries, &params);
  if (descriptor < 0) return errno;
  int code = ENOSYS;
  // One mapping for both queues, and no completion is ever dropped: 5.5. (Reads and writes by address came with 5.6.)
  const unsigned wanted = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;
  borealis_flush_ring *new = calloc(1, sizeof *new);
  if (new == NULL) code = ENOMEM;
  if (new == NULL || (params.features & wanted) != wanted) goto failed;
  size_t sq_size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  new->descriptor = descriptor;
  new->rings_size = sq_size > cq_size ? sq_size : cq_size;
  new->entries_size = params.sq_entries * sizeof(struct io_uring_sqe);
  new->rings = mmap(
    NULL, new->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, IORING_OFF_SQ_RING);
  if (new->rings == MAP_FAILED) {
    code = errno;
    goto failed;
  }
  new->entries = mmap(
    NULL, new->entries_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, IORING_OFF_SQES);
  if (new->entries == MAP_FAILED) {
    code = errno;
    munmap(new->rings, new->rings_size);
    goto failed;
  }
  // A child process must not see them: it would share the queues.
  madvise(new->rings, new->rings_size, MADV_DONTFORK);
  madvise(new->entries, new->entries_size, MADV_DONTFORK);
  char *base = new->rings;
  new->sq_head = (unsigned *)(base + params.sq_off.head);
  new->sq_tail = (unsigned *)(base + params.sq_off.tail);
  new->sq_mask = *(unsigned *)(base + params.sq_off.ring_mask);
  new->sq_entries = params.sq_entries;
  new->sq_array = (unsigned *)(base + params.sq_off.array);
  new->cq_head = (unsigned *)(base + params.cq_off.head);
  new->cq_tail = (unsigned *)(base + params.cq_off.tail);
  new->cq_mask = *(unsigned *)(base + params.cq_off.ring_mask);
  new->completions = (struct io_uring_cqe *)(base + params.cq_off.cqes);
  *ring = new;
  return 0;
failed:
  free(new);
  close(descriptor);
  return code;
}

void borealis_flush_ring_free(borealis_flush_ring *ring) {
  munmap(ring->entries, ring->entries_size);
  munmap(ring->rings, ring->rings_size);
  close(ring->descriptor);
  free(ring);
}

static int queue(
  borealis_flush_ring *ring, unsigned operation, int descriptor, const void *bytes, uint32_t length, uint64_t offset,
  unsigned flags, uint64_t tag) {
  unsigned tail = *ring->sq_tail;
  if (tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) >= ring->sq_entries) return EAGAIN;
  unsigned index = tail & ring->sq_mask;
  struct io_uring_sqe *entry = &ring->entries[index];
  memset(entry, 0, sizeof *entry);
  entry->opcode = (uint8_t)operation;
  entry->fd = descriptor;
  entry->addr = (uint64_t)(uintptr_t)bytes;
  entry->len = length;
  entry->off = offset;
  entry->fsync_flags = flags;
  entry->user_data = tag;
  ring->sq_array[index] = index;
  __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
  ring->queued++;
  return 0;
}

int borealis_flush_ring_write(
  borealis_flush_ring *ring, int descriptor, const void *bytes, uint32_t length, uint64_t offset, uint64_t tag) {
  return queue(ring, IORING_OP_WRITE, descriptor, bytes, length, offset, 0, tag);
}
int borealis_flush_ring_data_sync(borealis_flush_ring *ring, int descriptor, uint64_t tag) {
  return queue(ring, IORING_OP_FSYNC, descriptor, NULL, 0, 0, IORING_FSYNC_DATASYNC, tag);
}
int borealis_flush_ring_read(borealis_flush_ring *ring, int descriptor, void *bytes, uint32_t length, uint64_t tag) {
  return queue(ring, IORING_OP_READ, descriptor, bytes, length, 0, 0, tag);
}

int borealis_flush_ring_enter(borealis_flush_ring *ring, unsigned least) {
  long count = syscall(
    SYS_io_uring_enter, ring->descriptor, ring->queued, least, least > 0 ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
  if (count < 0) return errno;
  ring->queued -= (unsigned)count;
  return 0;
}

int borealis_flush_ring_take(borealis_flush_ring *ring, uint64_t *tag, int32_t *result) {
  unsigned head = *ring->cq_head;
  if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) return 0;
  struct io_uring_cqe *entry = &ring->completions[head & ring->cq_mask];
  *tag = entry->user_data;
  *result = entry->res;
  __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
  return 1;
}

int borealis_flush_ring_bell(void) { return eventfd(0, EFD_CLOEXEC); }

void borealis_flush_ring_ring(int bell) {
  const uint64_t one = 1;
  (void)!write(bell, &one, sizeof one);
}

#else

int borealis_flush_ring_make(unsigned entries, borealis_flush_ring **ring) { return ENOSYS; }
void borealis_flush_ring_free(borealis_flush_ring *ring) {}
int borealis_flush_ring_write(
  borealis_flush_ring *ring, int descriptor, const void *bytes, uint32_t length, uint64_t offset, uint64_t tag) {
  return EAGAIN;
}
int borealis_flush_ring_data_sync(borealis_flush_ring *ring, int descriptor, uint64_t tag) { return EAGAIN; }
int borealis_flush_ring_read(borealis_flush_ring *ring, int descriptor, void *bytes, uint32_t length, uint64_t tag) {
  return EAGAIN;
}
int borealis_flush_ring_enter(borealis_flush_ring *ring, unsigned least) { return ENOSYS; }
int borealis_flush_ring_take(borealis_flush_ring *ring, uint64_t *tag, int32_t *result) { return 0; }
int borealis_flush_ring_bell(void) { return -1; }
void borealis_flush_ring_ring(int bell) {}

#endif
