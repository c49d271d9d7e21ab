"""Simulated twelve-lead ECGs whose diagnosis has a known place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs
import numpy as np
import numpy.typing as npt

from signxai_core.data import waves
from signxai_core.data.truth import Flags, Truth
from signxai_core.errors import ParameterError

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

#: Names of the classes; the first has no mask.
CLASSES = ("normal", "AV block", "left bundle branch block", "right bundle branch block", "ischaemia")
SAMPLING_RATE = 500
SECONDS = 10
#: In millivolts: the mask is where a recording differs by more from its normal twin.
VISIBLE = 0.03
#: In seconds: what lies between two parts of a mask that are closer than this belongs to it, too.
_BRIDGE = 0.02
_BLOCKS: Mapping[str, Mapping[str, tuple[tuple[float, float, float], ...]]] = MappingProxyType(
    {CLASSES[2]: waves.LEFT_BLOCK, CLASSES[3]: waves.RIGHT_BLOCK}
)
_PR_NORMAL, _PR_LONG = (0.14, 0.17), (0.25, 0.29)


@attrs.frozen(eq=False, kw_only=True)
class _Draw:
    """Everything about a recording that is drawn, but its class and its noise."""

    beats: Floats
    intervals: Floats
    heights: Floats
    normal_pr: float
    long_pr: float
    wander: Floats


def ecgs(count: int, *, seed: int = 0, classes: Sequence[str] = CLASSES) -> Truth:
    """Simulate recordings of 10 s at 500 Hz, with noise, baseline wander and 50 to 120 beats per minute.

    Parameters
    ----------
    count
        Recordings, the same number of every class, or nearly.
    seed
        Another one gives other recordings.
    classes
        Some of :data:`CLASSES`, ``"normal"`` first.

    Returns
    -------
    Truth
        ``x``: N × 12 × 5000 in millivolts; ``mask``: the long PR interval's P wave and the place where
        it should be, the wide QRS complex, the depressed ST segment with its T wave, in the leads that
        show them.

    Notes
    -----
    Waves are those of McSharry's model (:mod:`signxai_core.data.waves`). Each class differs from the
    normal one by what defines it, and by nothing else: PR intervals of 0.25 to 0.29 s; wide, notched QRS
    complexes without changes of T; ST depression with inverted T in V3 to V6. Real recordings differ in
    many other ways: these are for judging maps, not hearts.

    Examples
    --------
    >>> truth = ecgs(5, seed=1)
    >>> truth.x.shape, truth.classes[truth.labels[1]]
    ((5, 12, 5000), 'AV block')
    """
    unknown = [name for name in classes if name not in CLASSES]
    if unknown or not classes or classes[0] != CLASSES[0]:
        raise ParameterError(f"classes must be some of {', '.join(CLASSES)}, normal first; got {list(classes)}")
    if count < 1:
        raise ParameterError(f"count must be at least 1, got {count}")
    places = [index % len(classes) for index in range(count)]
    made = [_recording(classes[k], np.random.default_rng([seed, index])) for index, k in enumerate(places)]
    x, normal, mask, elsewhere = (np.stack(parts) for parts in zip(*made, strict=True))
    return Truth(
        x=x,
        labels=np.array(places, dtype=np.int64),
        mask=mask,
        normal=normal,
        elsewhere=elsewhere,
        other=normal,
        classes=tuple(classes),
    )


def _recording(kind: str, random: np.random.Generator) -> tuple[Singles, Singles, Flags, Flags]:
    """Return a recording, a normal one with the same beats, its mask and a control."""
    draw = _drawn(random)
    redrawn = attrs.evolve(draw, heights=draw.heights * random.uniform(0.95, 1.05, draw.heights.shape))
    clean, twin = _clean(kind, draw), _clean(CLASSES[0], draw)
    apart = np.abs(clean - twin)
    shows = apart.max(axis=1, keepdims=True) > 1.5 * VISIBLE
    mask = _bridged((apart > VISIBLE) & shows)
    noise = random.laplace(0, random.uniform(0.01, 0.03) / np.sqrt(2), (2, *clean.shape))
    normal = _clean(CLASSES[0], redrawn) + draw.wander + noise[1]
    x = (clean + draw.wander + noise[0]).astype(np.float32)
    return x, normal.astype(np.float32), mask, _moved(mask)


def _drawn(random: np.random.Generator) -> _Draw:
    mean = 60 / random.uniform(50, 120)
    intervals = mean * (1 + 0.03 * random.standard_normal(64))
    beats = random.uniform(-1, 0) * mean - mean + np.cumsum(intervals)
    beats, intervals = beats[beats < SECONDS + mean], intervals[beats < SECONDS + mean]
    everywhere = random.uniform(0.85, 1.15)
    table = np.array(list(waves.HEIGHTS.values()))
    heights = table * everywhere * random.uniform(0.85, 1.15, table.shape)
    times = _times()
    phases, rates = random.uniform(0, 2 * np.pi, (12, 1)), random.uniform(0.1, 0.35, (12, 1))
    wander = random.uniform(0.02, 0.1, (12, 1)) * np.sin(2 * np.pi * rates * times + phases)
    return _Draw(
        beats=beats,
        intervals=intervals,
        heights=heights,
        normal_pr=random.uniform(*_PR_NORMAL),
        long_pr=random.uniform(*_PR_LONG),
        wander=wander,
    )


def _times() -> Floats:
    return np.arange(SECONDS * SAMPLING_RATE) / SAMPLING_RATE


def _clean(kind: str, draw: _Draw) -> Floats:
    """Return a recording without noise and wander."""
    measured = np.zeros((len(waves.MEASURED), SECONDS * SAMPLING_RATE))
    times = _times()
    pr = draw.long_pr if kind == "AV block" else draw.normal_pr
    for beat, interval in zip(draw.beats, draw.intervals, strict=True):
        first, stop = np.searchsorted(times, (beat - 0.5, beat + 0.75))
        if first < stop:
            since = times[first:stop] - beat
            heights, bells = zip(*_beat(kind, since, draw.heights, pr, float(np.sqrt(interval))), strict=True)
            measured[:, first:stop] += np.stack(heights, axis=1) @ np.stack(bells)
    return waves.twelve(dict(zip(waves.MEASURED, measured, strict=True)))


def _beat(kind: str, since: Floats, heights: Floats, pr: float, stretch: float) -> Iterator[tuple[Floats, Floats]]:
    """Yield the waves of a beat, and their height in every measured lead.

    ``stretch`` moves and widens T at slow rates (Bazett).
    """
    p, q, r, s, t = heights.T
    yield p, waves.bell(since, -pr, 0.02)
    blocks = _BLOCKS.get(kind, {})
    narrow = _picked(dict.fromkeys(blocks, 0.0), default=1.0)
    for name, height in (("Q", q), ("R", r), ("S", s)):
        yield narrow * height, waves.bell(since, waves.PLACES[name], 0.75 * waves.WIDTHS[name])
    scale = r / np.array([row[2] for row in waves.HEIGHTS.values()])
    for lead, bells in blocks.items():
        for place, width, height in bells:
            yield scale * _picked({lead: height}), waves.bell(since, place, width)
    place, width = waves.PLACES["T"] * stretch, 0.75 * waves.WIDTHS["T"] * stretch
    if kind != "ischaemia":
        yield t, waves.bell(since, place, width)
        return
    scale = t / np.array([row[4] for row in waves.HEIGHTS.values()])
    depressed = _picked({lead: depth for lead, (depth, _) in waves.ISCHAEMIA.items()})
    inverted = _picked({lead: height for lead, (_, height) in waves.ISCHAEMIA.items()})
    yield scale * depressed, waves.plateau(since, 0.07, place)
    yield np.where(inverted == 0, t, scale * inverted), waves.bell(since, place, width)


def _picked(values: Mapping[str, float], default: float = 0.0) -> Floats:
    """Return one number per measured lead."""
    return np.array([values.get(lead, default) for lead in waves.MEASURED])


def _bridged(flags: Flags) -> Flags:
    """Close gaps that are shorter than :data:`_BRIDGE`: zero crossings inside an interval."""
    reach = round(_BRIDGE * SAMPLING_RATE / 2)
    wide = flags.copy()
    for step in range(1, reach + 1):
        wide[:, step:] |= flags[:, :-step]
        wide[:, :-step] |= flags[:, step:]
    closed = wide.copy()
    for step in range(1, reach + 1):
        closed[:, step:] &= wide[:, :-step]
        closed[:, :-step] &= wide[:, step:]
    joined: Flags = closed | flags
    return joined


def _moved(mask: Flags) -> Flags:
    """Return the mask moved in time to where it overlaps itself least, without what still overlaps."""
    shifts = range(50, SECONDS * SAMPLING_RATE // 2, 50)
    shown = mask[mask.any(axis=1)].any(axis=0)
    overlaps = [int((np.roll(shown, shift) & shown).sum()) for shift in shifts]
    moved: Flags = np.roll(mask, shifts[int(np.argmin(overlaps))], axis=1) & ~mask
    return moved
