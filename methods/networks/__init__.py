"""Networks: one file per architecture. Imports nothing of the methods."""
