// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory: the launcher's, from base on, one page for each guest page.
 *
 * A page is pinned when it, or one of its block, is first needed, once, and
 * stays so until the guest is gone.  From then on it is reached by the page and
 * never by the launcher's address, so that nothing the launcher does to its
 * address space changes what the shadow tables map.  Only the launcher's own
 * thread pins: it runs in the right address space.
 */
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>

#include "lg.h"

/* Locked memory is accounted for in steps of this, to take mmap_lock rarely. */
#define ACCOUNT_STEP	256UL

int lg_memory_init(struct lguest *lg, unsigned long base,
		   unsigned long pfn_limit)
{
	if (!PAGE_ALIGNED(base) || !pfn_limit || pfn_limit > LG_MAX_PFN)
		return -EINVAL;
	if (!access_ok((void __user *)base, pfn_limit << PAGE_SHIFT))
		return -EINVAL;

	lg->pages = __vmalloc(array_size(pfn_limit, sizeof(*lg->pages)),
			      GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!lg->pages)
		return -ENOMEM;
	lg->base = base;
	lg->pfn_limit = pfn_limit;
	lg->mm = current->mm;
	mmgrab(lg->mm);
	return 0;
}

void lg_memory_exit(struct lguest *lg)
{
	unsigned long pfn;

	if (!lg->pages)
		return;
	if (lg->data.words)
		vunmap((void *)((unsigned long)lg->data.words & PAGE_MASK));
	lg->data.words = NULL;
	for (pfn = 0; pfn < lg->pfn_limit; pfn++) {
		if (lg->pages[pfn])
			unpin_user_pages_dirty_lock(&lg->pages[pfn], 1, true);
		if (!(pfn % 1024))
			cond_resched();
	}
	vfree(lg->pages);
	lg->pages = NULL;
	if (lg->accounted)
		account_locked_vm(lg->mm, lg->accounted, false);
	lg->accounted = 0;
	mmdrop(lg->mm);
	lg->mm = NULL;
}

static int account(struct lguest *lg, u32 count)
{
	unsigned long step;
	int err;

	if (lg->counters.pages_pinned + count <= lg->accounted)
		return 0;
	step = min(ACCOUNT_STEP, lg->pfn_limit - lg->accounted);
	err = account_locked_vm(lg->mm, step, true);
	if (!err)
		lg->accounted += step;
	return err;
}

/* Pins as many of these pages as can be had; none of them is pinned yet. */
static u32 pin(struct lguest *lg, u32 first, u32 count)
{
	unsigned long address = lg->base + ((unsigned long)first << PAGE_SHIFT);
	/* What is left in the array after a failure is not to be relied on. */
	struct page *pages[LG_AROUND];
	int pinned;

	if (account(lg, count))
		return 0;
	pinned = pin_user_pages_fast(address, count, FOLL_WRITE | FOLL_LONGTERM,
				     pages);
	if (pinned <= 0)
		return 0;
	memcpy(&lg->pages[first], pages, pinned * sizeof(*pages));
	lg->counters.pages_pinned += pinned;
	return pinned;
}

/*
 * A page that is needed, with those around it, since pages are needed in
 * clusters: one by one each would cost as much as all of them do.
 */
static void pin_around(struct lguest *lg, u32 pfn)
{
	u32 low = round_down(pfn, LG_AROUND);
	u32 high = min(low + LG_AROUND, lg->pfn_limit);
	u32 first = pfn, last = pfn;

	while (first > low && !lg->pages[first - 1])
		first--;
	while (last + 1 < high && !lg->pages[last + 1])
		last++;
	if (pin(lg, first, last - first + 1) <= pfn - first)
		pin(lg, pfn, 1);
}

/* The page as the kernel sees it, or NULL.  May sleep the first time. */
void *lg_page(struct lguest *lg, u32 pfn)
{
	struct page *page;

	if (pfn >= lg->pfn_limit)
		return NULL;
	pfn = array_index_nospec(pfn, lg->pfn_limit);
	page = lg->pages[pfn];
	if (likely(page))
		return page_address(page);

	if (current->mm != lg->mm)
		return NULL;
	pin_around(lg, pfn);
	page = lg->pages[pfn];
	return page ? page_address(page) : NULL;
}

