"""The machine: its devices, their lock, and the environment and conditions of a measurement."""
