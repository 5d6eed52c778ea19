"""The gofer: the only process that opens host paths, and how the sentry talks to it.

protocol.py   the messages, as native/gofer/protocol.h has them
client.py     typed requests, over any transport (the sentry's own, or transport.py's)
tree.py       what is served
lockdown.py   from a forked process to one that can reach nothing but the trees
server.py     the entry, and the requests that C does not answer

Imports nothing from pysentry.
"""
