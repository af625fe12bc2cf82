// libpq, PostgreSQL's own client library.
#ifndef BOREALIS_PQ_H
#define BOREALIS_PQ_H

#include <libpq-fe.h>

// A macro of <libpq-fe.h> that casts, which Swift does not import; and one whose header belongs to the server.
static inline char borealis_pq_severity_field(void) { return PG_DIAG_SEVERITY_NONLOCALIZED; }

#endif
