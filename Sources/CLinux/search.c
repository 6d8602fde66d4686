// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <string.h>

int clinux_holds(const void *bytes, size_t count, const void *word, size_t word_count)
{
	return memmem(bytes, count, word, word_count) != NULL;
}
