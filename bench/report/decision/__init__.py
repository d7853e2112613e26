"""The decision about each defense: what it gains, what it costs, and what the numbers rest on."""
