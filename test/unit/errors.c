/* errors.c: the table of results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "shared/errors.h"

static void every_error_has_name_status_and_text(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *name = err_name((enum err)i), *text = err_text((enum err)i);
        assert_true(*name && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name));
        assert_in_range(err_status((enum err)i), 200, 599);
        assert_true(*text && text[strlen(text) - 1] != '.' && !strpbrk(text, "\"\\\n"));
    }
    assert_string_equal(err_name(ERR_ok), "ok");
    assert_int_equal(err_status(ERR_ok), 200);
    assert_int_equal(err_status(ERR_queue_full), 429);
    assert_int_equal(err_status(ERR_redis_unavailable), 503);
}

static void names_lead_back(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        const char *name = err_name((enum err)i);
        assert_int_equal(err_from_name(name, (int)strlen(name)), i);
    }
    assert_int_equal(err_from_name("ok and more", 2), ERR_ok);
    assert_int_equal(err_from_name("ok", 1), ERR_internal);
    assert_int_equal(err_from_name("not_foundx", 10), ERR_internal);
    assert_int_equal(err_from_name("", 0), ERR_internal);
    assert_int_equal(err_from_name("ok", -1), ERR_internal);
    assert_int_equal(err_from_name("no such name", 12), ERR_internal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_name_status_and_text),
        cmocka_unit_test(names_lead_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
