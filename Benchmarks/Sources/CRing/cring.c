// SPDX-License-Identifier: Apache-2.0
#include "cring.h"

#include <stdlib.h>

#define SEGMENTS 1024
#define CHAIN_LIMIT 1024

#define F_NEXT 1
#define F_WRITE 2
#define F_INDIRECT 4
#define F_AVAIL (1 << 7)
#define F_USED (1 << 15)

struct segment {
	uintptr_t address;
	size_t byte_count;
};

struct slot {
	uint32_t written;
	uint16_t descriptors;
	bool done;
};

struct chain {
	struct segment *segments;
	size_t count;
	size_t readable_count;
	size_t readable_bytes;
	size_t writable_bytes;
	uint16_t id;
	uint16_t descriptors;
};

struct cring {
	bool packed;
	bool indirect;
	uint16_t size;
	uint16_t next_available;
	uint16_t next_used;
	uint16_t seen_available;
	uint16_t in_flight_count;
	uint16_t in_flight_descriptors;
	/* Since the driver was last asked whether it wants a call. */
	uint64_t published;
	bool available_wrap;
	bool used_wrap;
	uintptr_t first, second, third;
	const struct cring_region *regions;
	size_t region_count;
	struct cring_region last_hit;
	struct slot *in_flight;
	struct chain chain;
	size_t chain_limit;
};

struct descriptor {
	uint64_t address;
	uint64_t word;
};

/* Words that the driver may change under us: read once, written whole. */
static inline uint16_t load16(uintptr_t at, int order)
{
	return __atomic_load_n((uint16_t *)at, order);
}

static inline uint64_t load64(uintptr_t at, int order)
{
	return __atomic_load_n((uint64_t *)at, order);
}

static inline void store16(uintptr_t at, uint16_t value, int order)
{
	__atomic_store_n((uint16_t *)at, value, order);
}

static inline void store32(uintptr_t at, uint32_t value)
{
	__atomic_store_n((uint32_t *)at, value, __ATOMIC_RELAXED);
}

struct cring *cring_new(bool packed, uint16_t size, bool indirect, uintptr_t first,
			uintptr_t second, uintptr_t third, const struct cring_region *regions,
			size_t region_count)
{
	struct cring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return NULL;
	ring->packed = packed;
	ring->size = size;
	ring->indirect = indirect;
	ring->first = first;
	ring->second = second;
	ring->third = third;
	ring->regions = regions;
	ring->region_count = region_count;
	ring->last_hit = regions[0];
	ring->available_wrap = true;
	ring->used_wrap = true;
	ring->chain_limit = size > CHAIN_LIMIT ? size : CHAIN_LIMIT;
	ring->in_flight = calloc(size, sizeof(*ring->in_flight));
	ring->chain.segments = calloc(SEGMENTS, sizeof(*ring->chain.segments));
	if (!ring->in_flight || !ring->chain.segments) {
		cring_free(ring);
		return NULL;
	}
	return ring;
}

void cring_free(struct cring *ring)
{
	if (!ring)
		return;
	free(ring->in_flight);
	free(ring->chain.segments);
	free(ring);
}

