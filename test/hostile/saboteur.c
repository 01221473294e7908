/* saboteur.c: preloaded into a worker by attack-mutations.test.mjs, takes one protection away, so that the
 * attack suite has something to notice. Nothing of it is in the programs.
 *
 * HOSTILE_SABOTAGE has instructions, one a line; "\n" stands for a line's end within one:
 *
 * - argv FROM => TO: whole words of a program that is started; TO may be empty
 * - text FROM => TO: in what is written to files in memory (nft's rules, the jail's files) and in JSON
 * strings
 * - filter NUMBER: this system call's place in a seccomp filter matches nothing
 * - file NAME: writing to a file whose path ends so is skipped
 * - prctl NUMBER, rlimit NUMBER, fcntl NUMBER, syscall NUMBER (made by syscall()): skipped
 * - clone FLAG: a flag (a number) that clone3 does not get
 * - member NAME, member NAME => JSON: of a JSON object, left out or with this value
 * - item TEXT: of a JSON array, left out
 *
 * HOSTILE_SABOTAGE_LOG is a file, anybody's to write, that gets an instruction's number each time it was
 * followed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#define WORDS_MAX 1024
#define TEXT_MAX  (1 << 20)

/* ---- instructions ---- */

struct instruction {
    const char *kind, *from, *to;
};

static struct instruction list[16];
static int count;

static void unescape(char *text)
{
    char *hit;

    while (text && (hit = strstr(text, "\\n"))) {
        *hit = '\n';
        memmove(hit + 1, hit + 2, strlen(hit + 2) + 1);
    }
}

static void __attribute__((constructor)) read_instructions(void)
{
    const char *given = getenv("HOSTILE_SABOTAGE");
    char *text = given ? strdup(given) : NULL, *save = NULL;

    for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && count < 16;
         line = strtok_r(NULL, "\n", &save)) {
        struct instruction *i = &list[count++];
        char *space = strchr(line, ' '), *arrow;

        if (!space)
            continue;
        *space = '\0';
        i->kind = line;
        i->from = space + 1;
        i->to = NULL;
        arrow = strstr(space + 1, " =>");
        if (arrow) {
            *arrow = '\0';
            i->to = arrow[3] == ' ' ? arrow + 4 : arrow + 3;
        }
        unescape((char *)i->from);
        unescape((char *)i->to);
    }
}

static const struct instruction *next(const char *kind, int *at)
{
    while (*at < count) {
        const struct instruction *i = &list[(*at)++];

        if (i->kind && strcmp(i->kind, kind) == 0)
            return i;
    }
    return NULL;
}

static void followed(const struct instruction *i)
{
    const char *path = getenv("HOSTILE_SABOTAGE_LOG");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;

    /* Its number, as what it says may have line ends. */
    if (fd >= 0) {
        dprintf(fd, "%d\n", (int)(i - list));
        close(fd);
    }
}

