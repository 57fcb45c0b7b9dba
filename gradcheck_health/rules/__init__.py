"""The rules: one file each, one function of a `Trace` in it. A file that is present is a rule that is present.

Rules come from three places: the files of this folder, the entry point group `gradhealth.rules` of installed packages, and
what the user adds (`extra_rules`). A rule's name is its function's name in kebab-case; its options are the keyword-only
parameters; its documentation is the docstring.
"""

from __future__ import annotations

from gradcheck_health.rules._registry import builtin, flow_limits, installed, load, named, names, options, summaries

__all__ = ["builtin", "flow_limits", "installed", "load", "named", "names", "options", "summaries"]
