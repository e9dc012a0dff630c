"""Correlations of genes with lineages, written to be seen through: pair by pair, all draws there are."""

from __future__ import annotations

import itertools

import numpy as np


def pearson(x, y):
    """Correlation of two vectors in extended precision; NaN if one is constant."""
    x, y = np.asarray(x, dtype=np.longdouble), np.asarray(y, dtype=np.longdouble)
    dx, dy = x - x.mean(), y - y.mean()
    if (x == x[0]).all() or (y == y[0]).all():
        return np.nan
    return float((dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum()))


def correlations(x, y):
    """Of each column of `x` with each column of `y`; shape (n_columns, n_targets)."""
    return np.array([[pearson(a, b) for b in np.asarray(y).T] for a in np.asarray(x).T])


def p_value(x, y):
    """Share of all orders of `y` with a correlation at least as far from 0."""
    found = abs(pearson(x, y)) - 1e-12
    hits = [abs(pearson(x, order)) >= found for order in itertools.permutations(y)]
    return np.mean(hits)


def interval(x, y, level):
    """Quantiles of the correlation over all ways to draw cells with replacement."""
    x, y = np.asarray(x), np.asarray(y)
    draws = itertools.product(range(len(x)), repeat=len(x))
    r = np.array([pearson(x[list(d)], y[list(d)]) for d in draws])
    tail = (1 - level) / 2
    return np.quantile(r[~np.isnan(r)], [tail, 1 - tail])


def pairwise_complete(x, y):
    """Correlations over the cells where the gene is not NaN, and their number."""
    r, n = [], []
    for gene in np.asarray(x).T:
        there = ~np.isnan(gene)
        n.append(int(there.sum()))
        r.append([pearson(gene[there], b[there]) if there.any() else np.nan for b in np.asarray(y).T])
    return np.array(r), np.array(n)
