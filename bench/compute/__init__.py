"""What costs time: the training step and loop, inference, scoring. Imports the protocol and the store."""
