#define _GNU_SOURCE
#include "borealis_system.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

static uint32_t table[8][256];
static int hardware;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare_zeros(uint32_t zeros[4][256], size_t length);
// Effects of one part's length of zeros.
static uint32_t long_zeros[4][256], short_zeros[4][256];
enum { long_part = 1024, short_part = 128 };

static void prepare(void) {
  prepare_zeros(long_zeros, long_part);
  prepare_zeros(short_zeros, short_part);
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = (c >> 1) ^ (0x82F63B78u & (0u - (c & 1u)));
    table[0][i] = c;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int t = 1; t < 8; t++) table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 0xff];
#if defined(__x86_64__)
  hardware = __builtin_cpu_supports("sse4.2") != 0;
#elif defined(__aarch64__) && defined(__linux__)
  hardware = (getauxval(AT_HWCAP) & (1 << 7)) != 0;
#elif defined(__aarch64__)
  hardware = 1;
#endif
}

uint32_t borealis_crc32c_table(uint32_t seed, const void *bytes, size_t length) {
  pthread_once(&once, prepare);
  const uint8_t *p = bytes;
  uint32_t c = ~seed;
  while (length >= 8) {
    uint32_t lo, hi;
    memcpy(&lo, p, 4);
    memcpy(&hi, p + 4, 4);
    lo ^= c;
    c = table[7][lo & 0xff] ^ table[6][(lo >> 8) & 0xff] ^ table[5][(lo >> 16) & 0xff] ^ table[4][lo >> 24] ^
        table[3][hi & 0xff] ^ table[2][(hi >> 8) & 0xff] ^ table[1][(hi >> 16) & 0xff] ^ table[0][hi >> 24];
    p += 8;
    length -= 8;
  }
  while (length--) c = (c >> 8) ^ table[0][(c ^ *p++) & 0xff];
  return ~c;
}

// The instruction takes three cycles and can begin anew in each: three parts of a block side by side take a third of the
// time. The parts are put together by what so many bytes of zeros do to a checksum, which is linear (M. Adler, crc32c.c).
static uint32_t times(const uint32_t *matrix, uint32_t vector) {
  uint32_t sum = 0;
  for (; vector; vector >>= 1, matrix++)
    if (vector & 1) sum ^= *matrix;
  return sum;
}
// Tables of the effect of `length` bytes of zeros; `length` is a power of two.
static void prepare_zeros(uint32_t zeros[4][256], size_t length) {
  uint32_t matrix[32], square[32];
  // One bit of zeros, squared until it is as many as there are in `length` bytes.
  matrix[0] = 0x82F63B78u;
  for (int i = 1; i < 32; i++) matrix[i] = 1u << (i - 1);
  for (size_t bits = 1; bits < length * 8; bits *= 2) {
    for (int i = 0; i < 32; i++) square[i] = times(matrix, matrix[i]);
    memcpy(matrix, square, sizeof matrix);
  }
  for (uint32_t i = 0; i < 256; i++)
    for (int t = 0; t < 4; t++) zeros[t][i] = times(matrix, i << (8 * t));
}
static inline uint32_t shifted(uint32_t zeros[4][256], uint32_t c) {
  return zeros[0][c & 0xff] ^ zeros[1][(c >> 8) & 0xff] ^ zeros[2][(c >> 16) & 0xff] ^ zeros[3][c >> 24];
}

#if defined(__x86_64__)
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_8(c, v) ((uint32_t)_mm_crc32_u64((c), (v)))
#define CRC_1(c, v) _mm_crc32_u8((c), (v))
#elif defined(__aarch64__)
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_8(c, v) __crc32cd((c), (v))
#define CRC_1(c, v) __crc32cb((c), (v))
#endif

#if defined(CRC_TARGET)
CRC_TARGET static inline uint64_t word(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}
CRC_TARGET static inline uint32_t three(uint32_t c, const uint8_t *p, size_t part, uint32_t zeros[4][256]) {
  uint32_t c1 = 0, c2 = 0;
  for (size_t i = 0; i < part; i += 8) {
    c = CRC_8(c, word(p + i));
    c1 = CRC_8(c1, word(p + i + part));
    c2 = CRC_8(c2, word(p + i + 2 * part));
  }
  return shifted(zeros, shifted(zeros, c) ^ c1) ^ c2;
}
CRC_TARGET static uint32_t crc_hardware(uint32_t seed, const void *bytes, size_t length) {
  const uint8_t *p = bytes;
  uint32_t c = ~seed;
  for (; length >= 3 * long_part; p += 3 * long_part, length -= 3 * long_part) c = three(c, p, long_part, long_zeros);
  for (; length >= 3 * short_part; p += 3 * short_part, length -= 3 * short_part)
    c = three(c, p, short_part, short_zeros);
  for (; length >= 8; p += 8, length -= 8) c = CRC_8(c, word(p));
  while (length--) c = CRC_1(c, *p++);
  return ~c;
}
#else
static uint32_t crc_hardware(uint32_t seed, const void *bytes, size_t length) {
  return borealis_crc32c_table(seed, bytes, length);
}
#endif

uint32_t borealis_crc32c(uint32_t seed, const void *bytes, size_t length) {
  pthread_once(&once, prepare);
  return hardware ? crc_hardware(seed, bytes, length) : borealis_crc32c_table(seed, bytes, length);
}

int borealis_crc32c_is_hardware(void) {
  pthread_once(&once, prepare);
  return hardware;
}

int borealis_punch_hole(int descriptor, int64_t offset, int64_t length) {
#if defined(__linux__)
  return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
#else
  (void)descriptor; (void)offset; (void)length;
  errno = ENOTSUP;
  return -1;
#endif
}

int borealis_data_sync(int descriptor) {
#if defined(__linux__)
  return fdatasync(descriptor);
#elif defined(__APPLE__)
  return fcntl(descriptor, F_FULLFSYNC);
#else
  return fsync(descriptor);
#endif
}

int borealis_preallocate(int descriptor, int64_t offset, int64_t length) {
#if defined(__linux__)
  return posix_fallocate(descriptor, offset, length);
#else
  (void)descriptor; (void)offset; (void)length;
  return 0;
#endif
}

uint64_t borealis_resident_bytes(void) {
#if defined(__linux__)
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f) return 0;
  unsigned long long size = 0, resident = 0;
  int n = fscanf(f, "%llu %llu", &size, &resident);
  fclose(f);
  return n == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
#else
  return 0;
#endif
}

int borealis_schedule_as_batch(void) {
#ifdef __linux__
  struct sched_param parameters = {.sched_priority = 0};
  return pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters);
#else
  return ENOTSUP;
#endif
}