static bool find_region(const struct cring *ring, uint64_t address, struct cring_region *found)
{
	size_t low = 0, high = ring->region_count;

	while (low < high) {
		size_t middle = (low + high) >> 1;

		if (ring->regions[middle].guest_address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	*found = ring->regions[low - 1];
	return address - found->guest_address < found->byte_count;
}

struct builder {
	struct cring_region region;
	size_t count, readable_count, readable_bytes, writable_bytes;
	bool has_writable;
};

static __attribute__((noinline)) bool append_pieces(struct cring *ring, struct builder *builder,
						    uint64_t address, uint64_t length,
						    bool writable)
{
	while (length) {
		uint64_t offset, piece;

		if (!find_region(ring, address, &builder->region))
			return false;
		offset = address - builder->region.guest_address;
		piece = builder->region.byte_count - offset;
		if (piece > length)
			piece = length;
		if (builder->count >= SEGMENTS)
			return false;
		ring->chain.segments[builder->count++] = (struct segment){
			builder->region.host_address + offset, piece
		};
		if (!writable)
			builder->readable_count = builder->count;
		length -= piece;
		address += piece;
	}
	return true;
}

static inline bool append(struct cring *ring, struct builder *builder, struct descriptor d,
			  bool writable)
{
	uint64_t length = (uint32_t)d.word;
	uint64_t offset;

	if (writable) {
		builder->writable_bytes += length;
		builder->has_writable = true;
	} else {
		if (builder->has_writable)
			return false;
		builder->readable_bytes += length;
	}
	offset = d.address - builder->region.guest_address;
	if (offset < builder->region.byte_count && length <= builder->region.byte_count - offset &&
	    length) {
		if (builder->count >= SEGMENTS)
			return false;
		ring->chain.segments[builder->count++] = (struct segment){
			builder->region.host_address + offset, length
		};
		if (!writable)
			builder->readable_count = builder->count;
		return true;
	}
	return !length || append_pieces(ring, builder, d.address, length, writable);
}

static bool append_table(struct cring *ring, struct builder *builder, struct descriptor d,
			 bool follows_next)
{
	size_t length = (uint32_t)d.word, entries = length / 16, index = 0, steps = 0;
	struct cring_region region = builder->region;
	uint64_t offset;
	uintptr_t host;

	if (!length || length % 16)
		return false;
	offset = d.address - region.guest_address;
	if (offset >= region.byte_count || length > region.byte_count - offset) {
		if (!find_region(ring, d.address, &region))
			return false;
		offset = d.address - region.guest_address;
		/* A table that crosses regions is not part of the race. */
		if (length > region.byte_count - offset)
			return false;
	}
	host = region.host_address + offset;
	for (;;) {
		struct descriptor entry;
		uint16_t flags;

		if (steps++ >= ring->chain_limit)
			return false;
		entry.address = load64(host + index * 16, __ATOMIC_RELAXED);
		entry.word = load64(host + index * 16 + 8, __ATOMIC_RELAXED);
		flags = follows_next ? entry.word >> 32 : entry.word >> 48;
		if (flags & F_INDIRECT)
			return false;
		if (!append(ring, builder, entry, flags & F_WRITE))
			return false;
		if (follows_next) {
			if (!(flags & F_NEXT))
				return true;
			index = (uint16_t)(entry.word >> 48);
			if (index >= entries)
				return false;
		} else if (++index >= entries) {
			return true;
		}
	}
}

static inline bool finish(struct cring *ring, struct builder *builder, uint16_t id,
			  uint16_t descriptors)
{
	if (builder->readable_bytes + builder->writable_bytes > UINT32_MAX)
		return false;
	ring->last_hit = builder->region;
	ring->chain.count = builder->count;
	ring->chain.readable_count = builder->readable_count;
	ring->chain.readable_bytes = builder->readable_bytes;
	ring->chain.writable_bytes = builder->writable_bytes;
	ring->chain.id = id;
	ring->chain.descriptors = descriptors;
	ring->in_flight[id] = (struct slot){ 0, descriptors, false };
	ring->in_flight_count++;
	return true;
}

/* 1: a chain was taken; 0: none there; -1: the ring is broken. */
static inline int split_pop(struct cring *ring)
{
	struct builder builder = { .region = ring->last_hit };
	uint16_t mask = ring->size - 1, head, index, count = 0;

	if (ring->next_available == ring->seen_available) {
		uint16_t seen = load16(ring->second + 2, __ATOMIC_ACQUIRE);

		if ((uint16_t)(seen - ring->next_available) >
		    (uint16_t)(ring->size - ring->in_flight_count))
			return -1;
		ring->seen_available = seen;
		if (seen == ring->next_available)
			return 0;
	}
	head = load16(ring->second + 4 + 2 * (ring->next_available & mask), __ATOMIC_RELAXED);
	if (head >= ring->size || ring->in_flight[head].descriptors)
		return -1;
	for (index = head;;) {
		struct descriptor d;
		uint16_t flags;

		d.address = load64(ring->first + 16 * (size_t)(index & mask), __ATOMIC_RELAXED);
		d.word = load64(ring->first + 16 * (size_t)(index & mask) + 8, __ATOMIC_RELAXED);
		count++;
		flags = d.word >> 32;
		if (flags & F_INDIRECT) {
			if (!ring->indirect || flags & F_NEXT ||
			    !append_table(ring, &builder, d, true))
				return -1;
			break;
		}
		if (!append(ring, &builder, d, flags & F_WRITE))
			return -1;
		if (!(flags & F_NEXT))
			break;
		if (count >= ring->size)
			return -1;
		index = d.word >> 48;
		if (index >= ring->size)
			return -1;
	}
	if (!finish(ring, &builder, head, count))
		return -1;
	ring->next_available++;
	return 1;
}

static inline void split_push(struct cring *ring, uint32_t written)
{
	uint16_t id = ring->chain.id;
	uintptr_t entry = ring->third + 4 + 8 * (size_t)(ring->next_used & (ring->size - 1));

	if (!ring->in_flight[id].descriptors)
		abort();
	ring->in_flight[id] = (struct slot){ 0 };
	store32(entry, id);
	store32(entry + 4, written);
	ring->next_used++;
	ring->in_flight_count--;
	ring->published++;
	store16(ring->third + 2, ring->next_used, __ATOMIC_RELEASE);
}

static inline bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & F_AVAIL) == wrap && !!(flags & F_USED) != wrap;
}

