#include "probe.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { slots = 6, bytes_max = 40000, offset_max = 300000 };
static uint8_t data[bytes_max];

static const char *error_name(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void choose(probe_random *r, char *path) {
  static const char *const folders[] = {"", "", "", "a/", "b/", "a/b/", "c/d/", "./", "a/../", "s/"};
  static const char *const names[] = {"a", "b", "c", "d", "e", "f", "s", "t"};
  strcpy(path, folders[probe_below(r, sizeof folders / sizeof *folders)]);
  uint64_t length = probe_below(r, 200);
  if (length < 2) {  // the longest name, and one byte more
    size_t at = strlen(path);
    memset(path + at, 'n', 255 + length);
    path[at + 255 + length] = 0;
  } else {
    strcat(path, names[probe_below(r, sizeof names / sizeof *names)]);
  }
}
static void print_stat(const char *what, const char *path, int result, const struct stat *s) {
  if (result < 0) {
    printf("%s %.20s %s\n", what, path, error_name(result));
    return;
  }
  // Sizes and links of directories are each file system's own affair.
  int is_directory = S_ISDIR(s->st_mode);
  printf("%s %.20s mode %o uid %u gid %u size %lld links %lu\n", what, path, s->st_mode, s->st_uid, s->st_gid,
         is_directory ? 0LL : (long long)s->st_size, is_directory ? 0UL : (unsigned long)s->st_nlink);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// Prints the names in a directory in their order, with the types.
static void print_directory(const char *path, int depth) {
  DIR *folder = opendir(path);
  if (!folder) {
    printf("list %.20s %s\n", path, error_name(-1));
    return;
  }
  char *names[4096];
  size_t count = 0;
  for (struct dirent *e; (e = readdir(folder)) && count < 4096;) {
    char text[300];
    snprintf(text, sizeof text, "%s %d", e->d_name, e->d_type);
    names[count++] = strdup(text);
  }
  closedir(folder);
  qsort(names, count, sizeof *names, compare_names);
  printf("list %.40s:", path);
  for (size_t i = 0; i < count; i++) printf(" %s", names[i]);
  printf("\n");
  for (size_t i = 0; i < count; i++) {
    *strrchr(names[i], ' ') = 0;
    if (depth > 0 && strcmp(names[i], ".") && strcmp(names[i], "..")) {
      char below[4096];
      snprintf(below, sizeof below, "%s/%s", path, names[i]);
      struct stat s;
      int result = lstat(below, &s);
      print_stat("  lstat", names[i], result, &s);
      if (result == 0 && S_ISDIR(s.st_mode)) print_directory(below, depth - 1);
      int file = result == 0 && S_ISREG(s.st_mode) ? open(below, O_RDONLY) : -1;
      uint32_t sum = 0;
      for (ssize_t got; file >= 0 && (got = read(file, data, sizeof data)) > 0;) sum = sum * 31 + probe_sum(data, got);
      if (file >= 0) {
        printf("  sum %08x\n", sum);
        close(file);
      }
    }
    free(names[i]);
  }
}
int probe_tree(void) {
  print_directory(".", 20);
  return 0;
}

static int fallocate_modes(probe_random *r) {
  static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
  return modes[probe_below(r, 6)];
}
static int open_flags(probe_random *r) {
  static const int flags[] = {O_RDWR | O_CREAT, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR, O_RDONLY,
                              O_RDWR | O_TRUNC, O_RDWR | O_APPEND | O_CREAT, O_RDWR | O_CREAT | O_TRUNC,
                              O_RDONLY | O_DIRECTORY, O_RDONLY | O_NOFOLLOW, O_RDWR | O_CREAT | O_DSYNC,
                              O_WRONLY | O_CREAT, O_PATH};
  return flags[probe_below(r, sizeof flags / sizeof *flags)];
}

// One call with paths.
static void call_path(probe_random *r, uint64_t which) {
  char path[600], other[600];
  choose(r, path);
  choose(r, other);
  struct stat s;
  char target[600];
  switch (which) {
  case 0: printf("mkdir %.20s %s\n", path, error_name(mkdir(path, 0700 + probe_below(r, 64)))); break;
  case 1: printf("rmdir %.20s %s\n", path, error_name(rmdir(path))); break;
  case 2: printf("unlink %.20s %s\n", path, error_name(unlink(path))); break;
  case 3: printf("rename %.20s %.20s %s\n", path, other, error_name(rename(path, other))); break;
  case 4: {
    unsigned flags = probe_below(r, 4);
    printf("rename %.20s %.20s %u %s\n", path, other, flags, error_name(renameat2(AT_FDCWD, path, AT_FDCWD, other, flags)));
    break;
  }
  case 5: printf("link %.20s %.20s %s\n", path, other, error_name(link(path, other))); break;
  case 6: printf("symlink %.20s %.20s %s\n", path, other, error_name(symlink(path, other))); break;
  case 7: {
    ssize_t count = readlink(path, target, sizeof target);
    printf("readlink %.20s %.*s %s\n", path, (int)(count < 0 ? 0 : count > 20 ? 20 : count), target, error_name(count));
    break;
  }
  case 8: print_stat("lstat", path, lstat(path, &s), &s); break;
  case 9: print_stat("stat", path, stat(path, &s), &s); break;
  case 10: print_directory(path, 0); break;
  case 11: printf("chmod %.20s %s\n", path, error_name(chmod(path, probe_below(r, 01000) | 0600))); break;
  case 12: printf("chown %.20s %s\n", path, error_name(lchown(path, probe_below(r, 3), probe_below(r, 3)))); break;
  case 13: printf("truncate %.20s %s\n", path, error_name(truncate(path, probe_below(r, offset_max)))); break;
  case 14: {
    struct timespec times[2] = {{probe_below(r, 1u << 31), 5}, {probe_below(r, 1u << 31), probe_below(r, 1000000000)}};
    int result = utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
    long seconds = result == 0 && lstat(path, &s) == 0 ? s.st_mtim.tv_sec : 0;
    printf("times %.20s %ld %ld %s\n", path, seconds, seconds ? s.st_mtim.tv_nsec : 0, error_name(result));
    break;
  }
  case 15: printf("access %.20s %s\n", path, error_name(access(path, probe_below(r, 8)))); break;
  default: printf("mknod %.20s %s\n", path, error_name(mknod(path, S_IFREG | 0640, 0))); break;
  }
}
// One call with an open file.
static void call_file(probe_random *r, int *file, uint64_t which) {
  off_t offset = probe_below(r, offset_max);
  size_t count = probe_below(r, bytes_max);
  if (probe_below(r, 3) == 0) { offset &= ~8191; count = 8192; }
  struct stat s;
  char path[600];
  switch (which) {
  case 0: case 1:
    if (*file >= 0) close(*file);
    choose(r, path);
    *file = open(path, open_flags(r), 0644);
    printf("open %.20s %s\n", path, error_name(*file));
    break;
  case 2: printf("close %s\n", error_name(close(*file))); *file = -1; break;
  case 3: case 4:
    probe_fill(r, data, count);
    ssize_t wrote = pwrite(*file, data, count, offset);
    printf("pwrite %zd %s\n", wrote, error_name(wrote));
    break;
  case 5:
    probe_fill(r, data, count);
    wrote = write(*file, data, count);
    printf("write %zd %s\n", wrote, error_name(wrote));
    break;
  case 6: case 7: {
    ssize_t got = pread(*file, data, count, offset);
    printf("pread %zd %08x %s\n", got, got > 0 ? probe_sum(data, got) : 0, error_name(got));
    break;
  }
  case 8: printf("ftruncate %s\n", error_name(ftruncate(*file, offset))); break;
  case 9: printf("fsync %s\n", error_name(probe_below(r, 2) ? fsync(*file) : fdatasync(*file))); break;
  case 10: print_stat("fstat", "", fstat(*file, &s), &s); break;
  case 11: {
    off_t end = lseek(*file, 0, SEEK_END);
    // Of a directory it is the file system's own affair.
    printf("seek %lld %s\n", fstat(*file, &s) == 0 && S_ISREG(s.st_mode) ? (long long)end : 0LL, error_name(end));
    break;
  }
  case 12: {
    int mode = fallocate_modes(r);
    printf("fallocate %d %s\n", mode, error_name(fallocate(*file, mode, offset, count + 1)));
    break;
  }
  case 13: printf("fchmod %s\n", error_name(fchmod(*file, 0600 + probe_below(r, 64)))); break;
  default: {
    ssize_t got = read(*file, data, count);
    int is_file = 1, code = errno;
    if (got < 0) is_file = fstat(*file, &s) != 0 || S_ISREG(s.st_mode);
    errno = code;
    // Of a directory it fails in one way or another, by where its end is.
    printf("read %zd %08x %s\n", got, got > 0 ? probe_sum(data, got) : 0, is_file ? error_name(got) : "");
    break;
  }
  }
}

int probe_sequence(uint64_t seed, int count) {
  probe_random r = {seed};
  int files[slots];
  for (int i = 0; i < slots; i++) files[i] = -1;
  umask(022);
  for (int i = 0; i < count; i++) {
    printf("%d ", i);
    if (probe_below(&r, 2)) {
      call_path(&r, probe_below(&r, 17));
    } else {
      int slot = (int)probe_below(&r, slots);
      uint64_t which = probe_below(&r, 15);
      call_file(&r, &files[slot], files[slot] < 0 ? which % 2 : which);
    }
  }
  return probe_tree();
}
