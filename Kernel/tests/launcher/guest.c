// SPDX-License-Identifier: GPL-2.0-only
/* The guest's memory, what lies in it at the start, and its interrupts. */
#include "launcher.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lguest_abi.h"

/* Linux's boot_params: the few fields that a guest and its host read (see its boot protocol). */
enum {
	E820_ENTRIES = 0x1e8,
	SETUP_SECTORS = 0x1f1,
	MAGIC = 0x202,
	VERSION = 0x206,
	TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211,
	CODE32_START = 0x214,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	COMMAND_LINE_POINTER = 0x228,
	KERNEL_ALIGNMENT = 0x230,
	HARDWARE_SUBARCH = 0x23c,
	E820_MAP = 0x2d0,
	COMMAND_LINE = 0x1000,
	BZIMAGE_AT = 0x100000,
};

struct guest guest;

void guest_make(uint32_t megabytes)
{
	size_t bytes;

	guest.ram = megabytes << 20;
	guest.limit = guest.ram + PAGE;
	bytes = (size_t)guest.ram + DEVICE_PAGES * PAGE;
	guest.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (guest.memory == MAP_FAILED)
		fail("%zu bytes of guest memory: %s", bytes, strerror(errno));
}

static void put32(uint32_t address, uint32_t value)
{
	memcpy(guest.memory + address, &value, sizeof(value));
}

static void fill_boot_params(const char *command_line)
{
	guest.memory[E820_ENTRIES] = 1;
	put32(E820_MAP + 8, guest.ram);
	put32(E820_MAP + 16, 1);
	guest.memory[TYPE_OF_LOADER] = 0xff;
	guest.memory[LOADFLAGS] = 0x40;
	guest.memory[VERSION] = 7;
	guest.memory[VERSION + 1] = 2;
	put32(COMMAND_LINE_POINTER, COMMAND_LINE);
	put32(KERNEL_ALIGNMENT, 0x1000000);
	put32(HARDWARE_SUBARCH, 1);
	snprintf((char *)guest.memory + COMMAND_LINE, 2048, "%s", command_line);
}

struct file {
	const uint8_t *bytes;
	size_t size;
};

static struct file map(const char *path)
{
	struct file file;
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0)
		fail("%s: %s", path, strerror(errno));
	file.size = status.st_size;
	file.bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file.bytes == MAP_FAILED)
		fail("%s: %s", path, strerror(errno));
	close(fd);
	return file;
}

static uint32_t load_elf(const char *path, struct file file)
{
	const Elf32_Ehdr *header = (const Elf32_Ehdr *)file.bytes;

	if (header->e_machine != EM_386 || header->e_phentsize != sizeof(Elf32_Phdr) ||
	    header->e_phoff + (uint64_t)header->e_phnum * sizeof(Elf32_Phdr) > file.size)
		fail("%s is no i386 kernel", path);
	for (unsigned int i = 0; i < header->e_phnum; i++) {
		const Elf32_Phdr *part = (const Elf32_Phdr *)(file.bytes + header->e_phoff) + i;
		void *to = guest_bytes(part->p_paddr, part->p_memsz);

		if (part->p_type != PT_LOAD)
			continue;
		if (!to || part->p_filesz > part->p_memsz ||
		    (uint64_t)part->p_offset + part->p_filesz > file.size)
			fail("%s does not fit into the guest's memory", path);
		memcpy(to, file.bytes + part->p_offset, part->p_filesz);
	}
	return header->e_entry;
}

static uint32_t load_bzimage(const char *path, struct file file)
{
	size_t setup = (file.bytes[SETUP_SECTORS] + 1) * 512;
	uint32_t start;

	if (setup >= file.size || !guest_bytes(BZIMAGE_AT, file.size - setup))
		fail("%s does not fit into the guest's memory", path);
	memcpy(guest.memory + BZIMAGE_AT, file.bytes + setup, file.size - setup);
	memcpy(&start, file.bytes + CODE32_START, sizeof(start));
	return start;
}

static void load_initrd(const char *path)
{
	struct file file = map(path);
	size_t rounded = (file.size + PAGE - 1) & ~(size_t)(PAGE - 1);

	if (rounded > guest.ram / 2)
		fail("%s does not fit into the guest's memory", path);
	memcpy(guest.memory + guest.ram - rounded, file.bytes, file.size);
	put32(RAMDISK_IMAGE, guest.ram - rounded);
	put32(RAMDISK_SIZE, rounded);
	munmap((void *)file.bytes, file.size);
}

uint32_t guest_load(const char *path, const char *initrd, const char *command_line)
{
	struct file file = map(path);
	uint32_t start;

	if (file.size > sizeof(Elf32_Ehdr) && memcmp(file.bytes, ELFMAG, SELFMAG) == 0)
		start = load_elf(path, file);
	else if (file.size > CODE32_START + 4 && memcmp(file.bytes + MAGIC, "HdrS", 4) == 0)
		start = load_bzimage(path, file);
	else
		fail("%s is neither an ELF kernel nor a bzImage", path);
	munmap((void *)file.bytes, file.size);
	fill_boot_params(command_line);
	if (initrd)
		load_initrd(initrd);
	return start;
}

void *guest_bytes(uint64_t address, uint64_t length)
{
	if (address > guest.limit || length > guest.limit - address)
		return NULL;
	return guest.memory + address;
}

void guest_interrupt(unsigned int irq)
{
	unsigned long request[] = { LHREQ_IRQ, irq };

	/* A guest that has died in the meantime answers ENOENT: nobody is left to interrupt. */
	if (write(guest.fd, request, sizeof(request)) < 0 && errno != ENOENT)
		fail("interrupt %u: %s", irq, strerror(errno));
}
