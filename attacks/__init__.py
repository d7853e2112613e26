"""Attacks, one file each; `_foolbox` is the only module that imports foolbox."""
