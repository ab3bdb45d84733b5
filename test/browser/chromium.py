# Copyright 2026 robotracer_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium driven through its DevTools protocol, as much as the viewer's test needs."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

FLAGS = [
    '--headless=new',
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--ignore-gpu-blocklist',
    '--window-size=1280,800',
    '--remote-debugging-port=0',
]


class Page:
    """One page of a browser of its own.

    Args:
        profile: Empty folder for the browser's profile.
        url: Page to open.
    """

    def __init__(self, profile: Path, url: str) -> None:
        program = shutil.which('chromium') or shutil.which('google-chrome')
        if program is None:
            raise RuntimeError('this test looks through Chromium: apt-get install chromium')
        self._log = (profile / 'browser.log').open('w')
        self._process = subprocess.Popen(
            [program, *FLAGS, f'--user-data-dir={profile}', url], stdout=self._log, stderr=self._log
        )
        self._profile, self._count = profile, 0
        self._socket = connect(self._debugger_url(), max_size=None)

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def evaluate(self, script: str):
        answer = self._call('Runtime.evaluate', expression=script, returnByValue=True)
        assert 'exceptionDetails' not in answer, answer['exceptionDetails']
        return answer['result'].get('value')

    def wait_for(self, script: str, timeout_s: float = 60.0):
        """Wait until a script gives something true, and return it."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f'never became true: {script}'
            time.sleep(0.2)
        return value

    def type(self, text: str) -> None:
        self._call('Input.insertText', text=text)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call('Page.captureScreenshot', format='png')['data']))

    def _debugger_url(self) -> str:
        port_file = self._profile / 'DevToolsActivePort'
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if port_file.exists() and (port := port_file.read_text().split('\n')[0]):
                with urllib.request.urlopen(f'http://127.0.0.1:{port}/json') as reply:
                    pages = [p for p in json.load(reply) if p['type'] == 'page']
                if pages:
                    return pages[0]['webSocketDebuggerUrl']
            time.sleep(0.1)
        raise RuntimeError('Chromium did not start: see ' + self._log.name)

    def _call(self, method: str, **parameters):
        self._count += 1
        self._socket.send(json.dumps({'id': self._count, 'method': method, 'params': parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get('id') == self._count:
                assert 'error' not in message, message['error']
                return message['result']
