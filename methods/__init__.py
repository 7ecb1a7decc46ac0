"""The methods, one idea per file; each file registers itself. Imports datasets, no suites, records or tables."""
