#include "probe.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { record = 64 };

// One of several: works on names that all use, on a log that all append to, and on a file of its own.
static int member(int number, uint64_t seed, int count) {
  probe_random r = {seed * 1000 + number};
  int log = open("log", O_WRONLY | O_APPEND | O_CREAT, 0644);
  CHECK(log >= 0);
  for (int i = 0; i < count; i++) {
    char a[40], b[40], line[record * 2];
    snprintf(line, sizeof line, "%08d %08d %-45s\n", number, i, "x");
    CHECK(write(log, line, record) == record);
    snprintf(a, sizeof a, "shared/%d", (int)probe_below(&r, 8));
    snprintf(b, sizeof b, "shared/%d", (int)probe_below(&r, 8));
    struct stat s;
    int file;
    switch (probe_below(&r, 6)) {
    case 0:
      file = open(a, O_RDWR | O_CREAT, 0644);
      CHECK(file >= 0 || errno == EISDIR);
      if (file >= 0) {
        CHECK(write(file, line, record) == record && fstat(file, &s) == 0 && s.st_size >= record);
        close(file);
      }
      break;
    case 1: CHECK(unlink(a) == 0 || errno == ENOENT || errno == EISDIR); break;
    case 2:
      CHECK(rename(a, b) == 0 || errno == ENOENT || errno == EISDIR || errno == ENOTDIR || errno == ENOTEMPTY);
      break;
    case 3: CHECK(stat(a, &s) == 0 || errno == ENOENT); break;
    case 4: CHECK(link(a, b) == 0 || errno == ENOENT || errno == EEXIST || errno == EPERM); break;
    default:
      file = open(a, O_RDONLY);
      CHECK(file >= 0 || errno == ENOENT);
      if (file >= 0) {
        ssize_t got = read(file, line, record);
        CHECK(got == 0 || got == record || errno == EISDIR);
        close(file);
      }
    }
    if (i % 16 == 0) CHECK(fsync(log) == 0);
  }
  char own[40];
  snprintf(own, sizeof own, "own%d", number);
  return probe_file(own, seed + number, count / 4);
}

int probe_crowd(int processes, uint64_t seed, int count) {
  CHECK(mkdir("shared", 0755) == 0);
  for (int i = 0; i < processes; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      int code = member(i, seed, count);
      fflush(stdout);
      _exit(code);
    }
  }
  int failed = 0, status;
  while (wait(&status) > 0) failed += status != 0;
  CHECK(failed == 0);
  // Each record is there once, whole, and those of one process in their order.
  int *next = calloc(processes, sizeof *next), log = open("log", O_RDONLY);
  char line[record + 1] = {0};
  long records = 0;
  while (read(log, line, record) == record) {
    int who = atoi(line), which = atoi(line + 9);
    CHECK(who >= 0 && who < processes && which == next[who] && line[record - 1] == '\n');
    next[who]++;
    records++;
  }
  CHECK(records == (long)processes * count);
  printf("%d processes, %ld records\n", processes, records);
  return 0;
}

int probe_many(int count) {
  char path[40];
  CHECK(mkdir("many", 0755) == 0);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "many/f%07d", i);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    CHECK(file >= 0 && close(file) == 0);
  }
  uint8_t *seen = calloc(1, count);
  // The second time from what the kernel keeps, the third with every second one removed while it is listed.
  for (int round = 0; round < 3; round++) {
    memset(seen, 0, count);
    DIR *folder = opendir("many");
    CHECK(folder);
    int listed = 0;
    for (struct dirent *e; (e = readdir(folder));) {
      if (e->d_name[0] == '.') continue;
      int i = atoi(e->d_name + 1);
      CHECK(i >= 0 && i < count && !seen[i]);
      seen[i] = 1;
      listed++;
      if (round == 2 && i % 2) {
        snprintf(path, sizeof path, "many/%s", e->d_name);
        CHECK(unlink(path) == 0);
      }
    }
    closedir(folder);
    CHECK(listed == count);
  }
  int left = 0;
  DIR *folder = opendir("many");
  for (struct dirent *e; (e = readdir(folder));) left += e->d_name[0] != '.';
  closedir(folder);
  CHECK(left == (count + 1) / 2);
  printf("%d entries\n", count);
  return 0;
}
