// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtual CPU: what a read() of /dev/lguest does.  Enter the guest, handle
 * why it left, and again, until there is something for the launcher.
 */
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/fpu/api.h>
#include <asm/kvm_para.h>
#include <asm/trapnr.h>

#include "lg.h"
#include "trace.h"

/* The first reason is the one that counts. */
void lg_kill(struct lguest *lg, const char *fmt, ...)
{
	va_list args;

	if (lg->dead)
		return;
	va_start(args, fmt);
	vscnprintf(lg->death, sizeof(lg->death), fmt, args);
	va_end(args);
	trace_lguest_death(lg->death);
	/* Only the thread that runs the guest, this one, reads the reason. */
	WRITE_ONCE(lg->dead, true);
}

/*
 * An interrupt has been raised, by any thread or by the timer: the guest is to
 * see it now, wherever it is.
 */
void lg_wake(struct lguest *lg)
{
	/*
	 * wq_has_sleeper() has the barrier: what is raised, before the look at
	 * who sleeps and at in_guest.  Pairs with that of the wait, and stay().
	 */
	if (wq_has_sleeper(&lg->wait))
		wake_up(&lg->wait);
	if (READ_ONCE(lg->in_guest))
		kick_process(lg->task);
}

/* Hands what interrupted the guest to the host.  Interrupts are off. */
static void replay(u32 vector)
{
	lg_replay_slot *slot = (void *)(lg_replay_table + vector * 16);

	slot();
}

static bool is_external(u32 vector)
{
	return vector >= LG_FIRST_IRQ_VECTOR && vector < 256 &&
	       vector != LG_SYSCALL_VECTOR;
}

/*
 * Where the host is itself a guest, of KVM, a page that its host has to fetch
 * first is announced by a page fault, at any privilege but ring 0.  That is
 * not the guest's, whose memory is there again when the wait is over.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
static bool is_hosts_page_fault(u32 vector)
{
	return vector == X86_TRAP_PF && kvm_read_and_reset_apf_flags();
}

static void await_hosts_page(u32 token)
{
	local_irq_disable();
	kvm_async_pf_task_wait_schedule(token);
	local_irq_enable();
}
#else
/* Only KVM may call these; main.c sees to it that there is no need to. */
static bool is_hosts_page_fault(u32 vector)
{
	return false;
}

static void await_hosts_page(u32 token)
{
}
#endif

static void replay_exit(struct lguest *lg, u32 vector)
{
	u32 noted = lg->state->noted;

	lg->state->noted = 0;
	if (vector < 32)
		noted |= BIT(vector) & (BIT(X86_TRAP_NMI) | BIT(X86_TRAP_MC));
	if (noted)
		lg->counters.nmis++;
	/*
	 * The NMI first: they are blocked since it came, and the iret of its
	 * handler has to be the first.
	 */
	if (noted & BIT(X86_TRAP_NMI))
		replay(X86_TRAP_NMI);
	if (noted & BIT(X86_TRAP_MC))
		replay(X86_TRAP_MC);
	if (is_external(vector)) {
		lg->counters.host_interrupts++;
		/*
		 * The tick finds the kernel running, and cannot tell that
		 * nothing in it holds RCU; nor would a guest that spins ever
		 * leave but for such interrupts.
		 */
		rcu_note_context_switch(false);
		replay(vector);
	}
}

/* By a signal, or by work that is done on the way back to user mode. */
static bool wanted_elsewhere(void)
{
	return read_thread_flags() &
	       (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | _TIF_NOTIFY_RESUME);
}

/*
 * One stay in the guest, if there is nothing better to do.  The CPU is kept
 * from the scheduler, whose next task could find the guest's FPU.  A guest that
 * is not trusted has its own in it, as some CPUs let programs guess at what is
 * there while CR0.TS is set.  False if nothing that the guest has done, and no
 * interrupt, ended it.
 */
static bool stay(struct lguest *lg, u32 *vector)
{
	bool fpu = lg->fpu_wanted || lg_use_ibpb;
	bool hosts_page = false;
	bool entered = false;

	preempt_disable();
	if (fpu)
		lg_fpu_load(lg);
	local_irq_disable();
	WRITE_ONCE(lg->in_guest, true);
	/* in_guest, before the look at what is raised: pairs with lg_wake(). */
	smp_mb();
	if (!need_resched() && !wanted_elsewhere() && !lg_irq_ready(lg)) {
		lg->counters.entries++;
		*vector = lg_run_guest(lg, fpu);
		entered = true;
	}
	WRITE_ONCE(lg->in_guest, false);
	if (entered) {
		hosts_page = is_hosts_page_fault(*vector);
		replay_exit(lg, *vector);
	}
	local_irq_enable();
	if (fpu)
		lg_fpu_save(lg);
	preempt_enable();
	if (hosts_page)
		await_hosts_page(lg->state->cr2);
	return entered && !hosts_page;
}

static void enter(struct lguest *lg)
{
	u32 vector;

	lg_segments_check(lg);
	if (lg->shadow.pin_stack)
		lg_paging_pin_stack(lg);
	if (lg->dead || !stay(lg, &vector))
		return;

	trace_lguest_exit(vector, lg_regs(lg)->eip, lg_regs(lg)->error);
	if (is_external(vector) || vector == X86_TRAP_NMI ||
	    vector == X86_TRAP_MC)
		return;
	/* The FPU is the guest's as long as only the host interrupts it. */
	lg->fpu_wanted = false;
	lg_handle_trap(lg, vector);
}

static ssize_t give_notify(struct lguest *lg, unsigned long __user *buf)
{
	/* This read() tells of it, the next one goes on. */
	lg->notify = false;
	if (put_user((unsigned long)lg->notify_address, buf))
		return -EFAULT;
	return sizeof(*buf);
}

/* What read() is to return, or 0 when the guest is dead. */
ssize_t lg_run(struct lguest *lg, unsigned long __user *buf)
{
	while (!lg->dead) {
		if (lg->hypercall)
			lg_do_hypercalls(lg);
		if (lg->dead)
			break;
		if (lg->notify)
			return give_notify(lg, buf);
		/*
		 * A signal; or work like that of a timer of the CPU time that
		 * the guest has used, of which a signal may come, or nothing.
		 */
		if (wanted_elsewhere()) {
			set_thread_flag(TIF_SIGPENDING);
			return -ERESTARTSYS;
		}
		lg_deliver_irq(lg);
		if (lg->dead)
			break;
		if (lg->halted) {
			lg->counters.halts++;
			wait_event_interruptible(lg->wait, lg_irq_ready(lg));
			continue;
		}
		enter(lg);
		cond_resched();
	}
	return 0;
}
