/* What bench/instructions.py asks of valgrind's callgrind: to count from here to there, and what it has counted. */
#include <valgrind/callgrind.h>

int counts(void) { return RUNNING_ON_VALGRIND; }
void begin(void) { CALLGRIND_START_INSTRUMENTATION; }
void toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
void told(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
