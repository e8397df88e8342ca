"""Shadow: a candidate answers the same rows in a process of its own, after the caller has its answer."""
