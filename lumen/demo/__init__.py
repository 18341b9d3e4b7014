"""A made-up institution to look at and to measure: clients, the people who manage them, their keys and their usage."""

from lumen.demo.filling import Made, fill
from lumen.demo.wish import Wish

__all__ = ['Made', 'Wish', 'fill']
