#include "probe.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t probe_next(probe_random *r) {
  uint64_t z = r->state += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}
uint64_t probe_below(probe_random *r, uint64_t bound) { return probe_next(r) % bound; }
void probe_fill(probe_random *r, uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    uint64_t n = probe_next(r);
    memcpy(bytes + i, &n, count - i < 8 ? count - i : 8);
  }
}
uint32_t probe_sum(const uint8_t *bytes, size_t count) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < count; i++) h = (h ^ bytes[i]) * 16777619u;
  return h;
}
void probe_fail(const char *what, const char *file, int line) {
  int code = errno;
  const char *name = strrchr(file, '/');
  printf("FAILED: %s (%s:%d, errno %s)\n", what, name ? name + 1 : file, line, strerrorname_np(code));
  fflush(stdout);
  _exit(1);
}

static uint64_t number(const char *text) { return strtoull(text, NULL, 10); }

int main(int argc, char **argv) {
  if (argc >= 3) CHECK(chdir(argv[1]) == 0);
  if (argc < 3) {
    fprintf(stderr, "probe DIRECTORY sequence|tree|file|crowd|many|check|bench ...\n");
    return 2;
  }
  const char *what = argv[2];
  if (!strcmp(what, "sequence") && argc == 5) return probe_sequence(number(argv[3]), (int)number(argv[4]));
  if (!strcmp(what, "tree") && argc == 3) return probe_tree();
  if (!strcmp(what, "file") && argc == 6) return probe_file(argv[3], number(argv[4]), (int)number(argv[5]));
  if (!strcmp(what, "crowd") && argc == 6) return probe_crowd((int)number(argv[3]), number(argv[4]), (int)number(argv[5]));
  if (!strcmp(what, "many") && argc == 4) return probe_many((int)number(argv[3]));
  if (!strcmp(what, "check") && argc == 4) return probe_check(argv[3]);
  if (!strcmp(what, "bench") && argc == 5) return probe_bench(argv[3], (int)number(argv[4]));
  fprintf(stderr, "probe: do not understand %s\n", what);
  return 2;
}
