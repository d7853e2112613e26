"""Latency: how inference is timed, and the engines and precisions it runs under."""
