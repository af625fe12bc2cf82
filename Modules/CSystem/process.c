#define _GNU_SOURCE
#include "borealis_process.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

int borealis_pipe(int ends[2]) {
#if defined(__linux__)
  return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
#else
  if (pipe(ends) != 0) return errno;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  return 0;
#endif
}

// Everything from `fork` to `execve` is async-signal-safe: other threads of the parent may hold any lock.

static void close_others(int kept) {
  // A descriptor that the child inherits would hold a mount, a socket or a pipe open for as long as the server runs.
#if defined(__linux__) && defined(SYS_close_range)
  if (syscall(SYS_close_range, 3u, (unsigned)kept - 1, 0u) == 0 &&
      syscall(SYS_close_range, (unsigned)kept + 1, ~0u, 0u) == 0)
    return;
#endif
  for (int fd = 3; fd < 65536; fd++)
    if (fd != kept) close(fd);
}

// Puts the three descriptors at 0, 1 and 2, whatever their numbers are.
static int place(const borealis_child *child) {
  int given[3] = {child->input, child->output, child->error};
  for (int i = 0; i < 3; i++) {
    given[i] = fcntl(given[i], F_DUPFD, 3);
    if (given[i] < 0) return -1;
  }
  for (int i = 0; i < 3; i++)
    if (dup2(given[i], i) < 0) return -1;
  return 0;
}

static void run_child(const borealis_child *child, pid_t parent, int report) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigemptyset(&standard.sa_mask);
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (setsid() < 0) goto failed;
  int moved = fcntl(report, F_DUPFD_CLOEXEC, 16);
  if (moved < 0) goto failed;
  report = moved;
  if (place(child) != 0) goto failed;
  if (child->changes_user) {
    // On Linux these calls concern the calling thread's process alone: the child has one thread.
    if (setgroups(0, NULL) != 0 || setgid(child->group) != 0 || setuid(child->user) != 0) goto failed;
  }
  if (chdir(child->directory) != 0) goto failed;
#if defined(__linux__)
  if (child->dies_with_thread) {
    // After setuid, which clears it.
    if (prctl(PR_SET_PDEATHSIG, child->dies_with_thread) != 0) goto failed;
    // The parent may have died before: then nobody will send the signal.
    if (getppid() != parent) _exit(127);
  }
#endif
  close_others(report);
  execve(child->path, child->arguments, child->environment);
failed:;
  int code = errno;
  (void)!write(report, &code, sizeof code);
  _exit(127);
}

int borealis_spawn(const borealis_child *child, pid_t *pid) {
  int report[2];
  int code = borealis_pipe(report);
  if (code != 0) return code;
  // No handler of this process may run in the child before it has put its own in place.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t parent = getpid();
  pid_t started = fork();
  if (started == 0) {
    close(report[0]);
    run_child(child, parent, report[1]);
  }
  code = started < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(report[1]);
  if (started > 0) {
    ssize_t count;
    do { count = read(report[0], &code, sizeof code); } while (count < 0 && errno == EINTR);
    if (count == (ssize_t)sizeof code) {
      while (waitpid(started, NULL, 0) < 0 && errno == EINTR) {}
    } else {
      code = 0;
      *pid = started;
    }
  }
  close(report[0]);
  return code;
}

int borealis_await_end(pid_t pid) {
  siginfo_t info;
  while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

int borealis_reap(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

int borealis_remove_shared_memory(int segment, pid_t creator) {
  struct shmid_ds state;
  if (shmctl(segment, IPC_STAT, &state) != 0) return errno;
  if (state.shm_cpid != creator) return EPERM;
  return shmctl(segment, IPC_RMID, NULL) == 0 ? 0 : errno;
}
