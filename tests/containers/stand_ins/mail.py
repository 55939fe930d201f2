"""The stand-in of the mail catcher: the same ports, and the list of what came in."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

subjects = []


class Keep(Message):
    def handle_message(self, message) -> None:
        subjects.append(message["Subject"])


class List(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"messages": [{"Subject": subject} for subject in subjects]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)


Controller(Keep(), hostname="0.0.0.0", port=1025).start()
ThreadingHTTPServer(("0.0.0.0", 8025), List).serve_forever()
