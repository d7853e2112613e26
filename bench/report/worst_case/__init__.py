"""The worst case over all attacks within a budget: frames, pairs, ranks, table and figures."""
