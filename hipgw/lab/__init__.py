"""Networks of hosts in network namespaces, for the demo, the tests and the benchmarks.

::

    from hipgw.lab.network import Lab

    with Lab.pair(mtu=9000, encapsulation="udp") as lab:
        lab.start_daemons()
        lab.host("a").run(["ping", "-c", "3", str(lab.hit_of("b"))])

Nothing is imported here, so that `hipgw lab exec` does not wait for pyroute2.
"""
