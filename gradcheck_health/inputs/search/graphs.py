"""Graphs and clouds: what belongs to a node, an edge or a point has no batch axis, though a batch of them runs as well."""

from __future__ import annotations

from dataclasses import replace

from gradcheck_health.inputs.plan import Dim, Leaf, Path, Plan
from gradcheck_health.inputs.search.search import Found
from gradcheck_health.inputs.search.trial import TrialRunner
from gradcheck_health.inputs.static.model_info import ModelInfo

_EDGES = ("edge_index", "edges", "edge_list", "adj_t")
_OF_GRAPHS = ("batch", "batch_index", "batch_idx", "graph_ids")
GRAPHS = 3


def as_graph(info: ModelInfo, found: Found, seed: int) -> Found:
    """The plan with nodes for the batch axis, if it runs and reaches as much.

    Wherever there are edges, or an argument says which rows are summed up together.
    """
    plan = _with_nodes(found.best.plan, found.best.grouped)
    if plan is None or plan.key() == found.best.plan.key():
        return found
    outcome = TrialRunner(info, seed).run(plan)
    if not outcome.ok or len(outcome.reached) < len(found.best.reached):
        return found
    return replace(found, best=outcome, trials=found.trials + 1)


def _with_nodes(plan: Plan, grouped: tuple[Path, ...]) -> Plan | None:
    edges = [path for path, leaf in plan.leaves() if path[-1] in _EDGES and leaf.kind == "int" and not leaf.fixed]
    indices = [(path, leaf) for path, leaf in plan.leaves() if path in grouped and leaf.kind == "int" and not leaf.fixed]
    groups = [path for path, leaf in indices if leaf.rank() == 1]
    edges += [path for path, leaf in indices if leaf.rank() == 2 and leaf.dims[0] == 2]  # pairs of node and group
    if not edges and not groups:
        return None
    for path, leaf in list(plan.leaves()):
        if not leaf.fixed:
            plan = plan.put(path, _of_nodes(path, leaf, path in groups, path in edges))
    return plan


def _of_nodes(path: Path, leaf: Leaf, group: bool, edges: bool) -> Leaf:
    if edges or path[-1] in _EDGES:
        return replace(leaf, dims=(2, "E"), high="N", why=leaf.why or "role: edges")
    if (group or path[-1] in _OF_GRAPHS) and leaf.kind == "int":
        return replace(leaf, dims=("N",), fill="segments", high=GRAPHS)
    dims: tuple[Dim, ...] = tuple("N" if dim == "B" else dim for dim in leaf.dims)
    return replace(leaf, dims=dims)
