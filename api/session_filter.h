/* session_filter.h: which sessions a list shows: by status or state, and by metadata.
 *
 *   ?status=RUNNING            Browserbase's words          ?state=queued    ours
 *   ?q=user_metadata['k']:'v'  Browserbase's query, deeper with ['k']['l']
 *   ?tag.k=v                   BaseLayer's sessionTags; several must all agree */
#ifndef BERTH_SESSION_FILTER_H
#define BERTH_SESSION_FILTER_H
#include "../shared/errors.h"
#include "session_view.h"

#define SESSION_FILTER_STATES 2
#define SESSION_FILTER_PATH   8
#define SESSION_FILTER_TAGS   16

struct session_filter {
    const char *states[SESSION_FILTER_STATES]; /* the index' states to walk; none: all */
    int states_n;
    char *status;                    /* to be compared where the states do not say it all; NULL: any */
    char *path[SESSION_FILTER_PATH]; /* keys below userMetadata; path_n 0: no query */
    int path_n;
    char *value;
    struct {
        char *name, *value;
    } tags[SESSION_FILTER_TAGS];
    int tags_n;
};

void session_filter_cleanup(struct session_filter *f);
/* Each reads one parameter: 0, or -1 when it makes no sense. */
int session_filter_status(struct session_filter *f, const char *status) MUST_USE;
int session_filter_state(struct session_filter *f, const char *state) MUST_USE;
int session_filter_query(struct session_filter *f, const char *q) MUST_USE;
int session_filter_tag(struct session_filter *f, const char *name, const char *value) MUST_USE;
/* 1 if it shows the session. */
int session_filter_shows(const struct session_filter *f, const struct session *s);

#endif