static int has_number(const char *kind, long number)
{
    const struct instruction *i;
    int at = 0;

    while ((i = next(kind, &at))) {
        if (atol(i->from) == number) {
            followed(i);
            return 1;
        }
    }
    return 0;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* A copy of text with every replacement of this kind made, or NULL if there was none to make. */
static char *edited(const char *kind, const char *text)
{
    const struct instruction *i;
    char *result = NULL;
    int at = 0;

    while ((i = next(kind, &at))) {
        const char *in = result ? result : text, *hit;
        size_t from = strlen(i->from), to = i->to ? strlen(i->to) : 0;
        char *out;
        size_t n = 0;

        if (!from || !strstr(in, i->from))
            continue;
        out = malloc(strlen(in) * (to / from + 2) + 1);
        while ((hit = strstr(in, i->from))) {
            memcpy(out + n, in, (size_t)(hit - in));
            n += (size_t)(hit - in);
            memcpy(out + n, i->to ? i->to : "", to);
            n += to;
            in = hit + from;
        }
        strcpy(out + n, in);
        free(result);
        result = out;
        followed(i);
    }
    return result;
}

/* ---- programs ---- */

/* " a b " with \1 for the spaces, so that words with spaces in them stay whole. */
static void words_of(const char *text, char out[1024])
{
    snprintf(out, 1024, "%s%s%s", "\1", text, *text ? "\1" : "");
    for (char *c = out; *c; c++)
        *c = *c == ' ' ? '\1' : *c;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    int (*call)(const char *, char *const[], char *const[]) = real("execve");
    static char from[16][1024], to[16][1024], text[TEXT_MAX], *words[WORDS_MAX];
    size_t n = 0, used = 1;
    char *changed, *save = NULL;

    text[0] = '\1';
    for (; argv[n] && used < sizeof(text) - 8192; n++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\1", argv[n]);
    for (int i = 0; i < count; i++) {
        if (!list[i].kind || strcmp(list[i].kind, "argv") != 0)
            continue;
        words_of(list[i].from, from[i]);
        words_of(list[i].to ? list[i].to : "", to[i]);
        list[i].from = from[i];
        list[i].to = to[i];
    }
    changed = edited("argv", text);
    if (!changed)
        return call(path, argv, envp);
    n = 0;
    for (char *w = strtok_r(changed, "\1", &save); w && n < WORDS_MAX - 1; w = strtok_r(NULL, "\1", &save))
        words[n++] = w;
    words[n] = NULL;
    return call(path, words, envp);
}

/* ---- files ---- */

static int path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A filter's comparison with each of the system calls becomes one with none. */
static void *blind(const void *data, size_t len)
{
    struct sock_filter *f = malloc(len);
    const struct instruction *i;
    int at = 0;

    memcpy(f, data, len);
    while ((i = next("filter", &at))) {
        for (size_t k = 0; k < len / sizeof(*f); k++) {
            if (f[k].code == (BPF_JMP | BPF_JEQ | BPF_K) && f[k].k == (unsigned)atoi(i->from)) {
                f[k].k = 0x3fffffff;
                followed(i);
                break;
            }
        }
    }
    return f;
}

ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t (*call)(int, const void *, size_t) = real("write");
    char path[PATH_MAX], *text, *changed = NULL;
    const struct instruction *i;
    ssize_t n;
    int at = 0;

    if (!count || len < 1 || !path_of(fd, path))
        return call(fd, data, len);
    while ((i = next("file", &at))) {
        if (ends_with(path, i->from)) {
            followed(i);
            return (ssize_t)len;
        }
    }
    if (strstr(path, "memfd:filter") && len % sizeof(struct sock_filter) == 0) {
        text = blind(data, len);
        n = call(fd, text, len);
        free(text);
        return n;
    }
    if (!strstr(path, "memfd:"))
        return call(fd, data, len);
    text = strndup(data, len);
    if (strlen(text) == len)
        changed = edited("text", text);
    free(text);
    if (!changed)
        return call(fd, data, len);
    for (size_t done = 0, all = strlen(changed); done < all; done += (size_t)n) {
        n = call(fd, changed + done, all - done);
        if (n < 0) {
            free(changed);
            return n;
        }
    }
    free(changed);
    return (ssize_t)len;
}

/* ---- the kernel ---- */

int prctl(int option, ...)
{
    int (*call)(int, ...) = real("prctl");
    unsigned long a[4];
    va_list ap;

    va_start(ap, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(ap, unsigned long);
    va_end(ap);
    if (has_number("prctl", option))
        return 0;
    return call(option, a[0], a[1], a[2], a[3]);
}

int fcntl(int fd, int operation, ...)
{
    int (*call)(int, int, ...) = real("fcntl");
    va_list ap;
    void *argument;

    va_start(ap, operation);
    argument = va_arg(ap, void *);
    va_end(ap);
    return has_number("fcntl", operation) ? 0 : call(fd, operation, argument);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    int (*call)(__rlimit_resource_t, const struct rlimit *) = real("setrlimit");

    return has_number("rlimit", (long)resource) ? 0 : call(resource, limit);
}

long syscall(long number, ...)
{
    long (*call)(long, ...) = real("syscall");
    const struct instruction *i;
    va_list ap;
    long a[6];
    int at = 0;

    va_start(ap, number);
    for (int k = 0; k < 6; k++)
        a[k] = va_arg(ap, long);
    va_end(ap);
    if (has_number("syscall", number))
        return 0;
    /* The flags come first in what it is given. */
    while (number == SYS_clone3 && (i = next("clone", &at))) {
        *(unsigned long long *)a[0] &= ~strtoull(i->from, NULL, 0);
        followed(i);
    }
    return call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- what the Docker Engine is asked for ---- */

cJSON_bool cJSON_AddItemToObject(cJSON *object, const char *name, cJSON *item)
{
    cJSON_bool (*call)(cJSON *, const char *, cJSON *) = real("cJSON_AddItemToObject");
    const struct instruction *i;
    int at = 0;

    while ((i = next("member", &at))) {
        if (strcmp(i->from, name) != 0)
            continue;
        followed(i);
        cJSON_Delete(item);
        if (!i->to)
            return 1;
        item = cJSON_Parse(i->to);
    }
    return call(object, name, item);
}

cJSON_bool cJSON_AddItemToArray(cJSON *array, cJSON *item)
{
    cJSON_bool (*call)(cJSON *, cJSON *) = real("cJSON_AddItemToArray");
    const struct instruction *i;
    int at = 0;

    while (cJSON_IsString(item) && (i = next("item", &at))) {
        if (strcmp(i->from, item->valuestring) == 0) {
            followed(i);
            cJSON_Delete(item);
            return 1;
        }
    }
    return call(array, item);
}

cJSON *cJSON_CreateString(const char *text)
{
    cJSON *(*call)(const char *) = real("cJSON_CreateString");
    char *changed = text && count ? edited("text", text) : NULL;
    cJSON *item = call(changed ? changed : text);

    free(changed);
    return item;
}
