"""The ground floor: image sets, readers, noise models, named seeds, training patches. Knows no methods."""
