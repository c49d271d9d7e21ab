"""Correlation of maps: with the size of the input (PCC, SCC), and with each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from signxai_core.metrics.checks import Float64, FloatArray, same_shape


def pcc(x: Any, relevance: Any) -> Float64:
    """Return Pearson's correlation of ``|x|`` and ``|R|`` per sample, over all numbers of the sample.

    Low means that the input's own size has little influence on the map (Gumpfer et al. 2023).

    Parameters
    ----------
    x, relevance
        Batch and its maps, of one shape.

    Examples
    --------
    >>> pcc(np.array([[1.0, -2.0, 3.0]]), np.array([[-2.0, -4.0, 6.0]])).round(6).tolist()
    [1.0]
    """
    maps, inputs = same_shape(relevance, x)
    return pearson(np.abs(inputs), np.abs(maps))


def scc(x: Any, relevance: Any) -> Float64:
    """Return Spearman's rank correlation of ``|x|`` and ``|R|``; otherwise as :func:`pcc`."""
    maps, inputs = same_shape(relevance, x)
    return spearman(np.abs(inputs), np.abs(maps))


def pearson(a: Any, b: Any) -> Float64:
    """Return Pearson's correlation of two batches per sample; NaN where one of them is constant.

    Examples
    --------
    >>> pearson(np.array([[0, 1, 2.0]]), np.array([[5, 3, 1.0]])).tolist()
    [-1.0]
    """
    one, two = (_centred(array) for array in same_shape(a, b, "the other batch"))
    product = (one * two).sum(axis=1)
    scale = np.sqrt((one * one).sum(axis=1)) * np.sqrt((two * two).sum(axis=1))
    found: Float64 = np.divide(product, scale, out=np.full(len(one), np.nan), where=scale > 0)
    return np.clip(found, -1, 1)


def spearman(a: Any, b: Any) -> Float64:
    """Return Spearman's rank correlation of two batches per sample; equal numbers share their mean rank.

    NaN where a sample of one of them is constant.

    Examples
    --------
    >>> spearman(np.array([[0, 1, 100.0]]), np.array([[-3, 1, 1.5]])).tolist()
    [1.0]
    """
    one, two = same_shape(a, b, "the other batch")
    return pearson(_ranks(one), _ranks(two))


def _centred(array: FloatArray) -> Float64:
    """Return the rows less their means; a constant row is exactly 0, whatever its mean rounds to."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    constant = rows.max(axis=1, keepdims=True) == rows.min(axis=1, keepdims=True)
    return np.where(constant, 0.0, rows - rows.mean(axis=1, keepdims=True))


def _ranks(array: FloatArray) -> Float64:
    found = []
    for row in array.reshape(len(array), -1):
        _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        found.append((last - (counts - 1) / 2)[inverse.ravel()])
    return np.stack(found)
