"""Other tunnels between the two hosts of a lab, each in a file of its own.

`contract` is what they have in common, `table` names them all.
"""
