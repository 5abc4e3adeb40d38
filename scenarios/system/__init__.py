"""The machine and its processes: children, signals, cores, TLS, private logs."""
