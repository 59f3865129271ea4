"""
A simulated Bitrix24 portal in memory, served over HTTP.

It stores what a real portal stores, answers in the same formats, refuses the same requests, and
can inject faults. Bitrix24 is proprietary: this is written from its public documentation and from
measured behaviour, and has the methods that the dialler needs.
"""

from bitrix24.simulator.http import serve
from bitrix24.simulator.portal import FLAVOURS, Fault, SimulatedPortal

__all__ = ["FLAVOURS", "Fault", "SimulatedPortal", "serve"]
