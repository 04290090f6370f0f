"""A scripted Windows boot manager and the chain before it: firmware, its first programs, the boot manager, WinPE.

Written from the wire's rules (W-n, E-n) and a store's meaning (B-n) alone. Nothing here but `rig` and the tests imports
the product, so that a mistake in the product cannot hide behind the same mistake here.
"""
