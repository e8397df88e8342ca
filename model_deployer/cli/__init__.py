"""The command line `deployer`: one file per command, which calls the package that does the work."""
