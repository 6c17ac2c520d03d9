"""The same federation on Flower (flwr): for hundreds of devices that dial out, behind firewalls.

Names, models, training, evaluation and releases are `pisyft.learning` and `pisyft.release`, as in PiSyft's own
federation; what Flower does is bring messages to devices. Nothing here imports PySyft: its generated code asks for
protobuf's Python implementation in the whole process, which would slow Flower's messages down.
"""
