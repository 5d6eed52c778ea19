"""The file systems: tree (overlay, tmpfs, /dev), gofer (binds), and what populates /dev."""
