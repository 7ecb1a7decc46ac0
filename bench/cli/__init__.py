"""The command line: a parser, and one module per group of commands. Imports the API."""
