"""`python -m otel_feedback`: the command line where the script is not on the path."""

from __future__ import annotations

import sys

from otel_feedback.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
