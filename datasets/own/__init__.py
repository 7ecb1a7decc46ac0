"""A user's own images: files of any type and axes as frames, and back. Imports images, formats, files, errors."""
