"""Edge lists as people, pandas, networkx and Gephi write them."""

import gzip

import pytest

from pullback.core import InputError
from pullback.experiments._graph_file import read_graph

TRIANGLE = {"01": 1.5, "12": 2.5, "02": 0.5}
FORMS = {
    "plain": b"0,1,1.5\n1,2,2.5\n2,0,.5\n",
    "BOM and header": b"\xef\xbb\xbfsource,target,weight\r\n0,1,1.5\r\n1,2,2.5\r\n2,0,0.5\r\n",
    "from, to": b"FROM,To,w\n0,1,1.5\n1,2,2.5\n2,0,0.5\n",
    "words over numbers": b"node_x,node_y,km\n0,1,1.5\n1,2,2.5\n2,0,0.5\n",
    "order of columns": b"weight\ttarget\tsource\n1.5\t1\t0\n2.5\t2\t1\n0.5\t0\t2\n",
    "semicolons": b"0;1;1,5\n1;2;2,5\n2;0;0,5\n",
    "Gephi": b"Source,Target,Type,Id,Label,timeset,Weight\n"
    b"0,1,Undirected,0,,,1.5\n1,2,Undirected,1,,,2.5\n2,0,Undirected,2,,,0.5\n",
    "pandas": b",source,target,weight\n0,0,1,1.5\n1,1,2,2.5\n2,2,0,0.5\n",
    "networkx": b"# a comment\n0 1 {'weight': 1.5}\n1 2 {'weight': 2.5}\n2 0 {'weight': 0.5}\n",
    "networkx, weights": b"0 1 1.5\n1 2 2.5\n2 0 0.5\n",
    "Konect": gzip.compress(b"% sym weighted\n0\t1\t1.5\n1\t2\t2.5\n2\t0\t0.5\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_triangle(tmp_path, form):
    (tmp_path / "g.csv").write_bytes(FORMS[form])
    graph = read_graph(tmp_path / "g.csv", largest=20)
    found = {"".join(sorted((graph.names[a], graph.names[b]))): w for (a, b), w in zip(graph.edges, graph.weights)}
    assert found == TRIANGLE and sorted(graph.names) == ["0", "1", "2"]


@pytest.mark.parametrize("data", [b"0 1\n1 2\n2 0\n", b"u;v\n0;1\n1;2\n2;0\n", b"0 1 {}\n1 2 {}\n2 0 {}\n"])
def test_without_weights_all_are_one(tmp_path, data):
    (tmp_path / "g.csv").write_bytes(data)
    assert read_graph(tmp_path / "g.csv", largest=20).weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"0,1,1.o\n1,2,1\n", "line 1, column 'weight': '1.o' is not a number"),
        (b"a,b,l\nb,c,1\n", "line 1, column 'weight': 'l' is not a number"),
        (b"source,target,weight\n0,1,oops\n", "line 2, column 'weight': 'oops'"),
        (b"source,target,wieght\n0,1,2\n", "unknown column 'wieght'. Did you mean 'weight'"),
        (b"0,1,nan\n", "line 1, column 'weight': nan is not finite"),
        (b"0,1\n1,2,3\n", "line 2 has 3 columns"),
        (b"0,1\n,2\n", "line 2: a node has no name"),
        (b"0,1\n1,1\n", "line 2: the edge joins 1 to itself"),
        (b"0,1\n1,2\n1,0\n", "line 3: the edge 1, 0 occurs twice, first in line 1"),
        (b"0,1 # c\n", "line 1: .* a comment stands in a line of its own"),
        (b"0 1 {'capacity': 2}\n", "line 1: needs two nodes and {'weight': number}"),
        (b"0->1\n", "line 1 has 1 columns"),
        (b"source,target\n", "no edges"),
        (b"0,1,0\n", "all weights are zero"),
        (b"a b\nb c\n", "has 3 nodes; up to 2"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path, data, message):
    (tmp_path / "g.csv").write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        read_graph(tmp_path / "g.csv", largest=2)
    assert "\n" not in str(error.value)
