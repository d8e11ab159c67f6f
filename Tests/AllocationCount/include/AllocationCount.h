#ifndef ROOST_ALLOCATION_COUNT_H
#define ROOST_ALLOCATION_COUNT_H

/// Starts to count what this thread allocates from now on, in whatever library.
void allocation_count_begin(void);

/// How many calls of malloc and its relatives this thread has made since.
long allocation_count_end(void);

#endif
