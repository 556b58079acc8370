/* SPDX-License-Identifier: MIT */
/* Copyright (c) The aomalloc developers */

/* What is believed of a kernel by its release; aarch64 asks, but the answer can be had anywhere. */

#include "test.h"

#include <string.h>

#include "release.h"

TEST(good_releases)
{
    static const char *const good[] = {
        "5.10",
        "5.10.0-9-arm64",
        "5.15.167.4-microsoft-standard-WSL2",
        "6.1.0",
        "6.9.12",
        "6.18",
        "6.18.44-fc",
        "6.18.0-rc7",
        "7.1",
        "7.1.0",
        "7.1.3-cloud-arm64",
        "7.2.0-rc1",
        "7.10.0",
        "7.19.0",
        "8.0.0",
        "10.0.1",
        "6.12.43+deb13-arm64",
        "999.999",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!aoma_release_restarts_when_preempted(good[i]))
            fail_msg("%s is not trusted", good[i]);
}

TEST(bad_and_unknown_releases)
{
    static const char *const bad[] = {
        "6.19",
        "6.19.0",
        "6.19.0-rc1",
        "6.19.14-arm64",
        "7.0",
        "7.0.0-rc3",
        "7.0.9",
        "7.1-rc1",
        "7.1.0-rc2-arm64",
        "6.190",
        "6.20.0",
        "6.99",
        "5.9.16",
        "4.4.0",
        "2.6.79",
        "0.0",
        "",
        ".",
        "6",
        "6.",
        "6-18",
        "x6.18",
        " 6.18",
        "-6.18",
        "6.x",
        "6.-1",
        "6 .18",
        "Linux",
        "7.1000",
        "1000.1",
        "99999999999999999999.1",
        "7.99999999999999999999",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (aoma_release_restarts_when_preempted(bad[i]))
            fail_msg("%s is trusted", bad[i]);
}

/* Nothing behind the end is read, wherever the text ends. */
TEST(cut_releases)
{
    static const char whole[] = "7.1.0-rc1";
    char text[sizeof whole];

    for (size_t length = 0; length < sizeof whole; length++) {
        memset(text, '9', sizeof text);
        memcpy(text, whole, length);
        text[length] = 0;
        bool is_known = length >= strlen("7.1") && length < strlen("7.1.0-rc");
        CHECK(aoma_release_restarts_when_preempted(text) == is_known);
    }
}
