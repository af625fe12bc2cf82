#ifndef BOREALIS_PROCESS_H
#define BOREALIS_PROCESS_H
#include <stdint.h>
#include <sys/types.h>

/// How a child process is started.
typedef struct borealis_child {
  /// The program: an absolute path.
  const char *path;
  /// Its arguments, the program's name first; ended by a null pointer.
  char *const *arguments;
  /// Its whole environment, as `NAME=value`; ended by a null pointer.
  char *const *environment;
  /// Its working directory.
  const char *directory;
  /// Standard input, output and error: descriptors of this process. All others are closed in the child.
  int input, output, error;
  /// The user and group to become, without supplementary groups; taken only where `changes_user` is not 0.
  int changes_user;
  uid_t user;
  gid_t group;
  /// Not 0: the signal that the child is sent when the thread that started it ends, and so when this process dies (Linux
  /// only).
  int dies_with_thread;
} borealis_child;

/// Starts a program as the first of a session of its own. 0 and its id in `pid`; else an errno value: whatever failed,
/// up to `execve`, no child is left.
int borealis_spawn(const borealis_child *child, pid_t *pid);

/// Blocks until a child has ended, and leaves it as it is: its id stays taken until it is reaped. 0, or an errno value.
int borealis_await_end(pid_t pid);

/// Takes an ended child out of the table of processes. Its exit code, or 256 plus the signal that ended it; -1 where
/// there is none.
int borealis_reap(pid_t pid);

/// Removes a System V shared memory segment that a killed process left behind, if `creator` made it; who is still attached
/// keeps it until it ends. 0, or an errno value.
int borealis_remove_shared_memory(int segment, pid_t creator);

/// A pipe whose ends are not inherited by programs. 0, or an errno value.
int borealis_pipe(int ends[2]);

#endif
