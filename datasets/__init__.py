"""Image sets, image formats, noise models, named seeds and training samples; nothing here knows a method."""
