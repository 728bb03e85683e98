"""The engine behind `hipgw bench`: what is measured, how, and when a difference is called one.

::

    figures   one quantity over some rounds; ratios round by round, and the rule of the noise
    report    all figures of one run with the machine, as JSON and Markdown; plots draws them
    compare   two reports
    esp       kernels in memory, beside the bare cipher
    sas       a packet's cost and an SA's room, from one SA to a million; sa_worker: whole workers
    tunnel    tunnels between two hosts of a lab, taken in turns; rivals are other tunnels
    bex       base exchanges

Nothing is imported here.
"""
