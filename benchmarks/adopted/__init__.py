"""Models of other libraries for the benchmark of adoption; they are fitted and asked in an environment of their own."""
