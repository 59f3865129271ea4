"""
A Bitrix24 portal small enough to hold in memory, served over HTTP.

It keeps what a real portal keeps, answers in a real portal's shapes, refuses what a real portal
refuses, and can be told to misbehave. Bitrix24 is proprietary: this is written from its public
documentation and from measured behaviour, and holds the methods the dialler needs.
"""

from bitrix24.simulator.http import serve
from bitrix24.simulator.portal import FLAVOURS, Fault, SimulatedPortal

__all__ = ["FLAVOURS", "Fault", "SimulatedPortal", "serve"]