static inline struct descriptor packed_descriptor(const struct cring *ring, uint16_t slot)
{
	struct descriptor d;

	d.word = load64(ring->first + 16 * (size_t)slot + 8, __ATOMIC_ACQUIRE);
	d.address = load64(ring->first + 16 * (size_t)slot, __ATOMIC_RELAXED);
	return d;
}

static inline int packed_pop(struct cring *ring)
{
	struct builder builder = { .region = ring->last_hit };
	struct descriptor d = packed_descriptor(ring, ring->next_available);
	uint16_t slot = ring->next_available, count = 0, id;
	bool wrap = ring->available_wrap;

	if (!is_available(d.word >> 48, wrap))
		return 0;
	for (;;) {
		uint16_t flags = d.word >> 48;

		count++;
		if (++slot == ring->size) {
			slot = 0;
			wrap = !wrap;
		}
		if (flags & F_INDIRECT) {
			if (!ring->indirect || flags & F_NEXT ||
			    !append_table(ring, &builder, d, false))
				return -1;
			break;
		}
		if (!append(ring, &builder, d, flags & F_WRITE))
			return -1;
		if (!(flags & F_NEXT))
			break;
		if (count >= (uint16_t)(ring->size - ring->in_flight_descriptors))
			return -1;
		d = packed_descriptor(ring, slot);
		if (!is_available(d.word >> 48, wrap))
			return -1;
	}
	id = d.word >> 32;
	if (id >= ring->size || ring->in_flight[id].descriptors ||
	    count > (uint16_t)(ring->size - ring->in_flight_descriptors))
		return -1;
	if (!finish(ring, &builder, id, count))
		return -1;
	ring->in_flight_descriptors += count;
	ring->next_available = slot;
	ring->available_wrap = wrap;
	return 1;
}

static inline void packed_push(struct cring *ring, uint32_t written)
{
	uint16_t id = ring->chain.id, descriptors = ring->in_flight[id].descriptors;
	uintptr_t at = ring->first + 16 * (size_t)ring->next_used;
	uint16_t flags = ring->used_wrap ? F_AVAIL | F_USED : 0;

	if (!descriptors)
		abort();
	ring->in_flight[id] = (struct slot){ 0 };
	store32(at + 8, written);
	store16(at + 12, id, __ATOMIC_RELAXED);
	if (written)
		flags |= F_WRITE;
	ring->in_flight_count--;
	ring->in_flight_descriptors -= descriptors;
	ring->next_used += descriptors;
	if (ring->next_used >= ring->size) {
		ring->next_used -= ring->size;
		ring->used_wrap = !ring->used_wrap;
	}
	ring->published += descriptors;
	store16(at + 14, flags, __ATOMIC_RELEASE);
}

int cring_pop(struct cring *ring)
{
	return ring->packed ? packed_pop(ring) : split_pop(ring);
}

void cring_push(struct cring *ring, uint32_t written)
{
	if (ring->packed)
		packed_push(ring, written);
	else
		split_push(ring, written);
}
