"""`gradhealth check model.safetensors`: files of weights in, reports out; nothing is imported and no code of a file is run."""

from __future__ import annotations

from gradcheck_health import formats
from gradcheck_health.cli.commands import _session
from gradcheck_health.formats._text import safe_lines
from gradcheck_health.records.errors import ExitCode, UsageError
from gradcheck_health.records.files import write
from gradcheck_health.records.report import Failure
from gradcheck_health.records.saved import SUFFIXES


def names_weights(target: str) -> bool:
    return target.lower().endswith(SUFFIXES)


def run(request: _session.CheckRequest, against: str | None, show: _session.Write, tell: _session.Write) -> int:
    """Check every file and write every output.

    Returns:
        The exit code.

    Raises:
        UsageError: an option, a setting or a target cannot be right.
    """
    others = [target for target in request.targets if not names_weights(target)]
    if others:
        raise UsageError(f"{others[0]}: got a model beside files of weights; allowed: one or the other in a command")
    if against is not None and not names_weights(against):
        raise UsageError(f"--against: got {against}; allowed: a file of weights, {', '.join(SUFFIXES)}")
    writers = [(path, formats.find(path)) for path in request.outputs]
    form = formats.find(request.output_format or "terminal")
    _, config = _session.settings(request)
    from gradcheck_health.check.saved_weights import check_weights  # torch takes two seconds to import

    done = _session.Run()
    streaming = request.output_format in (None, "terminal")
    for target in request.targets:
        try:
            report = check_weights(target, config, against)
        except UsageError as error:
            done.failures.append(Failure(target, str(error), ExitCode.USAGE))
            tell(f"usage error: {safe_lines(str(error))}\n")
            continue
        done.reports.append(_session.repeatable(report, request.command, request))
        if streaming:
            _session.show_report(done.reports[-1], request, show, first=len(done.reports) == 1)
    code = done.exit_code(request.exit_zero)
    if not streaming:
        show(formats.render_run(form, done.reports, done.failures, code))
    written = [write(path, formats.render_run(module, done.reports, done.failures, code), tell) for path, module in writers]
    return code if all(written) else max(code, ExitCode.USAGE)
