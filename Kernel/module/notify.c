// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which eventfd a notify of which guest-physical address signals.
 *
 * The table is replaced as a whole by the launcher, and read under RCU by the
 * vCPU.  Neither waits for the other: an old table goes, and with it the
 * eventfd that the new one has not, when nobody can be reading it any more.
 */
#include <linux/eventfd.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "lg.h"

/* Each of 32 interrupts might serve a queue, and there are spare ones. */
#define LG_NOTIFIES_MAX	128

struct lg_notify_entry {
	unsigned long address;
	struct eventfd_ctx *event;
};

struct lg_notify_table {
	struct rcu_head rcu;
	struct eventfd_ctx *removed;
	unsigned int count;
	struct lg_notify_entry entries[];
};

static void signal_event(struct eventfd_ctx *event)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(event);
#else
	eventfd_signal(event, 1);
#endif
}

/* A copy of the table without the address, with room for one more entry. */
static struct lg_notify_table *copy_without(const struct lg_notify_table *old,
					    unsigned long address)
{
	unsigned int count = old ? old->count : 0;
	struct lg_notify_table *table;
	unsigned int i;

	table = kzalloc(struct_size(table, entries, count + 1),
			GFP_KERNEL_ACCOUNT);
	if (!table)
		return NULL;
	for (i = 0; i < count; i++)
		if (old->entries[i].address != address)
			table->entries[table->count++] = old->entries[i];
	return table;
}

static struct eventfd_ctx *find(const struct lg_notify_table *table,
				unsigned long address)
{
	unsigned int i;

	for (i = 0; table && i < table->count; i++)
		if (table->entries[i].address == address)
			return table->entries[i].event;
	return NULL;
}

static void free_old(struct rcu_head *head)
{
	struct lg_notify_table *old =
		container_of(head, struct lg_notify_table, rcu);

	if (old->removed)
		eventfd_ctx_put(old->removed);
	kfree(old);
}

/* Called with the guest's lock held; fd -1 removes. */
int lg_notify_set(struct lguest *lg, unsigned long address, int fd)
{
	struct lg_notify_table *old, *table;
	struct eventfd_ctx *removed, *event = NULL;
	int err = 0;

	if (!address || address > U32_MAX)
		return -EINVAL;
	if (fd != -1) {
		event = eventfd_ctx_fdget(fd);
		if (IS_ERR(event))
			return PTR_ERR(event);
	}

	old = rcu_dereference_protected(lg->notifies,
					lockdep_is_held(&lg->lock));
	removed = find(old, address);
	table = copy_without(old, address);
	if (!table)
		err = -ENOMEM;
	else if (event && table->count == LG_NOTIFIES_MAX)
		err = -ENOSPC;
	else if (!event && !removed)
		err = -ENOENT;
	if (err) {
		if (event)
			eventfd_ctx_put(event);
		kfree(table);
		return err;
	}
	if (event) {
		table->entries[table->count].address = address;
		table->entries[table->count++].event = event;
	}
	rcu_assign_pointer(lg->notifies, table);
	if (old) {
		old->removed = removed;
		call_rcu(&old->rcu, free_old);
	}
	return 0;
}

/* False when the launcher has to see this one itself. */
bool lg_notify_send(struct lguest *lg, u32 address)
{
	struct eventfd_ctx *event;

	rcu_read_lock();
	event = find(rcu_dereference(lg->notifies), address);
	if (event)
		signal_event(event);
	rcu_read_unlock();
	return event;
}

/* The last user of the guest is gone: nobody reads the table any more. */
void lg_notify_exit(struct lguest *lg)
{
	struct lg_notify_table *table = rcu_dereference_raw(lg->notifies);
	unsigned int i;

	RCU_INIT_POINTER(lg->notifies, NULL);
	for (i = 0; table && i < table->count; i++)
		eventfd_ctx_put(table->entries[i].event);
	kfree(table);
}
