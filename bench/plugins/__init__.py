"""Plugins: what there is, how it is imported, and how a spec becomes a checked instance."""
