"""`python -m bench`: the command line without the console script."""

from __future__ import annotations

from bench.entry import main

if __name__ == "__main__":
    main()
