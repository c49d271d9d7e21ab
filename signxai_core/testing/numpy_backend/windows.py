r"""Windows that slide over the spatial axes: what convolutions and pooling are made of.

Arrays are (batch, channels, \*spatial); windows of them (batch, channels, \*positions, \*kernel).
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np

from signxai_core.testing.nodes import Array, Shape

#: Every sample and channel.
EVERY: Final = (slice(None), slice(None))


@attrs.frozen
class Windows:
    """One number per spatial axis each."""

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape

    def gather(self, x: Array, *, fill: float = 0.0) -> Array:
        """Return every window of an array padded with ``fill``."""
        axes = len(self.kernel)
        padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)], constant_values=fill)
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        views = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + axes)))
        steps = tuple(slice(None, None, step) for step in (*self.stride, *self.dilation))
        return np.asarray(views[EVERY + steps])

    def scatter(self, parts: Array, sizes: Shape) -> Array:
        """Return the adjoint of :meth:`gather`: windows added up where they overlap, padding cut off."""
        positions = parts.shape[2 : 2 + len(sizes)]
        wide = [size + 2 * p for size, p in zip(sizes, self.padding, strict=True)]
        total = np.zeros((*parts.shape[:2], *wide))
        every_position: tuple[Any, ...] = (slice(None),) * (2 + len(sizes))
        for tap in np.ndindex(*self.kernel):
            axes = zip(tap, self.dilation, self.stride, positions, strict=True)
            region = tuple(slice(t * d, t * d + s * (count - 1) + 1, s) for t, d, s, count in axes)
            total[EVERY + region] += parts[every_position + tap]
        inside = tuple(slice(p, p + size) for p, size in zip(self.padding, sizes, strict=True))
        return np.asarray(total[EVERY + inside])

    def correlate(self, x: Array, weight: Array, groups: int) -> Array:
        r"""Return the convolution of ``x`` with a weight (out, in / groups, \*kernel)."""
        found = self.gather(x)
        out, kernel, letters = weight.shape[0], weight.shape[1:], self._letters()
        split = found.reshape(len(x), groups, -1, *found.shape[2:])
        by_group = weight.reshape(groups, out // groups, *kernel)
        z = np.einsum("ngi{0}{1},gji{1}->ngj{0}".format(*letters), split, by_group, optimize=True)
        return np.asarray(z.reshape(len(x), out, *z.shape[3:]))

    def spread(self, r: Array, weight: Array, groups: int, sizes: Shape) -> Array:
        """Return the adjoint of :meth:`correlate`: from its output back to an input of these sizes."""
        out, kernel, letters = weight.shape[0], weight.shape[1:], self._letters()
        split = r.reshape(len(r), groups, out // groups, *r.shape[2:])
        by_group = weight.reshape(groups, out // groups, *kernel)
        parts = np.einsum("ngj{0},gji{1}->ngi{0}{1}".format(*letters), split, by_group, optimize=True)
        return self.scatter(parts.reshape(len(r), -1, *parts.shape[3:]), sizes)

    def _letters(self) -> tuple[str, str]:
        axes = len(self.kernel)
        return "pqr"[:axes], "xyz"[:axes]
