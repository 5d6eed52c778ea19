"""The platform as Python sees it: the native module, its types, and the hooks it calls."""
