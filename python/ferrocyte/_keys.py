"""Names of everything that is read from and written to an AnnData object. No key is spelt elsewhere."""

from __future__ import annotations

__all__ = [
    "COARSE_INITIAL",
    "COARSE_STATIONARY",
    "CONNECTIVITIES",
    "CT_CORRELATES",
    "CT_GENE_CORR",
    "CT_NUM_EXP_GENES",
    "CT_PARAMS",
    "CT_PSEUDOTIME",
    "CT_SCORE",
    "DISTANCES",
    "EMBEDDINGS",
    "INIT",
    "OFFSET",
    "PARAMS",
    "absorption_times",
    "basis_candidates",
    "coarse",
    "colors",
    "direction",
    "drivers",
    "eigendecomposition",
    "estimator_params",
    "fate_simplex",
    "graph_candidates",
    "lineages",
    "macrostates",
    "memberships",
    "params",
    "priming_degree",
    "probabilities",
    "projection",
    "schur_decomposition",
    "schur_matrix",
    "schur_vectors",
    "states",
    "transition_matrix",
    "trend",
    "velocity_genes",
]

CONNECTIVITIES = "connectivities"
DISTANCES = "distances"

# CytoTRACE
CT_SCORE = "ct_score"
CT_PSEUDOTIME = "ct_pseudotime"
CT_NUM_EXP_GENES = "ct_num_exp_genes"
CT_GENE_CORR = "ct_gene_corr"
CT_CORRELATES = "ct_correlates"
CT_PARAMS = "ct_params"

# Entries of uns["<key>_params"]
PARAMS, INIT, EMBEDDINGS = "params", "init", "embeddings"

# Columns of uns["coarse_X"].obs
COARSE_INITIAL, COARSE_STATIONARY = "coarse_init_dist", "coarse_stat_dist"

# Library-size offset of count models
OFFSET = "cellrank_offset"


def direction(backward: bool | None) -> str:
    """``"bwd"`` for a backward process, else ``"fwd"``."""
    return "bwd" if backward else "fwd"


def transition_matrix(backward: bool | None) -> str:
    """`obsp`: transition matrix."""
    return f"T_{direction(backward)}"


def params(key: str) -> str:
    """`uns`: parameters that belong to `obsp[key]`."""
    return f"{key}_params"


def projection(key: str, basis: str) -> str:
    """`obsm`: projection of `obsp[key]` on a basis."""
    return f"{key}_{basis}"


def basis_candidates(basis: str) -> tuple[str, str]:
    """`obsm`: where an embedding may be, in the order in which to look."""
    return f"X_{basis}", basis


def graph_candidates(conn_key: str | None) -> tuple[str, ...]:
    """`obsp`: where a graph may be, in the order in which to look.

    ``sc.pp.neighbors(key_added="foo")`` stores ``foo_connectivities``; ``"foo"`` and ``"foo_distances"`` lead
    there too.
    """
    if conn_key is None or conn_key == CONNECTIVITIES:
        return (CONNECTIVITIES,)
    name = conn_key.removesuffix(f"_{CONNECTIVITIES}").removesuffix(f"_{DISTANCES}")
    return tuple(dict.fromkeys((conn_key, f"{name}_{CONNECTIVITIES}")))


def velocity_genes(vkey: str) -> str:
    """`var`: which genes have a velocity worth using."""
    return f"{vkey}_genes"


def colors(key: str) -> str:
    """`uns`: colours of the categories of `obs[key]`."""
    return f"{key}_colors"


def probabilities(key: str) -> str:
    """`obs`: confidence that a cell belongs to its state."""
    return f"{key}_probs"


def memberships(key: str) -> str:
    """`obsm`: membership of each cell in each state."""
    return f"{key}_memberships"


def eigendecomposition(backward: bool | None) -> str:
    """`uns`: eigendecomposition."""
    return f"eigendecomposition_{direction(backward)}"


def schur_vectors(backward: bool | None) -> str:
    """`obsm`: real Schur vectors."""
    return f"schur_vectors_{direction(backward)}"


def schur_decomposition(backward: bool | None) -> str:
    """Entry of `uns[estimator_params]` with the parameters of the Schur decomposition."""
    return f"schur_decomposition_{direction(backward)}"


def schur_matrix(backward: bool | None) -> str:
    """`uns`: Schur matrix."""
    return f"schur_matrix_{direction(backward)}"


def macrostates(backward: bool | None) -> str:
    """`obs`: macrostates."""
    return f"macrostates_{direction(backward)}"


def coarse(backward: bool | None) -> str:
    """`uns`: coarse-grained chain."""
    return f"coarse_{direction(backward)}"


def states(backward: bool | None, *, initial: bool = False) -> str:
    """`obs`: terminal or initial states; the direction is that of the kernel."""
    return f"{'init' if initial else 'term'}_states_{direction(backward)}"


def lineages(backward: bool | None) -> str:
    """`obsm`: fate probabilities."""
    return f"lineages_{direction(backward)}"


def absorption_times(backward: bool | None) -> str:
    """`obsm`: moments of the time to absorption."""
    return f"absorption_times_{direction(backward)}"


def priming_degree(backward: bool | None) -> str:
    """`obs`: priming degree."""
    return f"priming_degree_{direction(backward)}"


def drivers(backward: bool | None) -> str:
    """`varm`: correlation of genes with fate probabilities."""
    return f"{'initial' if backward else 'terminal'}_lineage_drivers"


def estimator_params(backward: bool | None) -> str:
    """`uns`: parameters of all steps of an estimator."""
    return f"{direction(backward)}_estimator_params"


def fate_simplex(backward: bool | None) -> str:
    """`obsm`: circular projection of fate probabilities."""
    return f"X_fate_simplex_{direction(backward)}"


def trend(lineage: str) -> str:
    """`uns`: clustered gene trends of a lineage."""
    return f"lineage_{lineage}_trend"
