// libfuse3's low-level API, with what Swift cannot say.
#ifndef BOREALIS_FUSE_H
#define BOREALIS_FUSE_H

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/fs.h>

// statvfs is a function and a structure; the structure's name is needed.
typedef struct statvfs borealis_statvfs;
typedef struct stat borealis_stat;

#endif
