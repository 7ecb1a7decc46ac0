"""What an output is measured by: one entry per metric, registered by name. Imports the protocol's scoring alone."""
