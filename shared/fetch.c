/* fetch.c: curl tells which sockets and what timeout it waits for; libev waits. Callbacks of jobs run when
 * curl's own call has returned, never from inside it. */
#include "fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "mem.h"

#define BODY_MAX (1024 * 1024)

struct fetch {
    struct ev_loop *loop;
    CURLM *multi;
    ev_timer timer;
    struct fetch_job *jobs;
};

struct socket_watch {
    struct fetch *fetch;
    ev_io io;
};

struct fetch_job {
    struct fetch *fetch;
    struct fetch_job *prev, *next;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body;
    fetch_get_cb *on_get;
    fetch_reply_cb *on_reply;
    fetch_connect_cb *on_connect;
    void *arg;
};

static void job_free(struct fetch_job *j)
{
    if (j->prev)
        j->prev->next = j->next;
    else
        j->fetch->jobs = j->next;
    if (j->next)
        j->next->prev = j->prev;
    curl_multi_remove_handle(j->fetch->multi, j->easy);
    curl_easy_cleanup(j->easy);
    curl_slist_free_all(j->headers);
    buf_cleanup(&j->body);
    free(j);
}

/* The socket of a CONNECT_ONLY transfer goes when its handle goes: keep a copy. */
static int take_socket(struct fetch_job *j)
{
    curl_socket_t s = CURL_SOCKET_BAD;
    int fd;

    if (curl_easy_getinfo(j->easy, CURLINFO_ACTIVESOCKET, &s) != CURLE_OK || s == CURL_SOCKET_BAD)
        return -1;
    fd = fcntl(s, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static void finish(struct fetch_job *j, CURLcode result)
{
    fetch_get_cb *on_get = j->on_get;
    fetch_reply_cb *on_reply = j->on_reply;
    fetch_connect_cb *on_connect = j->on_connect;
    struct buf body = j->body;
    void *arg = j->arg;
    long status = 0;
    int fd = -1;

    if (on_connect && result == CURLE_OK)
        fd = take_socket(j);
    if (!on_connect && result == CURLE_OK)
        curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK && !on_reply)
        log_warn("fetch_failed", "error=%s", curl_easy_strerror(result));
    memset(&j->body, 0, sizeof(j->body));
    job_free(j);
    if (on_connect)
        on_connect(arg, fd);
    if (on_get)
        on_get(arg, (int)status, body.data ? body.data : "", body.len);
    if (on_reply)
        on_reply(arg, (int)status, body.data ? body.data : "", body.len,
                 result == CURLE_OK ? "" : curl_easy_strerror(result));
    buf_cleanup(&body);
}

static void collect(struct fetch *f)
{
    CURLMsg *m;
    struct fetch_job *j;
    int left;

    while ((m = curl_multi_info_read(f->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&j);
        finish(j, m->data.result);
    }
}

static void on_socket_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct socket_watch *w = io->data;
    struct fetch *f = w->fetch;
    int action = (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0),
        running;

    (void)loop;
    curl_multi_socket_action(f->multi, io->fd, action, &running); /* may free w */
    collect(f);
}

static void on_timer_curl(struct ev_loop *loop, ev_timer *t, int events)
{
    struct fetch *f = t->data;
    int running;

    (void)loop;
    (void)events;
    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(f);
}

static int on_curl_socket(CURL *easy, curl_socket_t s, int what, void *arg, void *per_socket)
{
    struct fetch *f = arg;
    struct socket_watch *w = per_socket;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            ev_io_stop(f->loop, &w->io);
        free(w);
        curl_multi_assign(f->multi, s, NULL);
        return 0;
    }
    if (!w) {
        w = mem_alloc(sizeof(*w));
        w->fetch = f;
        ev_io_init(&w->io, on_socket_ready, s, 0);
        w->io.data = w;
        curl_multi_assign(f->multi, s, w);
    }
    ev_io_stop(f->loop, &w->io);
    ev_io_set(&w->io, s, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
    ev_io_start(f->loop, &w->io);
    return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    struct fetch *f = arg;

    (void)multi;
    ev_timer_stop(f->loop, &f->timer);
    if (ms >= 0) {
        ev_timer_set(&f->timer, (double)ms / 1000.0, 0);
        ev_timer_start(f->loop, &f->timer);
    }
    return 0;
}

static size_t on_curl_body(char *data, size_t size, size_t n, void *arg)
{
    struct fetch_job *j = arg;

    if (j->body.len + size * n > BODY_MAX)
        return 0;
    buf_add(&j->body, data, size * n);
    return size * n;
}

struct fetch *fetch_new(struct ev_loop *loop)
{
    struct fetch *f = mem_alloc(sizeof(*f));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    f->loop = loop;
    f->multi = curl_multi_init();
    ev_timer_init(&f->timer, on_timer_curl, 0, 0);
    f->timer.data = f;
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    return f;
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    while (f->jobs)
        job_free(f->jobs);
    curl_multi_cleanup(f->multi);
    ev_timer_stop(f->loop, &f->timer);
    curl_global_cleanup();
    free(f);
}

static struct fetch_job *job_new(struct fetch *f, const char *url, long timeout_ms, void *arg)
{
    struct fetch_job *j = mem_alloc(sizeof(*j));

    j->fetch = f;
    j->arg = arg;
    j->next = f->jobs;
    if (j->next)
        j->next->prev = j;
    f->jobs = j;
    j->easy = curl_easy_init();
    curl_easy_setopt(j->easy, CURLOPT_URL, url);
    curl_easy_setopt(j->easy, CURLOPT_PRIVATE, j);
    curl_easy_setopt(j->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(j->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(j->easy, CURLOPT_NOPROXY,
                     "*"); /* gateways are ours: never through a proxy of the environment */
    curl_easy_setopt(j->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    return j;
}

struct fetch_job *fetch_get(struct fetch *f, const char *url, long timeout_ms, fetch_get_cb *cb, void *arg)
{
    struct fetch_job *j = job_new(f, url, timeout_ms, arg);

    j->on_get = cb;
    curl_easy_setopt(j->easy, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(j->easy, CURLOPT_WRITEDATA, j);
    curl_multi_add_handle(f->multi, j->easy);
    return j;
}

struct fetch_job *fetch_start(struct fetch *f, const struct fetch_request *r, fetch_reply_cb *cb, void *arg)
{
    struct fetch_job *j = job_new(f, r->url, r->timeout_ms, arg);

    j->on_reply = cb;
    if (r->unix_socket)
        curl_easy_setopt(j->easy, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
    if (r->json) {
        j->headers = curl_slist_append(j->headers, "Content-Type: application/json");
        j->headers = curl_slist_append(j->headers, "Expect:"); /* else a second's wait for "100 Continue" */
        curl_easy_setopt(j->easy, CURLOPT_HTTPHEADER, j->headers);
        curl_easy_setopt(j->easy, CURLOPT_COPYPOSTFIELDS, r->json);
    }
    if (r->method)
        curl_easy_setopt(j->easy, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(j->easy, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(j->easy, CURLOPT_WRITEDATA, j);
    curl_multi_add_handle(f->multi, j->easy);
    return j;
}

struct fetch_job *fetch_connect(struct fetch *f, const char *host, int port, long timeout_ms,
                                fetch_connect_cb *cb, void *arg)
{
    char *url = mem_printf("http://%s:%d/", host, port);
    struct fetch_job *j = job_new(f, url, timeout_ms, arg);

    free(url);
    j->on_connect = cb;
    curl_easy_setopt(j->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(j->easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_multi_add_handle(f->multi, j->easy);
    return j;
}

void fetch_cancel(struct fetch_job *job)
{
    job_free(job);
}
