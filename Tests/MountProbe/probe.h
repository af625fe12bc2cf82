// A program that works in a directory as an engine would, for tests of the mount: a process of its own, since whoever
// serves a mount must not wait for it.
#ifndef BOREALIS_MOUNT_PROBE_H
#define BOREALIS_MOUNT_PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>

// Random numbers that depend on the seed alone.
typedef struct { uint64_t state; } probe_random;
uint64_t probe_next(probe_random *r);
uint64_t probe_below(probe_random *r, uint64_t bound);
void probe_fill(probe_random *r, uint8_t *bytes, size_t count);

uint32_t probe_sum(const uint8_t *bytes, size_t count);

// Prints what failed, with errno, and ends the process.
_Noreturn void probe_fail(const char *what, const char *file, int line);
#define CHECK(condition) do { if (!(condition)) probe_fail(#condition, __FILE__, __LINE__); } while (0)

// A random sequence of calls in the working directory, and what each gave, printed: two directories of which one is a
// mount must give the same lines.
int probe_sequence(uint64_t seed, int count);
// Prints everything below the working directory.
int probe_tree(void);
// Random changes of one file, each compared with the same in memory.
int probe_file(const char *path, uint64_t seed, int count);
// Several processes at once in the working directory.
int probe_crowd(int processes, uint64_t seed, int count);
// Directories with many entries.
int probe_many(int count);
// Checks one by one; each is named.
int probe_check(const char *name);
// Times of calls, in nanoseconds.
int probe_bench(const char *path, int count);

#endif
