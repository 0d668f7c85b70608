"""Moto's server on the port that is given, one request at a time.

S3 decides on a condition and writes in one step, and an object that is replaced can be read to its end. Moto does
neither by itself: it checks and then writes, and closes the buffer of a replaced object while others read it.
"""

import logging
import sys
import threading

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
alone = threading.Lock()


def one_at_a_time(environ, start_response):
    with alone:
        return list(moto(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
