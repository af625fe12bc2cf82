#include "probe.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { size_max = 3 << 20, write_max = 200000 };
static uint8_t *model, *buffer;
static size_t size;

static void grow(size_t to) { if (to > size) size = to; }
static void compare(int file, size_t offset, size_t count, const char *what) {
  memset(buffer, 0xEE, count);
  ssize_t got = pread(file, buffer, count, offset);
  size_t due = offset >= size ? 0 : size - offset < count ? size - offset : count;
  if (got != (ssize_t)due || memcmp(buffer, model + offset, due) != 0) {
    size_t at = 0;
    while (at < due && buffer[at] == model[offset + at]) at++;
    printf("%s at %zu count %zu: got %zd, due %zu, differs at %zu\n", what, offset, count, got, due, offset + at);
    CHECK(!"the file is not what it must be");
  }
}
static void compare_mapped(int file, size_t offset, size_t count) {
  if (offset >= size) return;
  if (count > size - offset) count = size - offset;
  if (count == 0) return;
  size_t begin = offset & ~(size_t)4095;
  uint8_t *map = mmap(NULL, offset + count - begin, PROT_READ, MAP_SHARED, file, begin);
  CHECK(map != MAP_FAILED);
  CHECK(memcmp(map + (offset - begin), model + offset, count) == 0);
  munmap(map, offset + count - begin);
}
static void write_mapped(probe_random *r, int file, size_t offset, size_t count) {
  if (offset >= size) return;
  if (count > size - offset) count = size - offset;
  if (count == 0) return;
  size_t begin = offset & ~(size_t)4095;
  uint8_t *map = mmap(NULL, offset + count - begin, PROT_READ | PROT_WRITE, MAP_SHARED, file, begin);
  CHECK(map != MAP_FAILED);
  probe_fill(r, model + offset, count);
  memcpy(map + (offset - begin), model + offset, count);
  // Without it the kernel writes the pages back when they are unmapped.
  if (probe_below(r, 2)) CHECK(msync(map, offset + count - begin, MS_SYNC) == 0);
  munmap(map, offset + count - begin);
}
// What is a hole must be zeros, and data must be found.
static void check_holes(int file) {
  off_t at = 0;
  while ((size_t)at < size) {
    off_t begin = lseek(file, at, SEEK_DATA);
    if (begin < 0) {
      CHECK(errno == ENXIO);
      begin = (off_t)size;
    }
    CHECK(begin >= at);
    for (off_t i = at; i < begin; i++) CHECK(model[i] == 0);
    if ((size_t)begin >= size) break;
    at = lseek(file, begin, SEEK_HOLE);
    CHECK(at > begin && (size_t)at <= size);
  }
  CHECK(lseek(file, (off_t)size, SEEK_DATA) == -1 && errno == ENXIO);
}

int probe_file(const char *path, uint64_t seed, int count) {
  probe_random r = {seed};
  model = calloc(1, size_max + write_max);
  buffer = aligned_alloc(4096, size_max + write_max + 4096);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  int direct = open(path, O_RDWR | O_DIRECT);
  CHECK(file >= 0 && direct >= 0);
  for (int i = 0; i < count; i++) {
    size_t offset = probe_below(&r, size_max), length = probe_below(&r, write_max) + 1;
    if (probe_below(&r, 2)) offset %= size + 1;
    if (probe_below(&r, 4) == 0) { offset &= ~(size_t)8191; length = 8192; }
    if (probe_below(&r, 50) == 0) { offset %= 1 << 20; length = size_max - (1 << 20); }  // several requests
    if (offset + length > size_max) length = size_max - offset;
    if (length == 0) continue;
    switch (probe_below(&r, 14)) {
    case 0: case 1: case 2:
      if (length <= write_max) probe_fill(&r, model + offset, length); else memset(model + offset, (int)i, length);
      memcpy(buffer, model + offset, length);
      CHECK(pwrite(file, buffer, length, offset) == (ssize_t)length);
      grow(offset + length);
      break;
    case 3: case 4: compare(file, offset, length, "read"); break;
    case 5: {
      size_t to = probe_below(&r, 4) ? offset : probe_below(&r, 2) * size;
      CHECK(ftruncate(file, to) == 0);
      if (to < size) memset(model + to, 0, size - to);
      size = to;
      break;
    }
    case 6:
      CHECK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0);
      if (offset < size) memset(model + offset, 0, size - offset < length ? size - offset : length);
      break;
    case 7:
      CHECK(fallocate(file, FALLOC_FL_ZERO_RANGE, offset, length) == 0);
      memset(model + offset, 0, length);
      grow(offset + length);
      break;
    case 8: CHECK(fallocate(file, 0, offset, length) == 0); grow(offset + length); break;
    case 9: compare_mapped(file, offset, length); break;
    case 10: write_mapped(&r, file, offset, length); break;
    case 11:
      offset &= ~(size_t)4095; length = (length + 4095) & ~(size_t)4095;
      if (offset + length > size_max) break;
      if (probe_below(&r, 2)) {
        compare(direct, offset, length, "direct read");
      } else {
        if (length > write_max) length = 8192;
        probe_fill(&r, model + offset, length);
        memcpy(buffer, model + offset, length);
        CHECK(pwrite(direct, buffer, length, offset) == (ssize_t)length);
        grow(offset + length);
      }
      break;
    case 12:
      if (probe_below(&r, 2)) { CHECK(fsync(file) == 0); } else { check_holes(file); }
      break;
    default: {
      close(file);
      file = open(path, O_RDWR);
      struct stat s;
      CHECK(file >= 0 && fstat(file, &s) == 0 && s.st_size == (off_t)size);
      compare(file, 0, size ? size : 1, "everything");
      break;
    }
    }
  }
  compare(file, 0, size ? size : 1, "in the end");
  printf("%d steps, %zu bytes, sum %u\n", count, size, probe_sum(model, size));
  return 0;
}
