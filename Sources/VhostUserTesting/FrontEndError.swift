// SPDX-License-Identifier: Apache-2.0

public import Linux

/// What a front-end found wrong with its back-end.
public enum FrontEndError: Error, Sendable, Equatable {
  /// The system refused a call.
  case system(Errno)
  /// The back-end has closed the connection.
  case closed
  /// Nothing came in time.
  case timeout
  /// A reply to another request, with wrong flags, or of an impossible size.
  case badReply
  /// The back-end says that it could not do what was asked.
  case refused
  /// The back-end has written nonsense to a ring.
  case badRing
}
