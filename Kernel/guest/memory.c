// SPDX-License-Identifier: GPL-2.0-only
/* A free list of pages. */
#include "guest.h"

struct free_page {
	struct free_page *next;
};

static struct free_page *free_list;
static uint32_t free_count;

void memory_init(uint32_t first, uint32_t end)
{
	for (uint32_t page = first; page < end; page += PAGE_SIZE)
		page_free(virtual(page));
}

void *page_alloc(void)
{
	struct free_page *page = free_list;

	if (!page)
		panic("out of memory");
	free_list = page->next;
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
