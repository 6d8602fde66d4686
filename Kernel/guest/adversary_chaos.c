// SPDX-License-Identifier: GPL-2.0-only
/* Nonsense wherever host and launcher read: lguest_data, the device page, the rings. */
#include "adversary.h"
#include "block.h"
#include "paging.h"
#include "rng.h"

static void noise(volatile void *to, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		((volatile uint8_t *)to)[i] = random();
}

/* What the host reads at each crossing; whether interrupts are on stays sensible now and then. */
static void data(void)
{
	for (uint32_t i = 0; i < 300; i++) {
		lguest_data.irq_enabled = random();
		lguest_data.blocked_interrupts = random();
		lguest_data.cr2 = random();
		lguest_data.irq_pending = random();
		noise(lguest_data.tail, sizeof(lguest_data.tail));
		lguest_data.reserve_mem = random();
		lguest_data.tsc_khz = random();
		lguest_data.blocked_interrupts |= 1 << TIMER_IRQ;
		timer_arm(1000);
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	}
	lguest_data.irq_enabled = 0;
}

static void ring(void)
{
	noise(lguest_data.hcall_status, sizeof(lguest_data.hcall_status));
	lguest_data.hcall_status[0] = SLOT_READY;
	noise(lguest_data.hcalls, sizeof(lguest_data.hcalls));
	hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
}

/* Slots in any state, but with calls that do no harm. */
static void ring_states(void)
{
	for (uint32_t round = 0; round < 200; round++) {
		memset((void *)lguest_data.hcalls, 0, sizeof(lguest_data.hcalls));
		noise(lguest_data.hcall_status, sizeof(lguest_data.hcall_status));
		hypercall(HCALL_FLUSH_ASYNC, 0, 0, 0, 0);
	}
}

/* Descriptors of devices that never were, and notifies of all of them. */
static void device_page(void)
{
	print_use_console(false);
	for (uint32_t round = 0; round < 20; round++) {
		noise((void *)DEVICE_BASE, PAGE_SIZE);
		for (uint32_t at = 0; at < 200; at++)
			hypercall(HCALL_NOTIFY, memory_bytes + at, 0, 0, 0);
		for (uint32_t page = 1; page < 20; page++)
			hypercall(HCALL_NOTIFY, memory_bytes + page * PAGE_SIZE, 0, 0, 0);
	}
}

/* Rings of running devices. */
static void device_rings(void)
{
	uint32_t pages = 3 * 6;

	print_use_console(false);
	block_init();
	rng_init();
	for (uint32_t round = 0; round < 50; round++) {
		noise((void *)(DEVICE_BASE + PAGE_SIZE), pages * PAGE_SIZE);
		for (uint32_t page = 1; page < pages; page++)
			hypercall(HCALL_NOTIFY, memory_bytes + page * PAGE_SIZE, 0, 0, 0);
	}
}

/* lguest_data is read through guest-physical memory: unmapping it here changes nothing there. */
static void data_unmapped(void)
{
	uint32_t address = (uint32_t)&lguest_data;

	/* Our own handlers need it, so the interrupt that comes has to wait. */
	interrupts_off();
	timer_arm(100000);
	pte_set(kernel_root, address, 0);
	for (uint32_t i = 0; i < 1000; i++)
		hypercall(HCALL_SEND_INTERRUPTS, 0, 0, 0, 0);
	pte_set(kernel_root, address, physical((void *)address) | PTE_KERNEL);
}

const struct adversary_case chaos_cases[] = {
	{ "data", data },
	{ "ring", ring },
	{ "ring-states", ring_states },
	{ "device-page", device_page },
	{ "device-rings", device_rings },
	{ "data-unmapped", data_unmapped },
	{ NULL, NULL },
};
