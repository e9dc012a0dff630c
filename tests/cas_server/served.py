"""Stand-ins: routes whose answers are easy to check, and a service in a thread."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
from cas_server import ONTOLOGY, TERMS, ontology_answer, search_answer, summary_answer
from ferrocyte.cas.constants import CellMetadataFeatures
from ferrocyte.cas.local import RouteError
from ferrocyte.cas.server import References, Service
from ferrocyte.cas.server._serve import make_server
from reference.patience import LONG

FIELDS = [f.value for f in CellMetadataFeatures]


class FakeRoutes:
    """As `ferrocyte.cas.local.Routes`, with the answers of the service of the client's tests."""

    def __init__(self, schema, models=("first", "second"), version=1):
        self.schema, self.models, self.version = schema, models, version
        self.work = 0.0
        self.breaks = None
        self.before = lambda: None

    def validate_client_version(self, client_version):
        parts = client_version.split(".")
        if not all(p.isdigit() for p in parts):
            raise RouteError(400, f"{client_version!r} is no version")
        return {"is_valid": tuple(map(int, parts)) >= (1, 8, 0), "min_version": "1.8.0"}

    def application_info(self):
        return {"application_version": f"1.8.{self.version}", "default_feature_schema": "schema-1"}

    def list_models(self):
        column = {"ontology_resource_name": "cl-1", "column_name": "cell_type", "description": None}
        return [
            {
                "model_name": name,
                "description": f"version {self.version}",
                "schema_name": "schema-1",
                "is_default_model": i == 0,
                "embedding_dimension": 8,
                "ontological_columns": [column],
            }
            for i, name in enumerate(self.models)
        ]

    def feature_schemas(self):
        return [{"schema_name": "schema-1"}]

    def feature_schema(self, name):
        if name != "schema-1":
            raise RouteError(404, f"There is no feature schema {name!r}.")
        return self.schema

    def cell_ontology_resource(self, name):
        if name != "cl-1":
            raise RouteError(404, f"There is no cell ontology resource {name!r}.")
        return ONTOLOGY

    def _each(self, make, counts, totals, names, **more):
        assert counts.dtype == totals.dtype == np.float32
        assert counts.has_canonical_format
        if self.breaks is not None:
            raise self.breaks
        self.before()
        time.sleep(self.work)
        dense = counts.toarray()
        return [make(name, dense[i], totals[i], **more) for i, name in enumerate(names)]

    def annotate_summary(self, counts, totals, names, model_name, include_extended_output=False):
        out = self._each(summary_answer, counts, totals, names)
        if include_extended_output:
            for cell in out:
                cell["matches"][0]["dataset_ids_with_counts"] = []
        return out

    def annotate_ontology(
        self,
        counts,
        totals,
        names,
        model_name,
        prune_threshold=0.05,
        weighting_prefactor=1.0,
        ontology_column_name="cell_type",
    ):
        if ontology_column_name != "cell_type":
            raise RouteError(400, "no ontology for that column")
        return self._each(ontology_answer, counts, totals, names, prune=prune_threshold)

    def nearest_neighbors(self, counts, totals, names, model_name):
        return self._each(search_answer, counts, totals, names)

    def query_cells(self, cas_cell_ids, metadata_feature_names):
        if not cas_cell_ids:
            raise RouteError(400, "no ids")
        wrong = set(metadata_feature_names) - set(FIELDS)
        if wrong:
            raise RouteError(400, f"There is no metadata feature {wrong}.")
        found = {"cell_type": TERMS[1]} if "cell_type" in metadata_feature_names else {}
        return [
            {**dict.fromkeys(FIELDS), **found, "cas_cell_index": i} for i in cas_cell_ids if 0 <= i < 1000
        ]


class Running:
    """A service in a thread, on a free port."""

    def __init__(self, load, *, database=None, stamp=None, watch_seconds=0.0, host="127.0.0.1", **options):
        self.service = Service(References(load, stamp), database, watch_seconds=watch_seconds, **options)
        self._listens = threading.Event()
        self._server = make_server(self.service, host, 0, self._ready)
        self.app = self._server.config.app
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        asyncio.run(self._server.serve())

    def _ready(self, url):
        self.url = url
        self._listens.set()

    def __enter__(self):
        self._thread.start()
        assert self._listens.wait(LONG)
        return self

    def stop(self):
        self._server.should_exit = True
        self._thread.join(LONG)
        return not self._thread.is_alive()

    def __exit__(self, *exc):
        assert self.stop()
