"""The autograd graph of a forward pass that nothing watches."""

from __future__ import annotations

from gradcheck_health.model.call import call
from gradcheck_health.probe.graph.graph import Graph, walk
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject


def forward_graph(subject: Subject, *, every: bool = False) -> Graph | None:
    """From the objective of one bare forward pass down; None where it is too large to be walked. Call it in a sandbox.

    Args:
        every: project every output leaf, beside a loss that the model returns (see `objective`).
    """
    output = call(subject.model, subject.inputs, subject.seed)
    goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed, every=every)
    return walk([root.grad_fn for root in goal.roots if root.grad_fn is not None])
