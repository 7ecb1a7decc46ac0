"""Readers and writers of files: one file per format. Imports errors and documents only."""
