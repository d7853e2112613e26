"""The gate: what a run may lose against a baseline, judged check by check."""
