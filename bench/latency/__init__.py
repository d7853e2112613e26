"""Latency: the measurement of inference time, by engine and precision."""
