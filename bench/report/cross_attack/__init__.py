"""Defenses that were trained for one attack and tested on another."""
