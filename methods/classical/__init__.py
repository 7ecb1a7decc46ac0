"""Methods that train nothing: one file per method. Imports the contract of a method and the noise models."""
