"""Figures of relevance, for papers and notebooks (extra ``plot``: matplotlib, cmcrameri).

Every function draws one sample, takes ``ax`` where that makes sense, and returns figure and axes:

    from signxai_core import plot
    figure, axes = plot.image(explanation.relevance[0], x[0])
    plot.save(figure, "map.pdf")

Colours are symmetric around 0. The map ``vik`` is safe for colour-blind readers; ``cmap="seismic"``
is the customary one. What became of channels is written at the colour bar.
"""

from signxai_core.extras import need

need("matplotlib", "cmcrameri", purpose="signxai_core.plot", extra="plot")

from signxai_core.plot.averages import beat_average, lead_averages  # noqa: E402 - the check comes first
from signxai_core.plot.canvas import Drawn, save  # noqa: E402
from signxai_core.plot.ecg import LARGEST_MILLIVOLTS, beat, ecg  # noqa: E402
from signxai_core.plot.grids import difference, grid, side_by_side  # noqa: E402
from signxai_core.plot.images import image, spectrogram  # noqa: E402
from signxai_core.plot.intervals import intervals  # noqa: E402
from signxai_core.plot.of_explanation import draw, html  # noqa: E402
from signxai_core.plot.series import bars, series  # noqa: E402

__all__ = [
    "LARGEST_MILLIVOLTS",
    "Drawn",
    "bars",
    "beat",
    "beat_average",
    "difference",
    "draw",
    "ecg",
    "grid",
    "html",
    "image",
    "intervals",
    "lead_averages",
    "save",
    "series",
    "side_by_side",
    "spectrogram",
]
