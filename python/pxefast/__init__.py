"""pxefast: Configuration Manager's PXE-enabled distribution point as an open Linux service."""

__all__ = ["__version__"]

__version__ = "0.1.0"
