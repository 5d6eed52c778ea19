"""Linux's binary interface: error numbers, constants, structs. No behaviour, imports nothing of ours."""
