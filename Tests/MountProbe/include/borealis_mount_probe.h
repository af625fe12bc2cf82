#ifndef BOREALIS_MOUNT_PROBE_H
#define BOREALIS_MOUNT_PROBE_H
int borealis_mount_probe_placeholder(void);
#endif
