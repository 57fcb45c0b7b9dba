"""`python -m gradcheck_health`, the same as the command `gradhealth`; torchrun needs this form."""

from __future__ import annotations

from gradcheck_health.cli import main

if __name__ == "__main__":
    main()
