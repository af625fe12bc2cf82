#define _GNU_SOURCE
#include "borealis_bench.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
static void sleep_while(_Atomic int *word, int value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0); }
static void wake_all(_Atomic int *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0); }
#else
static void sleep_while(_Atomic int *word, int value) { (void)word; (void)value; sched_yield(); }
static void wake_all(_Atomic int *word) { (void)word; }
#endif

enum { copies = 6, needed = 4, block = 4096, file_size = 64 << 20 };

struct run {
  _Atomic int sequence;
  _Atomic int *acks;
};
struct copy {
  struct run *run;
  int descriptor;
  char *buffer;
};

static void *serve(void *argument) {
  struct copy *copy = argument;
  int done = 0;
  off_t offset = 0;
  for (;;) {
    int sequence;
    while ((sequence = atomic_load(&copy->run->sequence)) == done) sleep_while(&copy->run->sequence, done);
    if (sequence < 0) return NULL;
    int from = done;
    done = sequence;
    if (pwrite(copy->descriptor, copy->buffer, block, offset % file_size) != block) abort();
    offset += block;
    if (fdatasync(copy->descriptor) != 0) abort();
    for (int k = from + 1; k <= sequence; k++)
      if (atomic_fetch_add(&copy->run->acks[k], 1) + 1 == needed) wake_all(&copy->run->acks[k]);
  }
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int borealis_quorum_limit(const char *directory, int commits, uint64_t *nanoseconds) {
  struct run run = {0, calloc((size_t)commits + 1, sizeof(_Atomic int))};
  struct copy copy[copies];
  pthread_t threads[copies];
  char path[copies][4096];
  char *zeros = calloc(1, 1 << 20), *buffer = calloc(1, block);
  int failed = !run.acks || !zeros || !buffer;
  for (int i = 0; i < copies && !failed; i++) {
    snprintf(path[i], sizeof path[i], "%s/quorum-limit-%d", directory, i);
    copy[i] = (struct copy){&run, open(path[i], O_RDWR | O_CREAT | O_CLOEXEC, 0644), buffer};
    if (copy[i].descriptor < 0) return -1;
    for (off_t at = 0; at < file_size && !failed; at += 1 << 20)
      failed = pwrite(copy[i].descriptor, zeros, 1 << 20, at) != 1 << 20;
    failed = failed || fsync(copy[i].descriptor) != 0;
  }
  if (!failed) {
    for (int i = 0; i < copies; i++) pthread_create(&threads[i], NULL, serve, &copy[i]);
    for (int k = 1; k <= commits; k++) {
      uint64_t start = now();
      atomic_store(&run.sequence, k);
      wake_all(&run.sequence);
      int acks;
      while ((acks = atomic_load(&run.acks[k])) < needed) sleep_while(&run.acks[k], acks);
      nanoseconds[k - 1] = now() - start;
    }
    atomic_store(&run.sequence, -1);
    wake_all(&run.sequence);
    for (int i = 0; i < copies; i++) pthread_join(threads[i], NULL);
  }
  for (int i = 0; i < copies; i++) {
    close(copy[i].descriptor);
    unlink(path[i]);
  }
  free(zeros);
  free(buffer);
  free(run.acks);
  return failed ? -1 : 0;
}
