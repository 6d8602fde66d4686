// SPDX-License-Identifier: Apache-2.0
//
// What a thread can ask and set about itself.

import CLinux
import Glibc

/// The calling thread.
public enum CurrentThread {
  /// The kernel's number for it, as shown by `ps -L` (gettid(2)).
  public static var id: Int32 { clinux_gettid() }

  /// Its name, as shown by ps and top.
  public static var name: String {
    var text = [CChar](repeating: 0, count: 16)
    // SAFETY: the kernel's names take 16 bytes with their terminator, which is what the buffer has.
    unsafe text.withUnsafeMutableBufferPointer { buffer in
      _ = unsafe clinux_pthread_getname(pthread_self(), buffer.baseAddress, buffer.count)
    }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// Names it. The name is cut to 15 bytes, which is all that the kernel keeps.
  public static func setName(_ name: String) {
    let cut = name.utf8.prefix(15).map(CChar.init(bitPattern:)) + [0]
    // SAFETY: the string is terminated and at most 16 bytes long; the call copies it.
    unsafe cut.withUnsafeBufferPointer { buffer in
      _ = unsafe clinux_pthread_setname(pthread_self(), buffer.baseAddress)
    }
  }

  /// Takes back what the C library has registered with the kernel for it (rseq(2)): where there is an area
  /// to keep up to date, each time it was preempted the kernel makes it return to user space first. Where
  /// there is none nothing happens.
  ///
  /// For a thread that stays inside a system call: `sched_getcpu` becomes slower on it.
  public static func leaveRestartableSequences() { _ = clinux_rseq_unregister() }

  /// Moves it to a network of its own, which goes with the last thread and tap in it (unshare(2)). Threads
  /// that it starts later are in it too.
  ///
  /// - Throws: `.permission` without CAP_SYS_ADMIN.
  public static func moveToNewNetwork() throws(Errno) {
    _ = try systemCall(retryOnInterrupt: false) { clinux_unshare_network() }
  }

  /// The numbers of the processors it may run on (sched_getaffinity(2)).
  public static var processors: [Int] {
    var mask = ProcessorMask([])
    // SAFETY: the kernel writes at most as many bytes as the mask has. It cannot fail for this
    // thread, and if it did the mask would stay empty.
    unsafe mask.words.withUnsafeMutableBytes { bytes in
      _ = unsafe clinux_sched_getaffinity(0, bytes.count, bytes.baseAddress)
    }
    return mask.processors
  }

  /// Limits it to the given processors (sched_setaffinity(2)).
  ///
  /// - Throws: `.invalidArgument` when none of them exists.
  public static func setProcessors(_ processors: [Int]) throws(Errno) {
    let mask = ProcessorMask(processors)
    _ = try systemCall(retryOnInterrupt: false) {
      // SAFETY: the call copies the mask's bytes before it returns.
      unsafe mask.words.withUnsafeBytes { bytes in
        unsafe clinux_sched_setaffinity(0, bytes.count, bytes.baseAddress)
      }
    }
  }
}

/// A set of processors as the kernel wants it: a bit each.
struct ProcessorMask {
  /// 1024 processors, as in glibc's cpu_set_t. Numbers out of range are left out.
  fileprivate(set) var words = [UInt](repeating: 0, count: 1024 / UInt.bitWidth)

  init(_ processors: [Int]) {
    for processor in processors where processor >= 0 && processor < 1024 {
      words[processor / UInt.bitWidth] |= 1 << UInt(processor % UInt.bitWidth)
    }
  }

  var processors: [Int] {
    (0..<1024).filter { words[$0 / UInt.bitWidth] & 1 << UInt($0 % UInt.bitWidth) != 0 }
  }
}
