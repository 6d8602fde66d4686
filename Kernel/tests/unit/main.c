// SPDX-License-Identifier: GPL-2.0-only
/* Runs the unit tests; the last line is `N passed, N failed`. */
#include "unit.h"

#include <stdio.h>

static unsigned int passed, failed;
static struct lguest guest;
static u64 state = 0x9e3779b97f4a7c15;

void check(bool holds, const char *title)
{
	if (holds) {
		passed++;
	} else {
		failed++;
		printf("FAILED: %s\n", title);
	}
}

void check_all(u32 failures, const char *title)
{
	if (failures)
		printf("%u times:\n", failures);
	check(failures == 0, title);
}

u32 random_word(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return state >> 32;
}

struct lguest *fresh_guest(void)
{
	memset(&guest, 0, sizeof(guest));
	return &guest;
}

bool lg_read_phys(struct lguest *lg, u32 gpa, void *buf, u32 len)
{
	lg->reads++;
	if (gpa > GUEST_BYTES || len > GUEST_BYTES - gpa)
		return false;
	memcpy(buf, lg->memory + gpa, len);
	return true;
}

bool lg_write_phys(struct lguest *lg, u32 gpa, const void *buf, u32 len)
{
	lg->writes++;
	if (gpa > GUEST_BYTES || len > GUEST_BYTES - gpa)
		return false;
	memcpy(lg->memory + gpa, buf, len);
	return true;
}

void put32(struct lguest *lg, u32 gpa, u32 value)
{
	memcpy(lg->memory + gpa, &value, sizeof(value));
}

u32 get32(struct lguest *lg, u32 gpa)
{
	u32 value;

	memcpy(&value, lg->memory + gpa, sizeof(value));
	return value;
}

int main(void)
{
	test_descriptor();
	test_emulate();
	test_frame();
	test_ring();
	test_walk();
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
