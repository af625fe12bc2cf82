#include "probe.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static int entries(const char *path) {
  DIR *folder = opendir(path);
  CHECK(folder);
  int count = 0;
  for (struct dirent *e; (e = readdir(folder));) count += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  closedir(folder);
  return count;
}
static int make(const char *path, const char *text) {
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(file >= 0);
  CHECK(write(file, text, strlen(text)) == (ssize_t)strlen(text));
  return file;
}
static void expect(int file, const char *text) {
  char got[100] = {0};
  CHECK(pread(file, got, sizeof got - 1, 0) == (ssize_t)strlen(text));
  CHECK(strcmp(got, text) == 0);
}

static void unlinked(void) {
  CHECK(mkdir("u", 0755) == 0);
  int file = make("u/open", "before");
  struct stat s;
  CHECK(unlink("u/open") == 0);
  CHECK(entries("u") == 0);  // nothing like .fuse_hidden
  expect(file, "before");
  CHECK(pwrite(file, "after", 5, 3) == 5);
  CHECK(fstat(file, &s) == 0 && s.st_nlink == 0 && s.st_size == 8);
  CHECK(ftruncate(file, 4) == 0 && fchmod(file, 0600) == 0 && fsync(file) == 0);
  CHECK(fstat(file, &s) == 0 && s.st_size == 4 && (s.st_mode & 0777) == 0600);
  expect(file, "befa");
  int again = make("u/open", "another");
  expect(file, "befa");
  CHECK(close(file) == 0 && close(again) == 0 && unlink("u/open") == 0 && rmdir("u") == 0);
}
static void removed_directory(void) {
  CHECK(mkdir("r", 0755) == 0);
  int folder = open("r", O_RDONLY | O_DIRECTORY);
  CHECK(folder >= 0 && rmdir("r") == 0);
  struct stat s;
  CHECK(fstat(folder, &s) == 0 && S_ISDIR(s.st_mode) && s.st_nlink == 0);
  CHECK(openat(folder, "x", O_RDWR | O_CREAT, 0644) == -1 && errno == ENOENT);
  CHECK(fsync(folder) == 0);
  DIR *listing = fdopendir(folder);
  CHECK(listing);
  struct dirent *e;
  while ((e = readdir(listing))) CHECK(e->d_name[0] == '.');
  closedir(listing);
}
static void renamed_over(void) {
  int old = make("target", "old"), new = make("source", "new one");
  CHECK(fsync(new) == 0 && rename("source", "target") == 0);
  int folder = open(".", O_RDONLY | O_DIRECTORY);
  CHECK(folder >= 0 && fsync(folder) == 0 && fdatasync(folder) == 0);
  expect(old, "old");
  struct stat s;
  CHECK(fstat(old, &s) == 0 && s.st_nlink == 0);
  int found = open("target", O_RDONLY);
  expect(found, "new one");
  CHECK(access("source", F_OK) == -1 && errno == ENOENT);
  CHECK(unlink("target") == 0);
  close(old), close(new), close(found), close(folder);
}
static int try_lock(int file, short type, off_t begin) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = begin, .l_len = 10};
  return fcntl(file, F_SETLK, &lock);
}
static void locks(void) {
  int file = make("lock", "0123456789");
  int pipes[2];
  CHECK(pipe(pipes) == 0);
  pid_t child = fork();
  if (child == 0) {
    int own = open("lock", O_RDWR), whole = open("lock", O_RDWR);
    CHECK(try_lock(own, F_WRLCK, 0) == 0 && flock(whole, LOCK_EX) == 0);
    CHECK(write(pipes[1], "x", 1) == 1);
    pause();
    _exit(0);
  }
  char byte;
  CHECK(child > 0 && read(pipes[0], &byte, 1) == 1);
  CHECK(try_lock(file, F_WRLCK, 5) == -1 && (errno == EAGAIN || errno == EACCES));
  CHECK(try_lock(file, F_RDLCK, 20) == 0);
  CHECK(flock(file, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
  struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  CHECK(fcntl(file, F_GETLK, &asked) == 0 && asked.l_type == F_WRLCK && asked.l_pid == child);
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
  CHECK(try_lock(file, F_WRLCK, 0) == 0);
  CHECK(flock(file, LOCK_EX | LOCK_NB) == 0);
  CHECK(close(file) == 0 && unlink("lock") == 0);
}
static void direct(void) {
  enum { count = 1 << 20 };
  uint8_t *a = aligned_alloc(4096, count), *b = aligned_alloc(4096, count);
  probe_random r = {7};
  probe_fill(&r, a, count);
  int cached = open("direct", O_RDWR | O_CREAT | O_TRUNC, 0644), file = open("direct", O_RDWR | O_DIRECT);
  CHECK(cached >= 0 && file >= 0);
  CHECK(pwrite(file, a, count, 0) == count);
  CHECK(pread(cached, b, count, 0) == count && memcmp(a, b, count) == 0);
  probe_fill(&r, a, 8192);
  CHECK(pwrite(cached, a, 8192, 8192) == 8192);
  CHECK(pread(file, b, 8192, 8192) == 8192 && memcmp(a, b, 8192) == 0);
  probe_fill(&r, a, 8192);
  CHECK(pwrite(file, a, 8192, 8192) == 8192);
  CHECK(pread(cached, b, 8192, 8192) == 8192 && memcmp(a, b, 8192) == 0);
  CHECK(pread(file, b, 8192, count) == 0);
  CHECK(unlink("direct") == 0);
}
static void mapped(void) {
  int file = make("mapped", "");
  uint8_t page[8192];
  memset(page, 1, sizeof page);
  CHECK(pwrite(file, page, sizeof page, 0) == sizeof page);
  const volatile uint8_t *map = mmap(NULL, sizeof page, PROT_READ, MAP_SHARED, file, 0);
  CHECK(map != MAP_FAILED && map[5000] == 1);
  memset(page, 2, sizeof page);
  CHECK(pwrite(file, page, sizeof page, 0) == sizeof page);
  CHECK(map[5000] == 2);
  uint8_t *own = mmap(NULL, sizeof page, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  CHECK(own != MAP_FAILED);
  own[0] = 9;
  CHECK(map[0] == 2 && close(file) == 0 && unlink("mapped") == 0 && map[0] == 2);
}
static void limits(void) {
  struct statvfs v;
  CHECK(statvfs(".", &v) == 0 && v.f_bavail > 0 && v.f_blocks >= v.f_bavail && v.f_namemax == 255);
  int file = make("limits", "x");
  off_t most = (off_t)1 << 44;
  CHECK(pwrite(file, "y", 1, most - 1) == 1 && lseek(file, 0, SEEK_END) == most);
  CHECK(pwrite(file, "y", 1, most) == -1 && errno == EFBIG);
  CHECK(ftruncate(file, most + 1) == -1 && errno == EFBIG);
  CHECK(lseek(file, 1 << 20, SEEK_DATA) > 1 << 20);
  CHECK(fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 8192) == -1 && errno == EOPNOTSUPP);
  CHECK(mkfifo("fifo", 0600) == -1 && errno == EPERM);
  CHECK(setxattr("limits", "user.a", "b", 1, 0) == -1 && errno == EOPNOTSUPP);
  CHECK(close(file) == 0 && unlink("limits") == 0);
  const char *odd[] = {"\xff\xfe", "line\nbreak", " ", "a\\040b", "\xc3\xa4"};
  for (int i = 0; i < 5; i++) { close(make(odd[i], "x")); CHECK(unlink(odd[i]) == 0); }
}
static void groups(void) {
  CHECK(mkdir("group", 0755) == 0);
  if (geteuid() == 0) {
    struct stat s;
    CHECK(chown("group", 5, 7) == 0 && chmod("group", 02775) == 0);
    close(make("group/file", "x"));
    CHECK(stat("group/file", &s) == 0 && s.st_gid == 7 && s.st_uid == 0);
    CHECK(mkdir("group/below", 0755) == 0 && stat("group/below", &s) == 0 && s.st_gid == 7 && s.st_mode & S_ISGID);
    CHECK(chmod("group/file", 04755) == 0 && chown("group/file", 8, 8) == 0);
    CHECK(stat("group/file", &s) == 0 && !(s.st_mode & S_ISUID));
    CHECK(unlink("group/file") == 0 && rmdir("group/below") == 0);
  }
  CHECK(rmdir("group") == 0);
}
static void times(void) {
  struct stat a, b;
  int file = make("times", "x");
  CHECK(fstat(file, &a) == 0);
  usleep(20000);
  CHECK(pwrite(file, "y", 1, 0) == 1 && fstat(file, &b) == 0);
  CHECK(b.st_mtim.tv_sec > a.st_mtim.tv_sec || b.st_mtim.tv_nsec > a.st_mtim.tv_nsec);
  struct timespec set[2] = {{-100, 5}, {-2, 999999999}};
  CHECK(futimens(file, set) == 0 && fstat(file, &b) == 0);
  CHECK(b.st_mtim.tv_sec == -2 && b.st_mtim.tv_nsec == 999999999 && b.st_atim.tv_sec == -100);
  CHECK(close(file) == 0 && stat("times", &b) == 0 && b.st_mtim.tv_sec == -2 && unlink("times") == 0);
}
// Pages from a buffer that begins anywhere; the caller counts the requests.
static void pages(void) {
  enum { count = 1000, size = 8192 };
  uint8_t *bytes = calloc(3, size);
  int file = open("pages", O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (int i = 0; i < count; i++) CHECK(pwrite(file, bytes + i % size, size, (off_t)i * size) == size);
  for (int i = 0; i < count; i++) CHECK(pwrite(file, bytes + i % size, size, (off_t)(i * 7 % count) * size) == size);
  CHECK(close(file) == 0 && unlink("pages") == 0);
}
static void read_only(void) {
  struct stat s;
  CHECK(open("new", O_RDWR | O_CREAT, 0644) == -1 && errno == EROFS);
  CHECK(mkdir("new", 0755) == -1 && errno == EROFS);
  CHECK(stat(".", &s) == 0 && entries(".") >= 0);
}
// Waits until it may go on.
static void wait_for_word(const char *said) {
  char byte;
  printf("%s\n", said);
  fflush(stdout);
  while (read(0, &byte, 1) < 0) {}
}
// Nothing may succeed that asks the volume: the working directory has a file "known".
static void fenced(void) {
  int known = open("known", O_RDWR);
  CHECK(known >= 0);
  wait_for_word("open");
  // The call that learns of it.
  int result = pwrite(known, "x", 1, 0) == 1 ? fsync(known) : -1;
  CHECK(result == -1 && errno == EIO);
  char byte;
  CHECK(pwrite(known, "x", 1, 0) == -1 && errno == EIO);
  CHECK(pread(known, &byte, 1, 100) == -1 && errno == EIO);
  CHECK(ftruncate(known, 0) == -1 && errno == EIO);
  CHECK(fsync(known) == -1 && errno == EIO);
  CHECK(open("new", O_RDWR | O_CREAT, 0644) == -1 && errno == EIO);
  CHECK(mkdir("new", 0755) == -1 && errno == EIO);
  CHECK(open("known", O_RDWR) == -1 && errno == EIO);
  CHECK(unlink("known") == -1 && errno == EIO);
  CHECK(rename("known", "other") == -1 && errno == EIO);
  CHECK(truncate("known", 0) == -1 && errno == EIO);
  int folder = open(".", O_RDONLY | O_DIRECTORY);
  CHECK((folder < 0 || fsync(folder) == -1) && errno == EIO);
}
// Ends where fsync does; the caller has seen to it that it waits.
static void sync_once(void) {
  int file = make("synced", "x");
  printf("syncing\n");
  fflush(stdout);
  int result = fsync(file);
  printf("fsync: %s\n", result == 0 ? "ok" : strerrorname_np(errno));
}
static void hold(void) {
  int file = make("held", "x");
  wait_for_word("open");
  printf("write: %s\n", pwrite(file, "y", 1, 0) == 1 ? "ok" : strerrorname_np(errno));
}
static void mark(void) { CHECK(close(make("mark", "x")) == 0); }
static void synced_mark(void) {
  int file = make("mark", "durable");
  int folder = open(".", O_RDONLY | O_DIRECTORY);
  CHECK(fsync(file) == 0 && fsync(folder) == 0);
  expect(file, "durable");
}
static void look(void) {
  int file = open("mark", O_RDONLY);
  CHECK(file >= 0);
  expect(file, "durable");
}

static const struct { const char *name; void (*run)(void); } all[] = {
    {"unlinked", unlinked}, {"removed-directory", removed_directory}, {"renamed-over", renamed_over},
    {"locks", locks}, {"direct", direct}, {"mapped", mapped}, {"limits", limits}, {"groups", groups},
    {"times", times}, {"pages", pages}, {"read-only", read_only}, {"fenced", fenced}, {"sync", sync_once},
    {"hold", hold}, {"mark", mark}, {"synced-mark", synced_mark}, {"look", look}};

int probe_check(const char *name) {
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, name)) continue;
    all[i].run();
    printf("%s: done\n", name);
    return 0;
  }
  printf("no check is called %s\n", name);
  return 2;
}
