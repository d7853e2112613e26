"""The execution of a grid's tasks outside this process: in a pool of processes, or on a cluster."""
