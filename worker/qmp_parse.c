/* qmp_parse.c: one line of QMP taken apart; see qmp.h. */
#include <stdio.h>
#include <string.h>

#include "../shared/json.h"
#include "qmp.h"

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static int whole(const cJSON *v)
{
    return cJSON_IsNumber(v) && v->valuedouble >= 0 && v->valuedouble < 1e6 &&
           v->valuedouble == (int)v->valuedouble;
}

/* {"QMP":{"version":{"qemu":{"micro":2,"minor":7,"major":…},…},"capabilities":[…]}} */
static const char *take_greeting(const cJSON *greeting, struct qmp_line *out)
{
    const cJSON *qemu = member(member(greeting, "version"), "qemu");
    const cJSON *major = member(qemu, "major"), *minor = member(qemu, "minor"),
                *micro = member(qemu, "micro");

    if (!whole(major) || !whole(minor) || !whole(micro) || !cJSON_IsArray(member(greeting, "capabilities")))
        return "a greeting without version or capabilities";
    out->kind = QMP_GREETING;
    snprintf(out->text, sizeof(out->text), "%d.%d.%d", major->valueint, minor->valueint, micro->valueint);
    return NULL;
}

static const char *take_error(const cJSON *error, struct qmp_line *out)
{
    const cJSON *class = member(error, "class"), *desc = member(error, "desc");

    if (!cJSON_IsString(class) || !cJSON_IsString(desc))
        return "an error without class or desc";
    out->kind = QMP_ERROR;
    snprintf(out->text, sizeof(out->text), "%.40s: %.150s", class->valuestring, desc->valuestring);
    return NULL;
}

static const char *take_event(const cJSON *root, const cJSON *event, struct qmp_line *out)
{
    const cJSON *data = member(root, "data");

    if (!cJSON_IsString(event) || !*event->valuestring || strlen(event->valuestring) >= sizeof(out->text))
        return "an event without a name";
    if (data && !cJSON_IsObject(data))
        return "an event whose data is no object";
    out->kind = QMP_EVENT;
    out->body = data;
    strcpy(out->text, event->valuestring);
    return NULL;
}

static const char *take_return(const cJSON *value, struct qmp_line *out)
{
    out->kind = QMP_RETURN;
    out->body = value;
    return NULL;
}

static const char *take(const cJSON *root, struct qmp_line *out)
{
    const cJSON *greeting = member(root, "QMP"), *value = member(root, "return"),
                *error = member(root, "error"), *event = member(root, "event"), *id = member(root, "id");

    if (!cJSON_IsObject(root))
        return "not an object";
    if (!!greeting + !!value + !!error + !!event != 1)
        return "not one of greeting, return, error and event";
    if (id && !cJSON_IsNumber(id))
        return "an id that is not ours";
    out->id = id ? id->valuedouble : -1;
    return greeting ? take_greeting(greeting, out)
           : error  ? take_error(error, out)
           : event  ? take_event(root, event, out)
                    : take_return(value, out);
}

int qmp_parse(const char *text, size_t len, struct qmp_line *out, char *err, size_t errlen)
{
    const char *wrong;

    memset(out, 0, sizeof(*out));
    out->json = json_parse(text, len, err, errlen);
    if (!out->json)
        return -1;
    wrong = take(out->json, out);
    if (!wrong)
        return 0;
    snprintf(err, errlen, "%s", wrong);
    cJSON_Delete(out->json);
    out->json = NULL;
    return -1;
}
