"""Plugins: their catalog, their import, and checked instances made from specs."""
