// SPDX-License-Identifier: Apache-2.0
/*
 * The command line, as the C library passes it to constructors as well as to main. Swift's CommandLine reads
 * it from /proc/self/cmdline, and where there is no /proc it is empty without a word.
 */
#include "clinux.h"

static int count;
static char **words;

__attribute__((constructor)) static void take(int argc, char **argv)
{
	count = argc;
	words = argv;
}

int clinux_argument_count(void) { return count; }

const char *clinux_argument(int index) { return words[index]; }
