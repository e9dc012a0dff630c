"""The slow obvious version of annotation by neighbors: one cell, one neighbor, one term at a time."""

from __future__ import annotations

import math

import numpy as np

__all__ = [
    "ancestors",
    "distance",
    "embed",
    "nearest",
    "ontology_scores",
    "paths",
    "standardized",
    "summary",
    "variable_genes",
]


def embed(counts, total, weights, offset):
    """One cell: normalised to 10,000 molecules, logarithms, projected."""
    out = [-o for o in offset]
    for gene, count in enumerate(counts):
        x = math.log1p(float(count) * 1e4 / (float(total) + 1e-6))
        for k in range(len(offset)):
            out[k] += x * float(weights[gene][k])
    return out


def variable_genes(counts, n_top, min_cells, n_bins=20):
    """Columns of the genes whose dispersion is highest among genes of a similar mean, in order."""
    cells = [[float(c) * 1e4 / (math.fsum(cell) + 1e-6) for c in cell] for cell in counts]
    level, dispersion = {}, {}
    for gene in range(len(cells[0])):
        values = [cell[gene] for cell in cells]
        if sum(v > 0 for v in values) >= min_cells and min(values) < max(values):
            mean = math.fsum(values) / len(values)
            level[gene] = math.log1p(mean)
            dispersion[gene] = math.log(math.fsum((v - mean) ** 2 for v in values) / len(values) / mean)
    low = min(level.values())
    width = (max(level.values()) - low) / n_bins
    bins = {gene: min(int((level[gene] - low) / width), n_bins - 1) for gene in level}
    score = {}
    for gene in level:
        own = [dispersion[other] for other in level if bins[other] == bins[gene]]
        mean = math.fsum(own) / len(own)
        spread = math.sqrt(math.fsum((d - mean) ** 2 for d in own) / len(own))
        score[gene] = (dispersion[gene] - mean) / spread if spread > 1e-9 else 1.0
    return sorted(sorted(score, key=lambda gene: -score[gene])[:n_top])


def standardized(logs):
    """Cells by genes: less the mean, over the standard deviation plus the median one of all genes."""
    n, columns = len(logs), list(zip(*logs, strict=True))
    means = [math.fsum(c) / n for c in columns]
    stds = [math.sqrt(math.fsum((v - m) ** 2 for v in c) / n) for c, m in zip(columns, means, strict=True)]
    middle = float(np.median(stds))
    return [[(v - m) / (s + middle) for v, m, s in zip(cell, means, stds, strict=True)] for cell in logs]


def distance(q, x, metric):
    q, x = [float(v) for v in q], [float(v) for v in x]
    product = math.fsum(a * b for a, b in zip(q, x, strict=True))
    if metric == "dot":
        return -product
    if metric == "l2":
        return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(q, x, strict=True)))
    norms = math.sqrt(math.fsum(a * a for a in q)) * math.sqrt(math.fsum(b * b for b in x))
    return 1 - product / norms if norms else 1.0


def nearest(query, reference, k, metric):
    """Rows and distances; of equal ones the first."""
    found = sorted((distance(query, x, metric), row) for row, x in enumerate(reference))
    return [row for _, row in found[:k]], [round(d, 9) for d, _ in found[:k]]


def ancestors(term, parents):
    """All terms above `term`."""
    out = set()
    for parent in parents.get(term, ()):
        out |= {parent} | ancestors(parent, parents)
    return out


def paths(term, parents, root):
    """Lengths of all paths from the root."""
    if term == root:
        return [0]
    return [1 + n for parent in parents.get(term, ()) for n in paths(parent, parents, root)]


def ontology_scores(terms, distances, parents, prune, prefactor):
    """Scores by term, the weight of all neighbors, and how many have an unknown term."""
    median = float(np.median(distances))
    gamma = -prefactor / median if median else 0.0
    sums = dict.fromkeys(parents, 0.0)
    weights = [math.exp(gamma * d) for d in distances]
    unknown = 0
    for term, weight in zip(terms, weights, strict=True):
        if term not in parents:
            unknown += 1
            continue
        for above in {term} | ancestors(term, parents):
            sums[above] += weight
    total = math.fsum(weights)
    scores = {t: s / total for t, s in sorted(sums.items()) if prune <= 0 or s / total >= prune}
    return scores, total, unknown


def summary(types, distances):
    """(type, count, min, quartiles, max), largest group first, then by the first neighbor."""
    out = []
    for kind in dict.fromkeys(types):
        own = [d for t, d in zip(types, distances, strict=True) if t == kind]
        out.append((kind, len(own), min(own), *np.percentile(own, [25, 50, 75]).tolist(), max(own)))
    return sorted(out, key=lambda row: -row[1])
