"""HTTP: connections, headers, bodies, keys, deadlines and refusals."""
