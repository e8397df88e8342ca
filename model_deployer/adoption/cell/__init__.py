"""The cell: the source itself answers, in an environment of its own versions and a process without network."""
