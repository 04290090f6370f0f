"""tftpy's own server: FOLDER PORT. Runs in the peers' own environment."""

import sys

from tftpy import TftpServer

TftpServer(sys.argv[1]).listen("127.0.0.1", int(sys.argv[2]))
