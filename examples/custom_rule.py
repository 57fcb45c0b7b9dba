"""A rule of your own is a function of the trace: `check_gradients(model, extra_rules=[loud_activation])`."""

from collections.abc import Iterator

from gradcheck_health import Finding, Place, Severity, Trace


def loud_activation(trace: Trace, *, max_rms: float = 100.0) -> Iterator[Finding]:
    """The output of a layer is larger than the team wants it.

    Options of a rule are its keyword-only parameters; set them with `rules={"loud-activation": {"max_rms": 10.0}}` or in the
    configuration file.
    """
    for layer in trace.layers.values():
        if layer.output is not None and layer.output.rms > max_rms:
            yield Finding(
                rule="loud-activation",
                severity=Severity.WARNING,
                message=f"the output of {layer.name or 'the model'} has rms {layer.output.rms:.2g} (at most {max_rms:g})",
                places=(Place(layer.name, layer.kind, layer.source),),
                got=layer.output.rms,
                bound=max_rms,
            )
