"""Descriptors of the data path: TUN device, UDP sockets, raw sockets, and their offloads."""
