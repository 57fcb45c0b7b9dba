"""One family of cures a file: every public function of (patient, finding) that it defines is a remedy, named after it.

A remedy changes the model in place, inside the sandbox, and returns the `Change` in the user's own terms; None where it does
not act on the finding's cause, or finds nothing to change.
"""
