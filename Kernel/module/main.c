// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading, and the machines on which the Switcher cannot work.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/version.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/hypervisor.h>
#include <asm/processor.h>

#include "lg.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

bool lg_use_ibpb;
module_param_named(ibpb, lg_use_ibpb, bool, 0444);
MODULE_PARM_DESC(ibpb, "Branch predictor barrier at each exit from a guest: for guests less trusted than root (default: off)");

unsigned int lg_max_tables = 4096;
module_param_named(max_tables, lg_max_tables, uint, 0444);
MODULE_PARM_DESC(max_tables, "Most pages of shadow page tables for one guest (default: 4096)");

/* The top-level tables of all roots, the Switcher's, and a few to work with. */
#define LEAST_TABLES	256

/* Without 32-bit programs, vector 0x80 is one for devices like any other. */
static bool has_syscall_gate(void)
{
	struct desc_ptr idt;
	gate_desc *gate;

	store_idt(&idt);
	gate = (gate_desc *)idt.address + LG_SYSCALL_VECTOR;
	return gate->bits.p && gate->bits.dpl == 3;
}

/* What stands in the way, or NULL. */
static const char *obstacle(void)
{
	if (boot_cpu_has(X86_FEATURE_XENPV))
		return "this is a Xen PV guest, whose kernel is not at ring 0";
#ifdef X86_FEATURE_FRED
	if (boot_cpu_has(X86_FEATURE_FRED) && native_read_cr4() & X86_CR4_FRED)
		return "FRED is on, and there is no IDT (boot with fred=off)";
#endif
	if (cc_platform_has(CC_ATTR_GUEST_STATE_ENCRYPT) ||
	    cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return "memory or registers are encrypted (SEV, SME or TDX)";
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
	/* Its page faults can be told from a guest's by KVM's own module only. */
	if (hypervisor_is_type(X86_HYPER_KVM))
		return "this is a guest of KVM, and its kernel is newer than 6.18";
#endif
	if (!has_syscall_gate())
		return "there is no gate for int 0x80 (ia32_emulation=0)";
	return NULL;
}

static int __init lg_init(void)
{
	const char *reason = obstacle();
	int err;

	if (reason) {
		pr_err("%s\n", reason);
		return -ENODEV;
	}
	if (lg_max_tables < LEAST_TABLES) {
		pr_err("max_tables must be at least %u\n", LEAST_TABLES);
		return -EINVAL;
	}
	err = lg_switcher_init();
	if (err)
		return err;
	err = misc_register(&lg_device);
	if (err)
		lg_switcher_exit();
	return err;
}

static void __exit lg_exit(void)
{
	misc_deregister(&lg_device);
	/* What the last guests have left to RCU is code of this module's. */
	rcu_barrier();
	lg_switcher_exit();
}

module_init(lg_init);
module_exit(lg_exit);

MODULE_DESCRIPTION("lguest: 32-bit guests on x86-64 without hardware virtualization");
MODULE_AUTHOR("lgdev");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
