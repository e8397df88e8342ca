"""One file a protocol: its paths, and how its requests and answers are said in the words of the service."""
