# SPDX-License-Identifier: Apache-2.0
"""The one exception of the beds: something that was to be shown did not show."""


class Failure(Exception):
  """One clear line for the person who reads the run: what was expected, what was seen."""
