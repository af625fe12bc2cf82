#include "probe.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}
static int compare(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}
static void report(const char *what, uint64_t *times, int count) {
  qsort(times, count, sizeof *times, compare);
  printf("%-28s p50 %8.1f us  p99 %8.1f us\n", what, times[count / 2] / 1e3, times[count * 99 / 100] / 1e3);
  fflush(stdout);
}

int probe_bench(const char *path, int count) {
  enum { page = 8192, pages = 2048 };
  uint64_t *times = calloc(count, sizeof *times);
  uint8_t *bytes = aligned_alloc(4096, page);
  probe_random r = {1};
  probe_fill(&r, bytes, page);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(file >= 0);
  for (int i = 0; i < pages; i++) CHECK(pwrite(file, bytes, page, (off_t)i * page) == page);
  CHECK(fsync(file) == 0);
#define MEASURE(what, call) \
  for (int i = 0; i < count; i++) { \
    off_t at = (off_t)probe_below(&r, pages) * page; \
    bytes[i % page]++; \
    uint64_t start = now(); \
    CHECK(call); \
    times[i] = now() - start; \
    (void)at; \
  } \
  report(what, times, count);
  MEASURE("write of 8 KiB", pwrite(file, bytes, page, at) == page)
  CHECK(fsync(file) == 0);
  MEASURE("cached read of 8 KiB", pread(file, bytes, page, at) == page)
  MEASURE("fdatasync, nothing new", fdatasync(file) == 0)
  int every = count;
  count = count / 10 + 1;
  MEASURE("write of 8 KiB + fdatasync", pwrite(file, bytes, page, at) == page && fdatasync(file) == 0)
  MEASURE("write of 8 KiB + fsync", pwrite(file, bytes, page, at) == page && fsync(file) == 0)
  int synced = open(path, O_RDWR | O_DSYNC);
  MEASURE("write of 8 KiB, O_DSYNC", pwrite(synced, bytes, page, at) == page)
  count = every;
  int direct = open(path, O_RDWR | O_DIRECT);
  MEASURE("write of 8 KiB, O_DIRECT", pwrite(direct, bytes, page, at) == page)
  MEASURE("read of 8 KiB, O_DIRECT", pread(direct, bytes, page, at) == page)
  MEASURE("stat", access(path, F_OK) == 0)
  MEASURE("lseek to the end", lseek(file, 0, SEEK_END) > 0)
  return 0;
}
