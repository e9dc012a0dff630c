"""The Cell Ontology, read from each of its forms."""

from __future__ import annotations

import json

import pytest
from ferrocyte._errors import FileFormatError, InvalidDataError
from ferrocyte.cas.local import packaged_ontology, read_ontology
from ferrocyte.cas.models import CellOntologyResource
from reference import naive_annotation as naive

OBO = """format-version: 1.2

[Term]
id: CL:0000000
name: cell ! with a mark

[Term]
id: CL:0000003
name: late cell
is_a: CL:0000001 ! early cell
is_a: CL:0000000 {is_inferred="true"} ! cell
is_a: GO:0000001 ! not of this ontology

[Term]
id: CL:0000001
name: early cell
is_a: CL:0000000 ! cell

[Term]
id: CL:0000002
name: obsolete cell
is_obsolete: true
replaced_by: CL:0000003

[Term]
id: GO:0000001
name: process

[Typedef]
id: part_of
name: part of
"""
IRI = "http://purl.obolibrary.org/obo/"


def graphs():
    live = {"CL_0000000": "cell ! with a mark", "CL_0000001": "early cell", "CL_0000003": "late cell"}
    gone = {
        "id": IRI + "CL_0000002",
        "lbl": "obsolete cell",
        "meta": {
            "deprecated": True,
            "basicPropertyValues": [{"pred": IRI + "IAO_0100001", "val": IRI + "CL_0000003"}],
        },
    }
    edges = [("CL_0000003", "CL_0000001"), ("CL_0000003", "CL_0000000"), ("CL_0000001", "CL_0000000")]
    return {
        "graphs": [
            {
                "nodes": [*({"id": IRI + i, "lbl": label} for i, label in live.items()), gone],
                "edges": [{"sub": IRI + a, "pred": "is_a", "obj": IRI + b} for a, b in edges]
                + [{"sub": IRI + "CL_0000000", "pred": "part_of", "obj": IRI + "CL_0000003"}],
            }
        ]
    }


def table():
    return {
        "terms": {
            "CL:0000000": {"label": "cell ! with a mark"},
            "CL:0000001": {"label": "early cell", "parents": ["CL:0000000"]},
            "CL:0000002": {"label": "obsolete cell", "deprecated": True, "replaced_by": "CL:0000003"},
            "CL:0000003": {"label": "late cell", "parents": ["CL:0000000", "CL:0000001"]},
        }
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("cl.obo", OBO), ("cl.json", json.dumps(graphs())), ("table.json", json.dumps(table()))],
)
def test_all_forms_say_the_same(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    ontology = read_ontology(path, "mine")
    document = ontology.document()
    CellOntologyResource.model_validate(document)
    assert document["cl_names"] == ["CL:0000000", "CL:0000001", "CL:0000003"]
    assert document["cell_ontology_term_id_to_cell_type"]["CL:0000003"] == "late cell"
    assert document["children_dictionary"] == {
        "CL:0000000": ["CL:0000001", "CL:0000003"],
        "CL:0000001": ["CL:0000003"],
        "CL:0000003": [],
    }
    shortest = document["shortest_path_lengths_from_cell_root"]
    longest = document["longest_path_lengths_from_cell_root"]
    assert shortest == {"CL:0000000": 0, "CL:0000001": 1, "CL:0000003": 1}
    assert longest == {"CL:0000000": 0, "CL:0000001": 1, "CL:0000003": 2}
    assert document["ancestors_dictionary"]["CL:0000003"] == ["CL:0000000", "CL:0000001"]
    assert document["descendants_dictionary"]["CL:0000000"] == ["CL:0000001", "CL:0000003"]
    # Ids are found as older files spell them, and where a term took the place of another.
    assert ontology.find("CL_0000003") == ontology.find("CL:0000002") == ontology.find_label("Late Cell") == 2
    assert ontology.find("CL:7") == ontology.find_label("neuron") == -1
    again = tmp_path / "again.json"
    again.write_text(ontology.to_json())
    assert read_ontology(again) == ontology


def test_what_travels_with_the_package():
    ontology = packaged_ontology()
    document = ontology.document()
    parents = {name: term.parents for name, term in ontology.terms.items()}
    assert len(ontology.terms) == 3324
    assert document["cl_names"] == sorted(document["cl_names"])
    for name in ontology.cl_names[::97]:
        above = naive.ancestors(name, parents)
        assert document["ancestors_dictionary"][name] == sorted(above)
        lengths = naive.paths(name, parents, "CL:0000000")
        assert document["shortest_path_lengths_from_cell_root"].get(name) == (min(lengths, default=None))
        assert document["longest_path_lengths_from_cell_root"].get(name) == (max(lengths, default=None))


def test_what_is_no_ontology_is_refused(tmp_path):
    path = tmp_path / "file"
    for text, message in (
        ("hello", "found neither"),
        ("{", "no JSON"),
        ("{}", "key 'terms'"),
        ('{"terms": {"GO:1": {"label": "process"}}}', "Expected terms of the Cell Ontology"),
    ):
        path.write_text(text)
        with pytest.raises((FileFormatError, InvalidDataError), match=message):
            read_ontology(path)
    circle = {"CL:0": {"label": "a", "parents": ["CL:1"]}, "CL:1": {"label": "b", "parents": ["CL:0"]}}
    path.write_text(json.dumps({"terms": circle}))
    with pytest.raises(InvalidDataError, match="above itself"):
        read_ontology(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="no text"):
        read_ontology(path)
