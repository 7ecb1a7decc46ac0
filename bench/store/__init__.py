"""Records, claims, checkpoints and tensors in one folder. Imports the protocol."""