/*
 * Guest memory at consecutive addresses of the kernel, for as long as the
 * guest lives.  There is one such piece: its lguest_data.
 */
void *lg_map_phys(struct lguest *lg, u32 gpa, u32 len)
{
	u32 first = gpa >> PAGE_SHIFT;
	u32 last = ((u64)gpa + len - 1) >> PAGE_SHIFT;
	void *map;
	u32 pfn;

	for (pfn = first; pfn <= last; pfn++)
		if (!lg_page(lg, pfn))
			return NULL;
	map = vmap(&lg->pages[first], last - first + 1, VM_MAP, PAGE_KERNEL);
	return map ? map + offset_in_page(gpa) : NULL;
}

/*
 * Entries of page tables, words of a stack: most of what is read or written
 * is small, and in a page that is pinned.
 */
static bool copy_small(struct lguest *lg, u32 gpa, void *buf, u32 len,
		       bool write)
{
	u32 pfn = gpa >> PAGE_SHIFT;
	void *at;

	if (pfn >= lg->pfn_limit || offset_in_page(gpa) + len > PAGE_SIZE)
		return false;
	pfn = array_index_nospec(pfn, lg->pfn_limit);
	if (!lg->pages[pfn])
		return false;
	at = page_address(lg->pages[pfn]) + offset_in_page(gpa);
	if (len == sizeof(u32)) {
		if (write)
			WRITE_ONCE(*(u32 *)at, *(u32 *)buf);
		else
			*(u32 *)buf = READ_ONCE(*(u32 *)at);
		return true;
	}
	if (len == sizeof(u64)) {
		if (write)
			WRITE_ONCE(*(u64 *)at, *(u64 *)buf);
		else
			*(u64 *)buf = READ_ONCE(*(u64 *)at);
		return true;
	}
	return false;
}

static bool copy_phys(struct lguest *lg, u32 gpa, void *buf, u32 len,
		      bool write)
{
	if (copy_small(lg, gpa, buf, len, write))
		return true;
	if ((u64)gpa + len > (u64)lg->pfn_limit << PAGE_SHIFT)
		return false;

	while (len) {
		u32 chunk = min_t(u32, len, PAGE_SIZE - offset_in_page(gpa));
		void *page = lg_page(lg, gpa >> PAGE_SHIFT);

		if (!page)
			return false;
		if (write)
			memcpy(page + offset_in_page(gpa), buf, chunk);
		else
			memcpy(buf, page + offset_in_page(gpa), chunk);
		/* What comes next is decided by the copy, never read again. */
		barrier();
		gpa += chunk;
		buf += chunk;
		len -= chunk;
	}
	return true;
}

bool lg_read_phys(struct lguest *lg, u32 gpa, void *buf, u32 len)
{
	return copy_phys(lg, gpa, buf, len, false);
}

bool lg_write_phys(struct lguest *lg, u32 gpa, const void *buf, u32 len)
{
	return copy_phys(lg, gpa, (void *)buf, len, true);
}

/* access is what the guest's own tables must allow. */
static bool copy_virt(struct lguest *lg, u32 vaddr, void *buf, u32 len,
		      u32 access, bool write)
{
	while (len) {
		u32 chunk = min_t(u32, len, PAGE_SIZE - offset_in_page(vaddr));
		struct lg_walk walk;

		if (lg_walk(lg, &lg->tables, vaddr, access, &walk) !=
		    LG_WALK_MAPPED)
			return false;
		if (!copy_phys(lg, walk.page.pfn << PAGE_SHIFT | offset_in_page(vaddr),
			       buf, chunk, write))
			return false;
		vaddr += chunk;
		buf += chunk;
		len -= chunk;
	}
	return true;
}

bool lg_read_virt(struct lguest *lg, u32 vaddr, void *buf, u32 len)
{
	return copy_virt(lg, vaddr, buf, len, 0, false);
}

bool lg_write_virt(struct lguest *lg, u32 vaddr, const void *buf, u32 len)
{
	return copy_virt(lg, vaddr, (void *)buf, len, LG_ACCESS_WRITE, true);
}

/* As a debugger writes: what the guest has mapped read-only as well. */
bool lg_patch_virt(struct lguest *lg, u32 vaddr, const void *buf, u32 len)
{
	return copy_virt(lg, vaddr, (void *)buf, len, 0, true);
}
