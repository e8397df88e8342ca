"""`deployer ...`: one file a command; what a command does stands in the package it calls."""
