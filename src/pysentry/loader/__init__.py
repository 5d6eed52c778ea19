"""Program loading: ELF headers, `#!` lines, and the list of mappings that the exec stub carries out."""
