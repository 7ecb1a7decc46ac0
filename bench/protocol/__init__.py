"""The protocol as typed data: suites, requests, units of work and their keys, the plan. Imports datasets, methods."""
