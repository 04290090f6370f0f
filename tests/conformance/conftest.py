"""The command line and a whole site, as the tests of the commands have them."""

from tests.cli.conftest import done, home, run, site, started, template

__all__ = ["done", "home", "run", "site", "started", "template"]
