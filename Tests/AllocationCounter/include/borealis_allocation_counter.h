#ifndef BOREALIS_ALLOCATION_COUNTER_H
#define BOREALIS_ALLOCATION_COUNTER_H
#include <stdint.h>

/// Heap allocations of the whole process since it began, by all threads. 0 for ever where they cannot be counted.
uint64_t borealis_allocations(void);

#endif
