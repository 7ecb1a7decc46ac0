"""A reviewer's check of claimed numbers: printed, measured, beside each other. Imports store, protocol and report."""
