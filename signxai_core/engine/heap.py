"""What the C library does with freed memory.

A walk frees and asks for arrays of a few megabytes all the time. The GNU C library hands them back to
the system as soon as twice the size of the largest array that it ever freed is free at the end of its
heap, and then every page of the next array is a page fault. It learns from what is freed how much to
keep (see ``M_MMAP_THRESHOLD`` in ``mallopt(3)``), up to 64 MiB, and so it is shown one block of the
largest size that it learns from, once, and never touched. Other C libraries are not impressed.
"""

from __future__ import annotations

import functools

import numpy as np

#: The largest block that the library learns from is 32 MiB with what it adds itself.
_BLOCK = 2**25 - 2**13


@functools.cache
def settle() -> None:
    """Have the C library keep up to 64 MiB of freed memory for what is asked for next."""
    np.empty(_BLOCK, dtype=np.uint8)
