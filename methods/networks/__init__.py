"""Networks, one file per architecture; each registers itself. Imports datasets and the random draws, no method."""
