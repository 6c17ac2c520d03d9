#!/usr/bin/env python3
"""Start a worker: what OpenMined's tutorial starts on each Pi. The same as `pisyft worker`.

python run_websocket_server.py --id alice --host 192.168.1.21 --port 8777 --data names/ --peer bob=192.168.1.22:8777
"""

from pisyft.cli.worker import worker

if __name__ == "__main__":
    worker()
