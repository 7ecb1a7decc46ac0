"""Carrying out a plan: the runner, its workers, their progress. Imports the protocol, the store and compute."""
