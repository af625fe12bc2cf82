// SQLite, with what Swift cannot say: variadic functions and macros that cast.
#ifndef BOREALIS_SQLITE_H
#define BOREALIS_SQLITE_H

#include <sqlite3.h>

// What SQLite allocates for a file of our VFS: `object` is an unmanaged reference to a Swift object.
typedef struct borealis_sqlite_file {
  sqlite3_file base;
  void *object;
} borealis_sqlite_file;

static inline char *borealis_sqlite_text(const char *text) { return sqlite3_mprintf("%s", text); }

static inline void borealis_sqlite_log(int code, const char *message) { sqlite3_log(code, "%s", message); }

// URIs for everybody; refused once the library has begun.
static inline int borealis_sqlite_enable_uris(void) { return sqlite3_config(SQLITE_CONFIG_URI, 1); }

static inline int borealis_sqlite_bind_text(sqlite3_stmt *s, int i, const char *text, int count) {
  return sqlite3_bind_text(s, i, text, count, SQLITE_TRANSIENT);
}

static inline int borealis_sqlite_bind_blob(sqlite3_stmt *s, int i, const void *bytes, int count) {
  return count == 0 ? sqlite3_bind_zeroblob(s, i, 0) : sqlite3_bind_blob(s, i, bytes, count, SQLITE_TRANSIENT);
}

#endif
