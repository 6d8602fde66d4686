// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's clocks: a one-shot timer that is its interrupt 0, the wall time
 * that stands in its lguest_data, and the rate of the TSC, which it reads by
 * itself.
 */
#include <linux/ktime.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <asm/cpufeature.h>
#include <asm/tsc.h>

#include "lg.h"

static enum hrtimer_restart expired(struct hrtimer *timer)
{
	struct lguest *lg = container_of(timer, struct lguest, timer);

	set_bit(0, &lg->irqs);
	lg_wake(lg);
	return HRTIMER_NORESTART;
}

void lg_clock_init(struct lguest *lg)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&lg->timer, expired, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
#else
	hrtimer_init(&lg->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	lg->timer.function = expired;
#endif
}

void lg_clock_exit(struct lguest *lg)
{
	hrtimer_cancel(&lg->timer);
}

/*
 * 0 stops the timer.  Its time is monotonic: whoever sets the host's wall clock
 * neither delays a guest's tick nor hastens it.
 */
void lg_clock_set(struct lguest *lg, u32 delta)
{
	if (!delta) {
		hrtimer_cancel(&lg->timer);
		return;
	}
	hrtimer_start(&lg->timer, ns_to_ktime(delta), HRTIMER_MODE_REL);
}

void lg_clock_write_time(struct lguest *lg)
{
	struct timespec64 now;

	ktime_get_real_ts64(&now);
	lg_data_write(lg, LG_DATA_SECONDS, now.tv_sec);
	lg_data_write(lg, LG_DATA_NANOSECONDS, now.tv_nsec);
}

/* 0 where a guest must not keep time by the TSC. */
u32 lg_clock_tsc_khz(void)
{
	if (boot_cpu_has(X86_FEATURE_CONSTANT_TSC) && !check_tsc_unstable())
		return tsc_khz;
	return 0;
}
