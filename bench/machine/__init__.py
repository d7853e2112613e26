"""This machine: its devices and environment, and the lock that gives timing a device to itself."""
