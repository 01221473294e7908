/* faults.c: see faults.h. */
#include "faults.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int file = -1;

void faults_open(const char *path)
{
    int fd = path ? open(path, O_RDONLY) : -1;

    if (fd < 0)
        return;
    file = dup2(fd, FAKE_FD_FAULTS);
    if (fd != FAKE_FD_FAULTS)
        close(fd);
}

void faults_inherit(void)
{
    file = fcntl(FAKE_FD_FAULTS, F_GETFD) >= 0 ? FAKE_FD_FAULTS : -1;
}

/* The next line that starts with word, from *at on. */
static char *next(char **at, const char *word)
{
    size_t n = strlen(word);
    char *line;

    while ((line = strsep(at, "\n")))
        if (strncmp(line, word, n) == 0 && line[n] == ' ')
            return line + n + 1;
    return NULL;
}

static char *content(void)
{
    static char text[4096];
    ssize_t n = file >= 0 ? pread(file, text, sizeof(text) - 1, 0) : 0;

    text[n > 0 ? n : 0] = '\0';
    return text;
}

const char *faults_get(const char *word)
{
    char *at = content();

    return next(&at, word);
}

int faults_has(const char *word, const char *value)
{
    char *at = content(), *rest;

    while ((rest = next(&at, word)))
        if (strcmp(rest, value) == 0)
            return 1;
    return 0;
}
