"""Real firmware in QEMU boots from `pxefast serve`, in network namespaces of its own.

One noun a module: net, dhcpd, machine, image, service, capture, client; process is what they all stand on.
"""
