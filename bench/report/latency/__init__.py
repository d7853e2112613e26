"""Latency: frames of raw times, engines beside eager float32, tables, remarks and figures."""
