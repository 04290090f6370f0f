"""The TFTP yardstick: pxefast beside a bare loop and beside other servers, under one load that verifies every byte.

`make bench-tftp`, or `python -m benches.tftp [--quick] [--json FILE]` from the repository's folder; ../README.md says
what is measured how.
"""
