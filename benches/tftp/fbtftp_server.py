"""A static server on fbtftp, as its README's example: FOLDER PORT. Runs in the peers' own environment."""

import sys
from pathlib import Path

from fbtftp.base_handler import BaseHandler, ResponseData
from fbtftp.base_server import BaseServer


class File(ResponseData):
    def __init__(self, path):
        self._size = path.stat().st_size
        self._file = path.open("rb")

    def read(self, n):
        return self._file.read(n)

    def size(self):
        return self._size

    def close(self):
        self._file.close()


class Handler(BaseHandler):
    def get_response_data(self):
        return File(Path(sys.argv[1]) / self._path)


class Server(BaseServer):
    def get_handler(self, server_addr, peer, path, options):
        return Handler(server_addr, peer, path, options, lambda _: None)


Server("127.0.0.1", int(sys.argv[2]), 3, 5).run()
