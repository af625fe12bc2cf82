#include "borealis_mount_probe.h"
int borealis_mount_probe_placeholder(void) { return 0; }
