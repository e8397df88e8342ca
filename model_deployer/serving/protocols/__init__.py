"""The protocols of other servers: one file per protocol, which translates its requests and responses."""
