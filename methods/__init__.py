"""The methods, one idea per file; each file registers itself. Imports datasets, nothing of suites, records or tables."""
