// SPDX-License-Identifier: GPL-2.0-only
/* Pages: a list of those that were given back, and an end from which fresh ones are taken. */
#include "guest.h"

struct free_page {
	struct free_page *next;
};

static struct free_page *free_list;
static uint32_t free_count, fresh, fresh_end;

/* Fresh pages are not touched, so that the host need not find them before they are used. */
void memory_init(uint32_t first, uint32_t end)
{
	fresh = first;
	fresh_end = end;
	free_count = (end - first) / PAGE_SIZE;
}

void *page_alloc(void)
{
	struct free_page *page = free_list;

	if (page) {
		free_list = page->next;
	} else {
		if (fresh >= fresh_end)
			panic("out of memory");
		page = virtual(fresh);
		fresh += PAGE_SIZE;
	}
	free_count--;
	memset(page, 0, PAGE_SIZE);
	return page;
}

void page_free(void *address)
{
	struct free_page *page = address;

	page->next = free_list;
	free_list = page;
	free_count++;
}

uint32_t pages_free(void)
{
	return free_count;
}
