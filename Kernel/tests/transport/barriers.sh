# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# Barriers and flushes, in the kernel's own recording of what lgdev does to the image: when each write and each
# fdatasync begins and ends, and between them what the guest has seen of it (Kernel/guest/barriers.c).
tracing=/sys/kernel/tracing
rounds=50
# One number for each event, on whichever CPU.
echo counter >$tracing/trace_clock
echo 'number == 0' >$tracing/events/lguest/lguest_hypercall/filter
for event in lguest/lguest_hypercall io_uring/io_uring_submit_sqe io_uring/io_uring_complete \
  syscalls/sys_enter_pwritev syscalls/sys_exit_pwritev \
  syscalls/sys_enter_fdatasync syscalls/sys_exit_fdatasync; do
  echo 1 >$tracing/events/$event/enable
done

# record ENGINE: a guest's rounds in /tmp/trace.
record() {
  truncate -s 2M /tmp/disk
  echo >$tracing/trace
  echo 1 >$tracing/tracing_on
  lguest --kernel /guest --memory 16M --append barriers=$rounds --block "path=/tmp/disk,engine=$1" \
    </dev/null
  echo 0 >$tracing/tracing_on
  cat $tracing/trace >/tmp/trace
}

# in_order FILE: whether all rounds are in the recording, each in its order. Writes are told by their bytes:
# 1 to 4 sectors stand before the barrier, which has 5; 6 to 8 stand behind it. Then comes a flush, and one that
# has nothing to do.
in_order() {
  awk -v rounds="$rounds" '
    function wrong(what) {
      print "in round " done + 1 ", line " NR ": " what
      bad = 1
      exit
    }
    function key() {
      match($0, /user_data 0x[0-9a-f]+/)
      return substr($0, RSTART, RLENGTH)
    }
    function write_ends(id, bytes) {
      if (!(bytes in sectors)) wrong("a write of " bytes " bytes")
      first[sectors[bytes]] = begun[id]
      last[sectors[bytes]] = NR
      writes++
      delete begun[id]
    }
    function sync_ends(result) {
      if (result != "0" && result != "0x0") wrong("a sync gives " result)
      sync_last[++synced] = NR
    }
    function before(a, b, what) {
      if (!(a && b && a < b)) wrong(what " (" a " and " b ")")
    }
    BEGIN {
      for (i = 1; i <= 8; i++) sectors[i * 512] = sectors[sprintf("0x%x", i * 512)] = i
    }
    /lguest_hypercall: 0 \(0xba44, 0x1,/ { writes = syncs = synced = 0 }
    /lguest_hypercall: 0 \(0xba44, 0x2,/ { barrier_seen = NR }
    /lguest_hypercall: 0 \(0xba44, 0x3,/ { writes_seen = NR }
    /lguest_hypercall: 0 \(0xba44, 0x4,/ { flush_seen = NR }
    /io_uring_submit_sqe: .* opcode WRITEV?,/ { begun[key()] = NR }
    /io_uring_submit_sqe: .* opcode FSYNC,/ { syncing[key()] = 1; sync_first[++syncs] = NR }
    /io_uring_complete: / {
      match($0, /result -?[0-9]+/)
      result = substr($0, RSTART + 7, RLENGTH - 7)
      id = key()
      if (id in begun) write_ends(id, result)
      else if (id in syncing) { delete syncing[id]; sync_ends(result) }
    }
    / sys_pwritev\(/ { begun["call"] = NR }
    / sys_pwritev -> / { write_ends("call", $NF) }
    / sys_fdatasync\(/ { sync_first[++syncs] = NR }
    / sys_fdatasync -> / { sync_ends($NF) }
    /lguest_hypercall: 0 \(0xba44, 0x5,/ {
      if (writes != 8) wrong(writes " writes, not 8")
      if (syncs != 3 || synced != 3) wrong(syncs " syncs began, " synced " ended, not 3")
      for (i = 1; i <= 4; i++)
        before(last[i], sync_first[1], "the first sync begins before a write before the barrier ends")
      before(sync_last[1], first[5], "the barrier begins before the first sync ends")
      before(last[5], sync_first[2], "the second sync begins before the barrier ends")
      before(sync_last[2], barrier_seen, "the guest sees the barrier done before the second sync ends")
      for (i = 6; i <= 8; i++)
        before(sync_last[2], first[i], "a write behind the barrier begins before the second sync ends")
      before(writes_seen, sync_first[3], "the sync of the flush begins before the guest asks for it")
      before(sync_last[3], flush_seen, "the guest sees the flush done before its sync ends")
      done++
    }
    END {
      if (!bad && done != rounds) print done " rounds, not " rounds
      exit bad || done != rounds
    }' "$1"
}

fails() {
  ! "$@"
}

for engine in uring threads; do
  record $engine
  ends "engine=$engine: a guest puts barriers between its writes" 0
  has "engine=$engine: they all go well" "$rounds of $rounds rounds went well"
  check "engine=$engine: drain, sync, barrier, sync, and only then what is behind it" in_order /tmp/trace
  # What a test of a recording is worth: it has to notice what is missing.
  sed '/FSYNC/d; /fdatasync/d' /tmp/trace >/tmp/without
  check "engine=$engine: a recording without syncs is not in order" fails in_order /tmp/without
  # The lines of two neighbours change places: the end of the first sync and the barrier's begin.
  awk -v begin="$([ $engine = uring ] && echo 'opcode WRITE' || echo 'sys_pwritev\\(')" '
    { line[NR] = $0 }
    /0xba44, 0x1,/ { w = 0 }
    $0 ~ begin && ++w == 5 { swap = line[NR - 1]; line[NR - 1] = $0; line[NR] = swap }
    END { for (i = 1; i <= NR; i++) print line[i] }' /tmp/trace >/tmp/swapped
  check "engine=$engine: nor is one in which the barrier begins too early" fails in_order /tmp/swapped
done
