"""Links, addresses, routes and namespaces of the host, over rtnetlink.

The only room that imports pyroute2.  That import costs about 0.2 s, so callers import the modules
of this room inside the functions that need them.
"""
