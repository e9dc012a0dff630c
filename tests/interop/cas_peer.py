"""Every public method of the official client against a service; runs in an environment with cellarium-cas.

python cas_peer.py URL TOKEN CELLS.h5ad CELLS.h5 ANSWERS.json
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings

import anndata
from cellarium.cas import CASClient
from cellarium.cas.constants import CellMetadataFeatures, CountMatrixInput

warnings.simplefilter("ignore")


def main() -> None:
    url, token, h5ad, h5, out = sys.argv[1:]
    said: dict[str, object] = {}
    failed: dict[str, str] = {}

    def ask(name, function):
        try:
            found = function()
            said[name] = json.loads(found.model_dump_json()) if hasattr(found, "model_dump_json") else found
            return found
        except Exception:
            failed[name] = traceback.format_exc()
            return None

    client = CASClient(api_token=token, api_url=url, num_attempts_per_chunk=1)
    adata = anndata.read_h5ad(h5ad)
    ask("allowed_models_list", lambda: client.allowed_models_list)
    ask("validate_version", client.validate_version)
    ask("print_user_quota", client.print_user_quota)
    ask("validate_model_name", lambda: client.validate_model_name(client.allowed_models_list[0]))
    ask(
        "validate_and_sanitize_input_data",
        lambda: list(
            client.validate_and_sanitize_input_data(
                adata.copy(), client.allowed_models_list[0], CountMatrixInput.X, "index"
            ).obs_names
        ),
    )
    ask(
        "annotate_matrix_cell_type_summary_statistics_strategy",
        lambda: client.annotate_matrix_cell_type_summary_statistics_strategy(adata.copy(), chunk_size=10),
    )
    ontology = ask(
        "annotate_matrix_cell_type_ontology_aware_strategy",
        lambda: client.annotate_matrix_cell_type_ontology_aware_strategy(adata.copy(), chunk_size=10),
    )
    found = ask("search_matrix", lambda: client.search_matrix(adata.copy(), chunk_size=10))
    ids = [int(n.cas_cell_index) for n in found.data[0].neighbors]
    names = [f.value for f in CellMetadataFeatures]
    ask("query_cells_by_ids", lambda: client.query_cells_by_ids(ids, names))

    def into():
        copy = adata.copy()
        client.insert_ontology_aware_response(ontology, copy)
        client.compute_most_granular_top_k_calls_single(copy, min_acceptable_score=0.2, top_k=2)
        copy.obs["kind"] = copy.obs["kind"].astype("category")
        client.compute_most_granular_top_k_calls_cluster(
            copy, min_acceptable_score=0.2, cluster_label_obs_column="kind", top_k=1, obs_prefix="of_cluster"
        )
        return {c: list(map(str, copy.obs[c])) for c in copy.obs if c.startswith(("cas_", "of_"))}

    ask("compute_most_granular_top_k_calls", into)
    ask("annotate_anndata", lambda: client.annotate_anndata(adata.copy(), chunk_size=10))
    ask("annotate_anndata_file", lambda: client.annotate_anndata_file(h5ad, chunk_size=10))
    ask("annotate_10x_h5_file", lambda: client.annotate_10x_h5_file(h5, chunk_size=10))
    ask("search_anndata", lambda: client.search_anndata(adata.copy(), chunk_size=10))
    ask("search_10x_h5_file", lambda: client.search_10x_h5_file(h5, chunk_size=10))
    public = [n for n in dir(CASClient) if not n.startswith("_")]
    with open(out, "w") as file:
        json.dump({"said": said, "failed": failed, "public": public}, file)


if __name__ == "__main__":
    main()
