// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/lguest.  An open file is a guest; its life ends with the last close,
 * whoever still holds it.  What the words mean is in lguest_abi.h.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "lg.h"

static int lg_open(struct inode *inode, struct file *file)
{
	struct lguest *lg;

	/* misc_open has left the device there. */
	file->private_data = NULL;
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;

	lg = kzalloc(sizeof(*lg), GFP_KERNEL_ACCOUNT);
	if (!lg)
		return -ENOMEM;
	mutex_init(&lg->lock);
	init_waitqueue_head(&lg->wait);
	lg_clock_init(lg);
	file->private_data = lg;
	return 0;
}

static void tear_down(struct lguest *lg)
{
	lg_shadow_exit(lg);
	lg_state_destroy(lg);
	lg_memory_exit(lg);
	memset(&lg->counters, 0, sizeof(lg->counters));
}

static int lg_release(struct inode *inode, struct file *file)
{
	struct lguest *lg = file->private_data;

	lg_clock_exit(lg);
	tear_down(lg);
	lg_notify_exit(lg);
	if (lg->task)
		put_task_struct(lg->task);
	kfree(lg);
	return 0;
}

static ssize_t initialize(struct lguest *lg, const unsigned long __user *input)
{
	unsigned long args[3];	/* base, pfn_limit, start */
	int err;

	if (lg->initialised)
		return -EBUSY;
	if (copy_from_user(args, input, sizeof(args)))
		return -EFAULT;

	err = lg_memory_init(lg, args[0], args[1]);
	if (err)
		return err;
	err = lg_state_create(lg);
	if (!err)
		err = lg_boot(lg, args[2]);
	if (!err)
		err = lg_shadow_init(lg);
	if (err) {
		tear_down(lg);
		return err;
	}
	lg->task = get_task_struct(current);
	/* Whoever sees this, with an acquire, sees the guest complete. */
	smp_store_release(&lg->initialised, true);
	return sizeof(args);
}

static ssize_t raise_irq(struct lguest *lg, const unsigned long __user *input)
{
	unsigned long irq;

	if (get_user(irq, input))
		return -EFAULT;
	if (irq >= LG_IRQS)
		return -EINVAL;
	set_bit(irq, &lg->irqs);
	lg_wake(lg);
	return 0;
}

static ssize_t set_eventfd(struct lguest *lg, const unsigned long __user *input)
{
	unsigned long args[2];	/* address, fd */

	if (copy_from_user(args, input, sizeof(args)))
		return -EFAULT;
	return lg_notify_set(lg, args[0], args[1]);
}

static ssize_t get_counters(struct lguest *lg, const unsigned long __user *input)
{
	unsigned long args[2];	/* buffer, size */

	if (copy_from_user(args, input, sizeof(args)))
		return -EFAULT;
	args[1] = min(args[1], sizeof(lg->counters));
	if (copy_to_user((void __user *)args[0], &lg->counters, args[1]))
		return -EFAULT;
	return args[1];
}

static ssize_t locked_request(struct lguest *lg, unsigned long request,
			      const unsigned long __user *input)
{
	ssize_t ret;

	if (mutex_lock_interruptible(&lg->lock))
		return -ERESTARTSYS;
	ret = request == LHREQ_INITIALIZE ? initialize(lg, input) :
					    set_eventfd(lg, input);
	mutex_unlock(&lg->lock);
	return ret;
}

static ssize_t lg_write(struct file *file, const char __user *in, size_t size,
			loff_t *pos)
{
	const unsigned long __user *input = (const unsigned long __user *)in;
	struct lguest *lg = file->private_data;
	unsigned long request;

	/* The offset is the number of the virtual CPU; there is one. */
	if (*pos)
		return -EINVAL;
	if (get_user(request, input++))
		return -EFAULT;
	if (request == LHREQ_INITIALIZE)
		return locked_request(lg, request, input);
	/* Pairs with the release at the end of initialize(). */
	if (!smp_load_acquire(&lg->initialised))
		return -EINVAL;
	if (request == LHREQ_COUNTERS)
		return get_counters(lg, input);
	if (READ_ONCE(lg->dead))
		return -ENOENT;

	switch (request) {
	case LHREQ_IRQ:
		return raise_irq(lg, input);
	case LHREQ_EVENTFD:
		return locked_request(lg, request, input);
	default:
		return -EINVAL;
	}
}

static ssize_t read_death(struct lguest *lg, char __user *buf, size_t size)
{
	if (lg->restart)
		return -ERESTART;
	if (!lg->death_told) {
		lg->death_told = true;
		return -ENOENT;
	}
	size = min(size, strlen(lg->death) + 1);
	return copy_to_user(buf, lg->death, size) ? -EFAULT : size;
}

static ssize_t lg_read(struct file *file, char __user *buf, size_t size,
		       loff_t *pos)
{
	struct lguest *lg = file->private_data;

	/* Pairs with the release at the end of initialize(). */
	if (*pos || !smp_load_acquire(&lg->initialised))
		return -EINVAL;
	/* After an exec the thread is the same, and its memory another. */
	if (current != lg->task || current->mm != lg->mm)
		return -EPERM;
	if (!lg->dead) {
		ssize_t ret = lg_run(lg, (unsigned long __user *)buf);

		if (ret)
			return ret;
	}
	return read_death(lg, buf, size);
}

static const struct file_operations lg_fops = {
	.owner = THIS_MODULE,
	.open = lg_open,
	.release = lg_release,
	.read = lg_read,
	.write = lg_write,
	.llseek = default_llseek,
};

struct miscdevice lg_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lguest",
	.fops = &lg_fops,
	.mode = 0600,
};
