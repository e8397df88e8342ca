"""HTTP: connections, headers, bodies, API keys, deadlines and error responses."""
