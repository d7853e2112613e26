"""Purification defenses, one file each."""
