"""Losses and denoisers of other libraries, behind extras. Imports the contract of a method, and libraries in use."""
